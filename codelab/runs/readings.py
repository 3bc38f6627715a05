"""What a run of `codelab train` wrote down, read without torch: readings, evaluations, head resets, alarms."""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codelab.core.errors import DataError, UsageError, first_line
from codelab.core.run_folder import METRICS

READINGS = {
    "epoch": "epoch",
    "loss": "loss",
    "agreement_loss": "agreement term",
    "rate": "coding rate (nats)",
    "rate_share": "coding rate, of its largest",
    "entropy": "bit entropy",
    "agreement": "agreement above chance",
    "dof": "degrees of freedom",
    "skipped": "steps skipped",
    "images_per_second": "images a second",
    "data_wait": "waiting for data",
    "lr": "learning rate",
}
"""The numbers of a row of metrics.jsonl, in words."""
SCORES = {
    "epoch": "epoch",
    "entropy": "bit entropy",
    "dof": "degrees of freedom",
    "block_entropy": "block entropy",
    "agreement": "share of equal bits",
    "kappa": "agreement above chance",
    "code_map": "code mAP",
    "feature_map": "feature mAP",
    "code_knn": "code 10-NN",
    "feature_knn": "feature 10-NN",
    "d_eff": "d_eff",
    "r_eff": "r_eff",
    "images": "images",
}
"""The numbers of a row of evaluation.jsonl, in words."""
BCE = ("bits", "soft-bits", "hashcoder")
"""Objectives whose agreement term is a cross-entropy of bits, ln 2 where the student flips coins."""


@dataclass(frozen=True)
class Rows:
    """Rows of a log in order of step; NaN stands where a row has no such number.

    Args:
        step: int64 `[n]`, rising.
        columns: float64 `[n]` by name.

    Example:
        >>> rows = Rows(np.array([10, 20, 30]), {"loss": np.array([0.5, np.nan, 0.4])})
        >>> rows.best("loss", lowest=True), rows.last("loss"), rows.best("dof")
        ((0.4, 30), 0.4, None)
    """

    step: np.ndarray
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.step)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name] if name in self.columns else np.full(len(self), np.nan)

    def has(self, name: str) -> bool:
        """Whether any row has this number."""
        return bool(np.isfinite(self[name]).any())

    def last(self, name: str) -> float:
        """The number in the last row, NaN where it has none."""
        return float(self[name][-1]) + 0.0 if len(self) else math.nan  # + 0.0: a person reads 0, not -0

    def best(self, name: str, *, lowest: bool = False) -> tuple[float, int] | None:
        """The highest (or lowest) number and the first step that had it; None where there is none."""
        if not self.has(name):
            return None
        row = int(np.nanargmin(self[name]) if lowest else np.nanargmax(self[name]))
        return float(self[name][row]) + 0.0, int(self.step[row])

    def thinned(self, most: int) -> Rows:
        """At most so many of the rows, evenly spaced, the first and the last among them."""
        if len(self) <= most:
            return self
        keep = np.linspace(0, len(self) - 1, most).round().astype(np.int64)
        return Rows(self.step[keep], {name: column[keep] for name, column in self.columns.items()})


@dataclass(frozen=True)
class Alarm:
    """Readings in a row that were alarmed by the same thing.

    Args:
        text: the warning of the first reading.
        since: step of the reading before, 0 for none: what is wrong began after it.
        first, last: steps of the first and the last such reading.
        readings: how many.
        standing: the last reading of the run is one of them.
    """

    text: str
    since: int
    first: int
    last: int
    readings: int
    standing: bool


@dataclass(frozen=True, kw_only=True)
class Curves:
    """A run, as read from its folder.

    Args:
        folder: of the run.
        name: what to call it.
        config: its config; empty where there is no config.json.
        readings: rows of metrics.jsonl; `rate_term` is what the weighted rate takes off the loss.
        evaluations: rows of evaluation.jsonl; `best` is 1 where the teacher was kept as the best so far.
        resets: steps at which the head was drawn anew.
        alarms: in order.
        diverged: the loss was once not finite in so many steps in a row that the run ended (nonfinite.json).
        notes: what a reader of the figures should know about the files.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    readings: Rows
    evaluations: Rows
    resets: tuple[int, ...]
    alarms: tuple[Alarm, ...]
    diverged: bool
    notes: tuple[str, ...]

    @property
    def step(self) -> int:
        """The last step that was read."""
        return int(self.readings.step[-1])

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps of one epoch; None where no row has its epoch."""
        epochs = self.readings["epoch"]
        known = np.flatnonzero(epochs > 0)
        return max(1, round(float(self.readings.step[known[-1]] / epochs[known[-1]]))) if len(known) else None

    @property
    def total(self) -> int | None:
        """Steps of the whole run, where rows and config have what it takes."""
        epochs = self.config.get("epochs")
        known = self.steps_per_epoch is not None and isinstance(epochs, int) and epochs > 0
        return self.steps_per_epoch * epochs if known else None  # type: ignore[operator]

    @property
    def objective(self) -> str:
        """Runs without the key were made when there was one objective."""
        return str(self.config.get("objective", "bits"))

    @property
    def bce(self) -> bool:
        """Whether the agreement term is a cross-entropy of bits."""
        return self.objective in BCE

    def epoch(self, step: int) -> float | None:
        """Epochs done at a step."""
        return None if self.steps_per_epoch is None else step / self.steps_per_epoch


def is_run(path: str | Path) -> bool:
    """Whether this is the folder of a run of `codelab train`."""
    return Path(path, METRICS).is_file()


def read_runs(folders: Sequence[str | Path]) -> list[Curves]:
    """Several runs, each named by the end of its path, as long as it takes to differ from the others.

    Raises:
        UsageError: a folder is there twice, or as `read_run`.
        DataError: as `read_run`.
    """
    paths = [Path(folder).resolve() for folder in folders]
    twice = next((folder for folder, path in zip(folders, paths, strict=True) if paths.count(path) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice}: given twice, expected different runs")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    names = [Path(*path.parts[-depth:]).as_posix() for path in paths]
    return [read_run(folder, name=name) for folder, name in zip(folders, names, strict=True)]


def read_run(folder: str | Path, *, name: str | None = None) -> Curves:
    """The curves of one run, finished or not.

    Args:
        folder: a run folder of `codelab train`; keys that are not known are left alone, those missing are NaN.
        name: what to call it; the folder's name where None.

    Raises:
        UsageError: there is no such folder, or no metrics.jsonl in it.
        DataError: there is no reading yet, or a file holds something else; the message names the line. A last line
            that was cut short is left out, with a note.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "metrics.jsonl").write_text('{"step": 10, "loss": 0.5, "resets": [4]}\\n{"step": 20, "lo')
        >>> run = read_run(folder)
        >>> run.readings.step.tolist(), run.readings.last("loss"), run.resets
        ([10], 0.5, (4,))
        >>> run.notes[-1]
        'metrics.jsonl: the last line was cut short, and is left out'
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder, expected a run of codelab train")
    if not is_run(folder):
        raise UsageError(f"{folder}: no metrics.jsonl in it, expected a run folder of codelab train")
    notes: list[str] = []
    config = _config(folder / "config.json", notes)
    rows = _lines(folder / "metrics.jsonl", _reading, notes)
    if not rows:
        raise DataError(f"{folder / 'metrics.jsonl'}: no reading yet, expected one JSON object a line")
    scored = _lines(folder / "evaluation.jsonl", _score, notes) if (folder / "evaluation.jsonl").exists() else []
    readings = _rows(rows, READINGS)
    readings = Rows(readings.step, {**readings.columns, "rate_term": readings["agreement_loss"] - readings["loss"]})
    resets = [row["resets"] for row in rows if row["resets"] is not None]
    return Curves(
        folder=folder,
        name=folder.resolve().name if name is None else name,
        config=config,
        readings=readings,
        evaluations=_rows(scored, (*SCORES, "best")),
        resets=tuple(resets[-1]) if resets else (),
        alarms=_alarms(rows),
        diverged=(folder / "nonfinite.json").exists(),
        notes=tuple(notes),
    )


def _config(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.exists():
        notes.append("config.json: not there, so the run's length and objective are not known")
        return {}
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({first_line(error)}), expected the run's config") from None
    if not isinstance(config, dict):
        raise DataError(f"{path}: found {type(config).__name__}, expected a JSON object with the run's config")
    return config


def _lines(path: Path, check: Callable[[dict[str, Any]], dict[str, Any]], notes: list[str]) -> list[dict[str, Any]]:
    """Every line, checked; steps rise."""
    lines = path.read_bytes().rstrip().splitlines()
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines):  # the process was killed while it wrote, or writes now
                notes.append(f"{path.name}: the last line was cut short, and is left out")
                break
            raise DataError(f"{path}: line {number} is {_shown(line)}, expected a JSON object") from None
        try:
            if not isinstance(row, dict):
                raise ValueError(f"is {_shown(line)}, expected a JSON object")
            rows.append(check(row))
            if len(rows) > 1 and rows[-1]["step"] <= rows[-2]["step"]:
                raise ValueError(f"has step {rows[-1]['step']} after {rows[-2]['step']}, expected a later one")
        except ValueError as error:
            raise DataError(f"{path}: line {number} {error}") from None
    return rows


def _reading(row: dict[str, Any]) -> dict[str, Any]:
    warning, resets = row.get("warning"), row.get("resets")
    if not (warning is None or isinstance(warning, str)):
        raise ValueError(f"has warning {_shown(warning)}, expected text or null")
    if not (resets is None or (isinstance(resets, list) and all(_whole(step) for step in resets))):
        raise ValueError(f"has resets {_shown(resets)}, expected a list of steps")
    return {**_numbers(row, READINGS), "warning": warning, "resets": resets}


def _score(row: dict[str, Any]) -> dict[str, Any]:
    best = row.get("best", False)
    if not isinstance(best, bool):
        raise ValueError(f"has best {_shown(best)}, expected true or false")
    return {**_numbers(row, SCORES), "best": float(best)}


def _numbers(row: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    if not _whole(row.get("step")):
        raise ValueError(f"has step {_shown(row.get('step'))}, expected a whole number")
    return {"step": row["step"], **{name: _number(name, row.get(name)) for name in names}}


def _number(name: str, value: Any) -> float:
    """A number as a float; NaN for none, and for what is not finite."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"has {name} {_shown(value)}, expected a number")
    return float(value) if abs(value) <= sys.float_info.max else math.nan


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _shown(value: Any, most: int = 40) -> str:
    """A value as a message quotes it: on one line, cut."""
    text = repr(value.decode(errors="replace") if isinstance(value, bytes) else value)
    return text if len(text) <= most else f"{text[:most]}…"


def _rows(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> Rows:
    step = np.array([row["step"] for row in rows], dtype=np.int64)
    return Rows(step, {name: np.array([row[name] for row in rows], dtype=np.float64) for name in names})


def _alarms(rows: Sequence[Mapping[str, Any]]) -> tuple[Alarm, ...]:
    """Neighbouring readings with the same complaint are one alarm; its numbers, which follow a colon, may change."""
    alarms = []
    places = enumerate(row["warning"] for row in rows)
    for kind, group in itertools.groupby(places, key=lambda place: place[1] and place[1].partition(":")[0]):
        if kind:
            at = [place for place, _ in group]
            alarms.append(
                Alarm(
                    text=rows[at[0]]["warning"],
                    since=rows[at[0] - 1]["step"] if at[0] else 0,
                    first=rows[at[0]]["step"],
                    last=rows[at[-1]]["step"],
                    readings=len(at),
                    standing=at[-1] == len(rows) - 1,
                )
            )
    return tuple(alarms)
