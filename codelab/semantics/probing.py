"""Sparse probing: how well the best k bits tell a class or an attribute, beside what chance and other codes give."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from codelab.core.attributes import CLASS, Groups, labelling, named_groups, repeated
from codelab.core.checks import check_codes, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.drawing import GREY, INK, ONE, ZERO, blank
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.semantics.directions import random_directions
from codelab.semantics.read_out import read_out
from codelab.semantics.targets import question
from codelab.statistics.clusters import group_units
from codelab.statistics.precision_recall import precision_recall_areas
from codelab.statistics.splits import held_out_part

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

KS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Numbers of bits that are tried where the caller names none; B is tried too."""

ROWS = {
    "bits": "these bits",
    "shuffled": "random labels, one a group",
    "random_bits": "random bits of this code",
    "random_directions": "random directions of the same features",
}
"""Rows of a probing curve, and what they are in words."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeCurve(Result):
    """Scores of a logistic read-out of k bits on the held-out half, arrays `[K]` for each row in `ROWS`.

    `accuracy` is the share of right answers, `auprc` the area under the precision-recall curve, the mean over the
    values of the target. Rows:

    * `bits`: the k bits with the largest |difference of means| on the training half;
    * `shuffled`: the same with random labels, one a group (an image without groups), with the shares that the values
      have in each half, mean of `draws`;
    * `random_bits`: k bits drawn at random, mean of `draws`;
    * `random_directions`: the best k of as many signs of random directions of the same features; with features only.

    `selectivity` `[K]` is the accuracy of `bits` less that of `shuffled`. `chosen` holds the bits in the order they
    were chosen, `majority` the accuracy of the most frequent value, `prevalence` the chance level of AUPRC.

    The line quotes the accuracy of one bit and of all, and the selectivity of all.
    """

    target: str
    k: np.ndarray
    accuracy: dict[str, np.ndarray]
    auprc: dict[str, np.ndarray]
    chosen: np.ndarray
    majority: float
    prevalence: float
    values: int
    n_train: int
    n_test: int
    groups: int | None
    draws: int
    estimator: str = "bits chosen and read-out fitted on one half, scored on the other"

    @property
    def selectivity(self) -> np.ndarray:
        """Accuracy less that with random labels, `[K]` (Hewitt & Liang 2019)."""
        return self.accuracy["bits"] - self.accuracy["shuffled"]

    def headline(self) -> str:
        mine = self.accuracy["bits"]
        ends = f"{number(mine[0])} by {self.k[0]} and {number(mine[-1])} by {self.k[-1]} bits"
        null = f"majority {number(self.majority)}, selectivity {number(self.selectivity[-1])}"
        return f"{self.target}: accuracy {ends}; {null}"

    def to_frame(self) -> pd.DataFrame:
        """One row a number of bits and a kind: `row`, `k`, `accuracy`, `auprc`."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"row": row, "k": int(k), "accuracy": accuracy, "auprc": auprc}
                for row in self.accuracy
                for k, accuracy, auprc in zip(self.k, self.accuracy[row], self.auprc[row], strict=True)
            ]
        )

    def plot(self) -> go.Figure:
        """Accuracy over the number of bits, each row a line, with the majority as a level."""
        figure = blank("bits", "accuracy on the held-out half", height=320)
        colours = dict(zip(ROWS, (ONE, GREY, INK, ZERO), strict=True))
        for row, values in self.accuracy.items():
            figure.add_scatter(x=self.k, y=values, name=ROWS[row], mode="lines+markers", line_color=colours[row])
        figure.add_hline(self.majority, line={"color": GREY, "dash": "dot"}, annotation_text="majority")
        ticks = [int(k) for k in self.k]
        return figure.update_xaxes(type="log", tickvals=ticks, ticktext=[str(k) for k in ticks])


def probe_curve(
    codes: Codes,
    target: str = CLASS,
    *,
    k: Sequence[int] | None = None,
    groups: Groups = None,
    draws: int = 10,
    seed: int = 0,
) -> ProbeCurve:
    """How well the best k bits tell a class, an attribute, or one value of it.

    Bits are ranked on the training half by the difference of their means where the target has a value and elsewhere,
    each value with its share; a logistic regression (C = 1, as scikit-learn's) reads k of them, and is scored on the
    other half.

    Args:
        codes: codes `[N, B]`.
        target: `class`, an item column, or `COLUMN = VALUE` for one value against the rest.
        k: numbers of bits; default 1, 2, 5, 10, 20, ... and B.
        groups: an item column or one value an image; images of one group are near copies: they are in one half, and
            have one label where labels are random.
        draws: of random labels and of random bits.
        seed: of the halves and the draws.

    Raises:
        UsageError: no such column or value, or a k that is not 1 to B.
        DataError: one value only, a column with a value an image, no value with two images (groups), or a read-out
            that does not converge.

    Source: k-sparse probing: Gurnee et al. 2023, SAEBench (Karvonen et al. 2025); selectivity: Hewitt & Liang 2019.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 2, 400)
        >>> bits = np.stack([labels, *rng.integers(0, 2, (3, 400))], axis=1)
        >>> found = probe_curve(Codes.from_bits(bits, labels))
        >>> found.k.tolist(), found.accuracy["bits"].tolist(), found.chosen[0].item()
        ([1, 2, 4], [1.0, 1.0, 1.0], 0)
    """
    check_codes("codes", codes)
    check_seed(seed)
    check_whole("draws", draws, 1)
    if k is None:
        k = [*(n for n in KS if n < codes.bits), codes.bits]
    elif not isinstance(k, Iterable) or isinstance(k, str):
        raise UsageError(f"k={k!r}: expected a list of numbers of bits")
    ks = sorted({check_whole("k", n, 1) for n in k})
    if not ks:
        raise UsageError("k: name at least one number of bits")
    if ks[-1] > codes.bits:
        raise UsageError(f"k={ks[-1]}: the code has {codes.bits} bits")
    words, names, rows, y, unit, train, test = _halves(codes, target, groups, seed)
    bits = codes[rows].to_bits()
    generator = np.random.default_rng(seed)
    probe = _Probe(train, test, ks, len(names))
    found = {"bits": probe(bits, y)}
    shuffled = [probe(bits, _random_labels(y, unit, (train, test), generator)) for _ in range(draws)]
    drawn = [probe(bits[:, generator.permutation(codes.bits)], y, ranked=False) for _ in range(draws)]
    found["shuffled"], found["random_bits"] = (np.mean(several, axis=0) for several in (shuffled, drawn))
    if codes.features is not None:
        found["random_directions"] = probe(random_directions(codes.features[rows], codes.bits, seed), y)
    counts = np.bincount(y[test], minlength=len(names))
    return ProbeCurve(
        source=Source.of(codes),
        seed=seed,
        target=words,
        k=np.array(ks),
        accuracy={row: values[0] for row, values in found.items()},
        auprc={row: values[1] for row, values in found.items()},
        chosen=probe.order(bits, y),
        majority=float((y[test] == np.bincount(y[train]).argmax()).mean()),
        prevalence=float((counts[counts > 0] / len(test)).mean()),
        values=len(names),
        n_train=len(train),
        n_test=len(test),
        groups=None if named_groups(groups) is None else int(unit.max()) + 1,
        draws=draws,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """Read-outs whose answers are looked at image by image; their halves are those of `probe_curve`.

    `rows` `[n]` are the images with a value, `y` their values from 0, `unit` their groups, and `train` and `test` the
    places in `rows` of the half to choose and fit on, and of the half that is scored.

    Example:
        >>> tone = np.arange(40) % 2
        >>> codes = Codes.from_bits(np.stack([tone, 0 * tone], 1), items={"tone": tone.astype(str)})
        >>> Answers.of(codes, "tone", groups=None, draws=1, seed=0)([1])[0].mean().item()
        1.0
    """

    bits: np.ndarray
    rows: np.ndarray
    y: np.ndarray
    unit: np.ndarray
    train: np.ndarray
    test: np.ndarray
    random: Sequence[np.ndarray]

    @classmethod
    def of(cls, codes: Codes, target: str, *, groups: Groups, draws: int, seed: int) -> Answers:
        """Arguments and errors are those of `probe_curve`."""
        _, _, rows, y, unit, train, test = _halves(codes, target, groups, seed)
        generator = np.random.default_rng(seed)
        random = [_random_labels(y, unit, (train, test), generator) for _ in range(draws)]
        return cls(codes[rows].to_bits(), rows, y, unit, train, test, random)

    def __call__(self, ks: Sequence[int], kept: np.ndarray | None = None) -> np.ndarray:
        """Whether the best k bits read each scored image rightly, and the mean with random labels: `[2, K, n_test]`.

        With `kept`, bool `[n]`, only these images are chosen on, fitted on and scored.
        """
        train, test = (half if kept is None else half[kept[half]] for half in (self.train, self.test))
        probe = _Probe(train, test, ks, int(self.y.max()) + 1)
        chance = np.mean([probe.right(self.bits, labels) for labels in self.random], axis=0)
        return np.stack([probe.right(self.bits, self.y).astype(np.float64), chance])


def _halves(
    codes: Codes, target: str, groups: Groups, seed: int
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The target in words, the numbers of its values, the rows that have one, their values and their groups, both
    from 0, and places in these of the half to train on and the half to score on."""
    words, labels = _labels(codes, target)
    rows = np.flatnonzero(labels >= 0)
    names, y = np.unique(labels[rows], return_inverse=True)
    if len(names) < 2:
        raise DataError(f"probe_curve: {words} has {len(names)} value, expected two or more")
    units = group_units("probe_curve", codes, groups)
    unit = np.arange(len(y)) if units is None else np.unique(units[rows], return_inverse=True)[1].reshape(-1)
    train, test = held_out_part(y, None if units is None else unit, share=0.5, seed=seed, measure="probe_curve")
    return words, names, rows, y, unit, train, test[np.isin(y[test], y[train])]


def _random_labels(
    y: np.ndarray, unit: np.ndarray, halves: Iterable[np.ndarray], generator: np.random.Generator
) -> np.ndarray:
    """Labels drawn from `y`, one a group, for each half from its own.

    Drawn from all, what is more frequent in one half would be less frequent in the other, unlike the labels
    themselves, and a read-out of random labels would be right less often than one that only guesses.
    """
    drawn = np.zeros_like(y)
    for half in halves:
        number = np.unique(unit[half], return_inverse=True)[1].reshape(-1)
        drawn[half] = generator.permutation(y[half])[number]
    return drawn


def _labels(codes: Codes, target: str) -> tuple[str, np.ndarray]:
    """The target in words, and its values `[N]`, -1 where there is none."""
    if not isinstance(target, str):
        raise UsageError(f"target={target!r}: expected the name of a column, or COLUMN = VALUE")
    if "=" in target and target not in codes.items.column_names:
        words, has = question(codes, target)
        return words, has.astype(np.int64)
    found = labelling(codes, target) if target == CLASS else repeated("probe_curve", codes, target)
    return found.text, found.labels


@dataclasses.dataclass(frozen=True)
class _Probe:
    """Read-outs fitted on rows `train` and scored on rows `test`, by each number of bits in `ks`."""

    train: np.ndarray
    test: np.ndarray
    ks: Sequence[int]
    values: int

    def order(self, bits: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Bits by |mean at a value - mean elsewhere| on the training half, summed over values by their shares."""
        x, labels = bits[self.train].astype(np.float64), y[self.train]
        has = np.eye(self.values)[labels]
        n = has.sum(axis=0)[:, None]
        ones = has.T @ x
        apart = ones / np.maximum(n, 1) - (x.sum(axis=0) - ones) / np.maximum(len(x) - n, 1)
        return np.argsort(-(n / len(x) * np.abs(apart)).sum(axis=0), kind="stable")

    def __call__(self, bits: np.ndarray, y: np.ndarray, *, ranked: bool = True) -> np.ndarray:
        """Accuracy and AUPRC `[2, K]`."""
        order = self.order(bits, y) if ranked else np.arange(bits.shape[1])
        return np.array([self._score(2.0 * bits[:, order[:k]] - 1, y) for k in self.ks]).T

    def right(self, bits: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether each image of the held-out half is read rightly, by each number of bits: bool `[K, n_test]`."""
        if len(np.unique(y[self.train])) < 2:  # random labels of few groups
            return np.tile(y[self.test] == y[self.train][0], (len(self.ks), 1))
        chosen = (2.0 * bits[:, self.order(bits, y)[:k]] - 1 for k in self.ks)
        models = ((read_out("probe_curve", x[self.train], y[self.train]), x[self.test]) for x in chosen)
        return np.stack([model.predict(x) == y[self.test] for model, x in models])

    def _score(self, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        truth = y[self.test]
        if len(np.unique(y[self.train])) < 2:  # random labels of few groups
            return float((truth == y[self.train][0]).mean()), float((np.bincount(truth) / len(truth)).max())
        model = read_out("probe_curve", x[self.train], y[self.train])
        chance = softmax(model.logits(x[self.test]), axis=1)
        has = truth[:, None] == model.classes
        areas = precision_recall_areas(has, chance)[has.any(axis=0)]
        return float((model.classes[chance.argmax(axis=1)] == truth).mean()), float(areas.mean())
