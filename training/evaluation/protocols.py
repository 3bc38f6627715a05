"""Evaluation protocols on labelled codes with features: neighbours, retrieval, probes; each gives a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from codelab.core.attributes import group_numbers
from codelab.core.checks import check_choice
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.result import Result, Source
from codelab.retrieval.measures import knn_accuracy, precision_at_k, retrieval_map
from codelab.retrieval.summary import RetrievalResult
from codelab.statistics.intervals import Averages, averages
from training.evaluation.probes import ProbeResult, linear_probe, mlp_probe
from training.evaluation.sets import Sets

if TYPE_CHECKING:
    import pandas as pd

KS = (1, 5, 10, 20)
"""Numbers of neighbours that are measured where the user names none; those beyond the database are left out."""

SPACES = {"codes": "codes, Hamming", "features": "features, cosine"}


@dataclass(frozen=True, kw_only=True)
class Evaluation(Result):
    """What every protocol states beside its figures; `source` is the test set (queries), `train` the database.

    Args:
        of, data: what was evaluated on what, as the user named them.
        group: item column of near copies, which were left out.
        n, n_train: images of the test set and of the database.
        how: in words, what a reader needs to measure it again.
        notes: what was left out, a line each.
    """

    of: str
    data: str
    group: str | None
    n: int
    n_train: int
    train: Source | None
    how: str
    notes: tuple[str, ...]

    def headline(self) -> str:
        return f"{self.of} on {self.data}, {self.n:,} test images, {self.n_train:,} train images"

    def headings(self) -> tuple[str, ...]:
        """Those of the table."""
        raise NotImplementedError

    def title(self) -> str:
        """The heading of the table."""
        raise NotImplementedError

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells as text."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measure: averaged over images and over classes, each with its 95 % interval."""

    on: str
    measure: str
    means: Averages
    skipped: int
    lacking: str


@dataclass(frozen=True, kw_only=True)
class NeighbourTable(Evaluation):
    """Figures of k-NN or of retrieval."""

    protocol: str
    figures: tuple[Figure, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row a figure."""
        import pandas as pd

        return pd.DataFrame(
            [{"on": f.on, "measure": f.measure, "skipped": f.skipped} | columns(f.means) for f in self.figures]
        )

    def headings(self) -> tuple[str, ...]:
        return "", "measure", "over images", "over classes"

    def title(self) -> str:
        return f"{self.protocol}: {self.of} on {self.data}; {against(self)}"

    def rows(self) -> list[tuple[str, ...]]:
        return [(SPACES[figure.on], figure.measure, *cells(figure.means)) for figure in self.figures]


@dataclass(frozen=True, kw_only=True)
class ProbeTable(Evaluation):
    """A probe on the features, and the same probe on the bits."""

    probes: dict[str, ProbeResult]

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"probes": {on: probe.to_dict() for on, probe in self.probes.items()}}

    def to_frame(self) -> pd.DataFrame:
        """One row a probe, and one of the majority class."""
        import pandas as pd

        rows: list[dict[str, Any]] = [
            {"on": on, "dims": p.dims, "penalty": p.penalty, "epochs": p.epochs, "validation": p.validation}
            | columns(p.top1)
            | (columns(p.top5, "top5") if p.top5 else {})
            for on, p in self.probes.items()
        ]
        return pd.DataFrame([*rows, {"on": "majority class"} | columns(self._any.majority)])

    def headings(self) -> tuple[str, ...]:
        return ("", "dims", "top-1 over images", "over classes", *self._five("top-5"), "chosen", "validation")

    def title(self) -> str:
        return (
            f"{self._any.probe} probe: {self.of} on {self.data}; {self._any.classes} classes, {self.n:,} test images, "
            f"{self.n_train:,} train images, {self._any.n_validation:,} of them to choose on"
        )

    def rows(self) -> list[tuple[str, ...]]:
        null = ("majority class", "", *cells(self._any.majority), *self._five(""), "", "")
        return [self._row(on, probe) for on, probe in self.probes.items()] + [null]

    def _row(self, on: str, probe: ProbeResult) -> tuple[str, ...]:
        five = () if probe.top5 is None else cells(probe.top5)[:1]
        name = {"L2 penalty": "L2", "learning rate": "lr", "weight decay": "decay"}[probe.tuned]
        chosen = f"{name} {probe.penalty:g}" + (f", {probe.epochs} epochs" if probe.epochs else "")
        return on, str(probe.dims), *cells(probe.top1), *five, chosen, f"{probe.validation:.3f}"

    @property
    def _any(self) -> ProbeResult:
        """What is said of one probe and holds for both."""
        return next(iter(self.probes.values()))

    def _five(self, text: str) -> tuple[str, ...]:
        return () if self._any.top5 is None else (text,)


def knn(sets: Sets, *, ks: Sequence[int] | None = None, weighted: bool = False, seed: int = 0) -> NeighbourTable:
    """k-NN accuracy by codes and by features: the label of most of the k nearest train images.

    Args:
        sets: the images; without train, each test image is ranked against the others.
        ks: numbers of neighbours; None for those of 1, 5, 10 and 20 that the database has.
        weighted: votes weigh exp(cosine / 0.07), as DINO has it.
        seed: of the bootstrap.

    Raises:
        UsageError: k is more than the database has.
        DataError: multi-label data, or no query with a neighbour.
    """
    figures = []
    for by in SPACES:
        for k in _places(ks, sets):
            voting: dict[str, Any] = {"k": k, "weighted": weighted, "by": by, "groups": sets.group, "seed": seed}
            found = knn_accuracy(sets.test, sets.train, bootstrap=1, **voting)  # the interval is not shown
            figures.append(_figure(found, sets))
    how = "the label of most of the k nearest; tied neighbours share the places, tied labels the answer"
    how += "; votes weigh exp(cosine / 0.07)" if weighted else ""
    return _neighbours("k-NN", figures, sets, how, seed)


def retrieval(sets: Sets, *, ks: Sequence[int] | None = None, seed: int = 0) -> NeighbourTable:
    """Mean average precision over the whole ranking, and precision among the k nearest, by codes and by features.

    Arguments and errors are those of `knn`.
    """
    figures = []
    for by in SPACES:
        shared: dict[str, Any] = {"by": by, "groups": sets.group, "seed": seed, "bootstrap": 1}
        figures.append(_figure(retrieval_map(sets.test, sets.train, **shared), sets))
        for k in _places(ks, sets):
            figures.append(_figure(precision_at_k(sets.test, sets.train, k=k, **shared), sets))
    how = "expected over the order of ties; mAP divided by all relevant items, precision by k"
    return _neighbours("retrieval", figures, sets, how, seed)


def probe(sets: Sets, kind: str, *, seed: int = 0, device: torch.device | str = "cpu") -> ProbeTable:
    """The linear or the mlp probe on the features, and on the bits as -1 and +1.

    Train images of a group that the test has too are left out.

    Args:
        sets: the images; train must be there.
        kind: `linear` or `mlp`.
        seed: of the validation part, the bootstrap, and for mlp of weights and batches.
        device: of torch.

    Raises:
        UsageError: there is no train set, or no such kind.
        DataError: as `linear_probe`, or multi-label data.
    """
    check_choice("probe", kind, ("linear", "mlp"))
    run = linear_probe if kind == "linear" else mlp_probe
    if sets.train is None:
        raise UsageError(f"{sets.data}: a probe needs train images apart from those of the test")
    train, test, notes = sets.train, sets.test, list(sets.notes)
    if test.multilabel or train.multilabel:
        raise DataError(f"{sets.data}: a probe needs one label an image, found multi-label data")
    groups: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    if sets.group is not None:
        train = _without_copies(train, test, sets.group, notes)
        groups = (group_numbers(train.items[sets.group]), group_numbers(test.items[sets.group]))
    found = {}
    for on, values, others in (
        ("features", train.features, test.features),
        ("bits", _signs(train), _signs(test)),
    ):
        result = run(
            *(values, train.labels, others, test.labels),
            train_groups=groups[0],
            test_groups=groups[1],
            seed=seed,
            device=device,
            progress=True,
        )
        found[on] = result
        notes += [f"{on}: {note}" for note in result.notes]
    first = found["features"]
    what = first.tuned if kind == "linear" else f"weight decay and epochs of one hidden layer of {first.hidden}"
    how = f"standardised by train; {what} chosen by accuracy on a fifth of train, then fitted on all of it"
    used = replace(sets, train=train, notes=tuple(notes))
    return ProbeTable(**about(used, f"{how}; {first.top1.how}", seed), probes=found)


def cells(means: Averages, form: str = ".3f") -> tuple[str, str]:
    """Both averages with their intervals, as text."""
    pairs = ((means.value, means.interval), (means.class_value, means.class_interval))
    return tuple(f"{value:{form}} [{low:{form}}, {high:{form}}]" for value, (low, high) in pairs)  # type: ignore[return-value]


def columns(means: Averages, name: str = "") -> dict[str, float]:
    """Both averages with their intervals, as columns of a table."""
    found = {"value": means.value, "low": means.interval[0], "high": means.interval[1]}
    found |= {"class_value": means.class_value, "class_low": means.class_interval[0]}
    found |= {"class_high": means.class_interval[1]}
    return {f"{name}_{key}" if name else key: value for key, value in found.items()}


def against(table: Evaluation) -> str:
    """The queries and the database, in words."""
    queries = f"{table.n:,} test images"
    if table.train is not None:
        return f"{queries} against {table.n_train:,} train images"
    return f"{queries} against each other"


def about(sets: Sets, how: str, seed: int) -> dict[str, Any]:
    """The fields of an `Evaluation`."""
    if sets.group is not None:
        how = f"images of the same {sets.group} left out; {how}"
    return {
        "source": Source.of(sets.test),
        "seed": seed,
        "of": sets.of,
        "data": sets.data,
        "group": sets.group,
        "n": len(sets.test),
        "n_train": len(sets.test if sets.train is None else sets.train),
        "train": None if sets.train is None else Source.of(sets.train),
        "how": how,
        "notes": sets.notes,
    }


def both_averages(found: RetrievalResult, sets: Sets, values: np.ndarray) -> Averages:
    """The averages over images and over classes of a value of each query `[Q]`, NaN not counted.

    Args:
        found: a measure on these sets, whose seed the bootstrap takes. With `sets.group`, whole groups are resampled.
    """
    counted = ~np.isnan(values)
    groups = None if sets.group is None else group_numbers(sets.test.items[sets.group])[counted]
    return averages(values[counted], sets.test.labels[counted], groups, seed=found.seed or 0)


def _figure(found: RetrievalResult, sets: Sets) -> Figure:
    means = both_averages(found, sets, found.per_query)
    return Figure(on=found.by, measure=found.measure, means=means, skipped=found.skipped, lacking=found.lacking)


def _neighbours(protocol: str, figures: list[Figure], sets: Sets, how: str, seed: int) -> NeighbourTable:
    skipped = {f"{f.skipped:,} test images without {f.lacking} are not counted": None for f in figures if f.skipped}
    used = replace(sets, notes=(*sets.notes, *skipped))
    how = f"{how}; {figures[0].means.how}"
    return NeighbourTable(**about(used, how, seed), protocol=protocol, figures=tuple(figures))


def _places(ks: Sequence[int] | None, sets: Sets) -> Sequence[int]:
    most = len(sets.test if sets.train is None else sets.train)
    return [k for k in KS if k <= most] if ks is None else ks


def _signs(codes: Codes) -> np.ndarray:
    """The bits as -1 and +1, int8 `[N, B]`."""
    return (2 * codes.to_bits().astype(np.int8) - 1).astype(np.int8)


def _without_copies(train: Codes, test: Codes, group: str, notes: list[str]) -> Codes:
    """Train without the images of a group that the test has too."""
    taken = {value for value in test.items[group].to_pylist() if value not in (None, "")}
    apart = np.array([value not in taken for value in train.items[group].to_pylist()], dtype=bool)
    if apart.all():
        return train
    if not apart.any():
        raise DataError(f"train: every image is of a {group} that the test has too")
    notes.append(
        f"left out: {int((~apart).sum()):,} of {len(apart):,} train images of a {group} that the test has too"
    )
    return train[np.flatnonzero(apart)]
