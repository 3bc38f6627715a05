"""The report of a training run, or of several side by side: one static HTML file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from codelab import __version__
from codelab.core.result import plain
from codelab.reporting.page import Table, check_page, embed, write_page
from codelab.runs.figures import COLOURS, MOST, axis_of, curves
from codelab.runs.panels import evaluated_on, panels
from codelab.runs.readings import Curves, Rows, read_runs
from codelab.runs.verdict import about, alarm_lines, at_epoch, course


@dataclass(frozen=True)
class _Figure:
    """A row of a table: `lowest` is True where the lowest is best, None where neither end is."""

    label: str
    name: str
    lowest: bool | None = False
    healthy: str = ""
    form: str = ".3f"

    def text(self, value: float) -> str:
        return format(value, self.form) if math.isfinite(value) else "–"

    def best(self, rows: Rows) -> tuple[float, int] | None:
        return None if self.lowest is None else rows.best(self.name, lowest=self.lowest)


@dataclass(frozen=True)
class _Section:
    """A heading, how to read what is under it, and its charts, each with a heading of its own where there are runs."""

    heading: str
    text: str
    charts: list[tuple[str, Markup]]


def write_run_report(folders: Sequence[str | Path], path: str | Path, *, title: str | None = None) -> None:
    """Write the training curves of one run, or of several over each other, as one HTML file.

    Args:
        folders: run folders of `codelab train`, finished or not.
        path: the file to write, whole or not at all.
        title: heading of the page.

    Raises:
        UsageError: `path` cannot be a page, a folder holds no run, or is given twice.
        DataError: a run has no reading yet, or a file of it holds something else.

    Example:
        >>> import tempfile
        >>> run = Path(tempfile.mkdtemp(), "coins")
        >>> run.mkdir()
        >>> _ = (run / "metrics.jsonl").write_text('{"step": 10, "entropy": 0.9, "agreement": 0.4}\\n')
        >>> write_run_report([run], run / "training.html")
        >>> "<h1>Training of coins</h1>" in (run / "training.html").read_text()
        True
    """
    path = check_page(path)
    runs = read_runs(folders)
    alone = runs[0] if len(runs) == 1 else None
    write_page(
        "training.html",
        path,
        title=title or (f"Training of {alone.name}" if alone else "Training runs side by side"),
        subtitle=about(alone) if alone else f"{len(runs)} runs",
        runs=[(run.name, COLOURS[i % len(COLOURS)], about(run), course(run)) for i, run in enumerate(runs)],
        tables=_tables(runs),
        notes=_notes(runs),
        alarms=[(run.name, alarm_lines(run), len(run.alarms)) for run in runs],
        sections=_sections(runs),
        differences=_differences(runs) if not alone else None,
        configs=[
            (run.name, json.dumps(plain(run.config), indent=2, ensure_ascii=False)) for run in runs if run.config
        ],
        version=__version__,
    )


def _notes(runs: Sequence[Curves]) -> list[str]:
    """What a reader of the page should know of its making."""
    notes = []
    for run in runs:
        notes += [f"{run.name}/{note}." for note in run.notes]
        if len(run.readings) > MOST:
            notes.append(
                f"Each curve of {run.name} shows {MOST:,} of {len(run.readings):,} readings, evenly spaced; tables "
                "and alarms are from all of them."
            )
    configs = [run.config for run in runs if run.config]
    scale = [key for key in ("objective", "beta", "eps2", "tau", "bits") if len(_values(configs, key)) > 1]
    if scale:
        notes.append(f"The runs differ in {', '.join(scale)}: their losses are not on one scale.")
    if len({repr(evaluated_on(config)) for config in configs}) > 1:
        notes.append("The runs were evaluated on different images: their evaluations do not compare.")
    if axis_of(runs) == "epoch":
        notes.append("An epoch has not as many steps in every run, so curves are drawn over epochs.")
    return notes


# -- tables -----------------------------------------------------------------------------------------------------------


def _reading_figures(runs: Sequence[Curves]) -> list[_Figure]:
    bce = all(run.bce for run in runs)
    return [
        _Figure("loss", "loss", lowest=True),
        _Figure("agreement term, BCE (nats a bit)", "agreement_loss", lowest=True, healthy="well under 0.693")
        if bce
        else _Figure("agreement term", "agreement_loss", lowest=True),
        _Figure("rate share: coding rate over its largest", "rate_share", lowest=None),
        _Figure("bit entropy (bits)", "entropy", healthy="near 0.9"),
        _Figure("agreement above chance", "agreement", healthy="far above 0"),
        _Figure("degrees of freedom", "dof", form=".1f"),
        _Figure("images a second", "images_per_second", form=",.0f"),
        _Figure("time spent waiting for data", "data_wait", lowest=True, healthy="near 0", form=".0%"),
    ]


_READ = (
    "A reading of the loss is its mean since the reading before; entropy, agreement and degrees of freedom are of the "
    "codes of the last steps."
)
_SCORE_FIGURES = [
    _Figure("code mAP", "code_map"),
    _Figure("feature mAP", "feature_map"),
    _Figure("code 10-NN", "code_knn"),
    _Figure("feature 10-NN", "feature_knn"),
    _Figure("bit entropy (bits)", "entropy", healthy="near 0.9"),
    _Figure("agreement above chance", "kappa", healthy="far above 0"),
    _Figure("share of equal bits", "agreement"),
    _Figure("degrees of freedom", "dof", form=".1f"),
    _Figure("block entropy (bits)", "block_entropy", healthy="near 7 of 8, never alone", form=".2f"),
    _Figure("d_eff (dimensions)", "d_eff", form=".1f"),
    _Figure("r_eff (dimensions)", "r_eff", form=".1f"),
]


def _tables(runs: Sequence[Curves]) -> list[Table]:
    """Last and best of every figure that any run has: side by side for one run, a column a run for several."""
    tables = []
    for title, figures, rows, note in (
        ("Readings while training", _reading_figures(runs), [run.readings for run in runs], _READ),
        ("Evaluations of the teacher", _SCORE_FIGURES, [run.evaluations for run in runs], ""),
    ):
        known = [figure for figure in figures if any(r.has(figure.name) for r in rows)]
        if not known:
            continue
        if len(runs) == 1:
            cells = [
                [f.label, f.text(rows[0].last(f.name)), *_best_cells(f, runs[0], rows[0]), f.healthy] for f in known
            ]
            tables.append(Table(title, ("", "last", "best", "at step", "healthy"), cells, note))
            continue
        names = [run.name for run in runs]
        cells = [[f.label, *(f.text(r.last(f.name)) for r in rows), f.healthy] for f in known]
        tables.append(Table(f"{title}: last", ("", *names, "healthy"), cells, note))
        cells = [
            [
                f.label,
                *(_best_of(f, r) for r in rows),
                f.healthy,
            ]
            for f in known
            if f.lowest is not None
        ]
        tables.append(Table(f"{title}: best", ("", *names, "healthy"), cells))
    return tables


def _best_cells(figure: _Figure, run: Curves, rows: Rows) -> tuple[str, str]:
    """The best value and its step."""
    best = figure.best(rows)
    return ("–", "–") if best is None else (figure.text(best[0]), f"{best[1]:,}{at_epoch(run, best[1])}")


def _best_of(figure: _Figure, rows: Rows) -> str:
    best = figure.best(rows)
    return "–" if best is None else f"{figure.text(best[0])} (step {best[1]:,})"


def _differences(runs: Sequence[Curves]) -> Table:
    """Config keys that are not the same in all runs that have a config; the folder's name is none of them."""
    known = [run for run in runs if run.config]
    keys = sorted({key for run in known for key in run.config} - {"run"})
    rows = []
    for key in keys:
        if len(_values([run.config for run in known], key)) > 1:
            rows.append([key, *(_setting(run.config[key]) if key in run.config else "–" for run in known)])
    note = "" if rows else "The runs have the same config." if len(known) > 1 else "Fewer than two runs have a config."
    return Table("", ("config key", *(run.name for run in known)), rows, note)


def _values(configs: Sequence[Mapping[str, Any]], key: str) -> set[str]:
    return {json.dumps(config[key], sort_keys=True) if key in config else "" for config in configs}


def _setting(value: Any) -> str:
    if isinstance(value, str):
        return value or "(empty)"
    return json.dumps(value)


# -- charts -----------------------------------------------------------------------------------------------------------


def _sections(runs: Sequence[Curves]) -> list[_Section]:
    """Charts in the order in which one looks: does it learn, do the bits live, does it retrieve, is it fast."""
    sections = []
    for heading, text, panel in panels(runs):
        lines = [line for line in panel.lines if any(line.known(run) for run in runs)]
        if not lines:
            continue
        best_by = {str(run.config.get("best_by", "")) for run in runs}
        star = best_by.pop() if len(best_by) == 1 else ""
        # One run: its lines share a chart. Several: a chart for each line, as the colours tell the runs apart.
        groups = [tuple(lines)] if len(runs) == 1 else [(line,) for line in lines]
        charts = [
            (
                group[0].label if len(runs) > 1 else "",
                embed(curves(replace(panel, lines=group), runs, best_by=star)),
            )
            for group in groups
        ]
        sections.append(_Section(heading, text, charts))
    return sections
