"""Disentanglement: does each bit stand for one factor? Scores, each beside its control on shuffled attributes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from codelab.core.attributes import (
    CLASS,
    Groups,
    Labelling,
    attribute_names,
    group_column,
    labelling,
    named_groups,
    same_partition,
)
from codelab.core.checks import check_codes
from codelab.core.codes import Codes, unpack_bits
from codelab.core.errors import DataError, UsageError
from codelab.core.result import Result, Source
from codelab.kernels.counting import class_counts, column_counts
from codelab.kernels.threads import one_blas_thread, run
from codelab.measures.class_information import check_permutations
from codelab.statistics.estimators import binary_entropy, expected_information, table_information, xlog2x
from codelab.statistics.exchange import shuffled_rows
from codelab.statistics.naive_bayes import loss_saved
from codelab.statistics.nulls import mid_p_value
from codelab.statistics.splits import half

if TYPE_CHECKING:
    import pandas as pd

ESTIMATOR = "plug-in information less its exact permutation mean; null: attributes shuffled among images"
GROUPED = "plug-in information less its mean over shuffles; null: attributes shuffled by whole groups"

PAIRS = 20_000
"""Pairs of images behind the topographic similarity."""

READ = 1 << 20
"""Most held-out images times classes that naive Bayes is judged on: of more classes, a random part of the images."""

FEWEST = 4
"""Groups, or images, that naive Bayes needs: to be fitted on, and two parts to be judged on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Factors(Result):
    """Scores, one row each: `measure`, `factor` (`all` where it is one figure for the code), `value`, the most it can
    be on these factors `ceiling`, the mean of the same score over shuffled attributes `control`, their 95 % point
    `control_high`, and the `p_value`, by permutation and never below 1 / (permutations + 1).

    `information` `[B, F]` is I(bit; factor) in bits, corrected for chance, of the factors named in `factors`, over
    `items` images of so many `groups` (None: each image counts by itself).

    * `mig`: the information of the best bit less that of the second, over the factor's entropy.
    * `sap`: the same with the share of images that one bit classifies rightly, instead of information.
    * `disentanglement`: 1 for bits that each have information about one factor only, 0 for bits with
      equal information about all, and for bits without information.
    * `completeness`: 1 for a factor that one bit has all information about, 0 for one that all bits
      have equal information about, and for one that none has any about.
    * `informativeness`: share of the log-loss on held-out images, by the factor's shares alone, that naive Bayes on
      the whole code saves; 0 where it saves nothing. Of more than 104 classes, fewer held-out images are read
      (`READ`).
    * `positional`: a bit's information on its best factor less that on the second, over the bit's entropy.
    * `topographic`: rank correlation of code distance and number of differing factors, over pairs of images.

    Importance in disentanglement and completeness is the corrected information over the factor's entropy, R_bf =
    max(I_bf, 0) / H_f. Chance alone leaves some of it above 0, and what is left seems to stand for one factor; so its
    mean over shuffled attributes is taken off:

        disentanglement = (D - mean D of shuffled) / sum R,    D = sum over b of  R_b (1 - entropy of R_b. / log F)

    and completeness likewise, with factors and bits changed about.

    The line quotes how many scores stand out from shuffled attributes, and the factors.
    """

    factors: tuple[str, ...]
    information: np.ndarray
    measure: tuple[str, ...]
    factor: tuple[str, ...]
    score: np.ndarray
    ceiling: np.ndarray
    control: np.ndarray
    control_high: np.ndarray
    p_value: np.ndarray
    permutations: int
    items: int
    groups: int | None
    estimator: str
    note: str

    def headline(self) -> str:
        found = int((self.p_value < 0.05).sum())
        names = ", ".join(self.factors)
        return f"{found} of {len(self.measure)} scores at p < 0.05 on {len(self.factors)} factors: {names}"

    def to_frame(self) -> pd.DataFrame:
        """One row a score."""
        import pandas as pd

        return pd.DataFrame(
            {
                "measure": self.measure,
                "factor": self.factor,
                "value": self.score,
                "ceiling": self.ceiling,
                "control": self.control,
                "control_high": self.control_high,
                "p_value": self.p_value,
            }
        )


def factors(
    codes: Codes,
    attributes: Sequence[str] | None = None,
    *,
    groups: Groups = None,
    bins: int = 8,
    permutations: int = 200,
    items: int = 20_000,
    seed: int = 0,
) -> Factors:
    """Disentanglement and compositionality of bits with respect to several attributes.

    Args:
        codes: codes `[N, B]` with item columns.
        attributes: two or more item columns, or `class`; default: all attribute columns and, where there are labels,
            the class. Of attributes that part the images in the same way, the first counts.
        groups: item column, or one value an image; images of one group are near copies. Attributes are shuffled by
            whole groups, and the images to fit and to judge on have no group in common. Default: None.
        bins: quantile bins of a column of numbers.
        permutations: shuffles of the images' attributes, all attributes together, behind each control.
        items: at most this many images, drawn by `seed`, are looked at.
        seed: of all chance.

    Returns:
        Scores with their controls; see `Factors`. Factors that go together share bits, which lowers the scores.

    Raises:
        UsageError: fewer than 2 attributes named, or one that does not exist.
        DataError: fewer than 2 attributes to be found, an attribute without two values, fewer than 4 groups.

    Source: MIG: Chen et al. 2018; SAP: Kumar et al. 2018; DCI: Eastwood & Williams 2018, importance by information;
        topographic similarity: Brighton & Kirby 2006; positional disentanglement: Chaabouni et al. 2020.

    Example:
        >>> shape, colour = np.random.default_rng(0).integers(0, 2, (2, 400))
        >>> items = {"shape": shape.astype(str), "colour": colour.astype(str)}
        >>> found = factors(Codes.from_bits(np.stack([shape, colour], axis=1), items=items))
        >>> found.to_frame().set_index(["measure", "factor"]).value["positional"].round(1).tolist()
        [1.0]
    """
    check_codes("codes", codes)
    check_permutations(permutations, seed)
    groups = named_groups(groups)
    source, names = Source.of(codes), _names(codes, attributes, groups)
    unit = group_column(codes, groups)
    if len(codes) > items:
        chosen = np.sort(np.random.default_rng([seed, 2]).permutation(len(codes))[:items])
        codes, unit = codes[chosen], np.unique(unit[chosen], return_inverse=True)[1].reshape(-1)
    if unit.max(initial=0) + 1 < FEWEST:
        raise DataError(f"factors: found {unit.max(initial=-1) + 1} groups, expected {FEWEST} or more")
    columns, note = _different([labelling(codes, name, bins=bins) for name in names])
    counter = _Counter(codes, columns, unit, np.random.default_rng(seed))
    generator = np.random.default_rng([seed, 1])
    orders = [np.arange(len(codes)), *(shuffled_rows(unit, generator) for _ in range(permutations))]
    with one_blas_thread():
        counted = run(counter.count, orders, None)
    information, accuracy, reading, topographic = (np.stack(found) for found in zip(*counted, strict=True))

    def scores(null: slice) -> tuple[list[tuple[str, int | None]], np.ndarray]:
        """Measure and factor of the scores, and their values `[R, S]`, chance taken as the mean over these rows."""
        chance = counter.expected() if groups is None else information[null].mean(axis=0)
        rows = _scores(information - chance, accuracy, counter.entropy, counter.factor_entropy, null)
        rows += [("informativeness", f, reading[:, f]) for f in range(len(columns))]
        rows.append(("topographic", None, topographic))
        return [(measure, f) for measure, f, _ in rows], np.stack([values for *_, values in rows], axis=1)

    rows, raw = scores(slice(1, None))
    # were chance without the images' own order, they would be further from it than the shuffles, on average
    tested = scores(slice(None))[1]
    shown = np.maximum(raw, 0.0)
    shown[:, -1] = topographic
    return Factors(
        source=source,
        seed=seed,
        items=len(codes),
        groups=None if groups is None else int(unit.max()) + 1,
        factors=tuple(column.text for column in columns),
        information=information[0] - (counter.expected() if groups is None else information[1:].mean(axis=0)),
        measure=tuple(measure for measure, _ in rows),
        factor=tuple("all" if f is None else columns[f].text for _, f in rows),
        score=shown[0],
        ceiling=np.array([1.0 if f is None else _ceiling(m, columns[f].labels) for m, f in rows]),
        control=shown[1:].mean(axis=0),
        control_high=np.quantile(shown[1:], 0.95, axis=0),
        p_value=mid_p_value(tested[0], tested[1:]),
        permutations=permutations,
        estimator=ESTIMATOR if groups is None else GROUPED,
        note=note,
    )


def _names(codes: Codes, attributes: Sequence[str] | None, groups: object) -> list[str]:
    if isinstance(attributes, str):
        raise UsageError(f"attributes={attributes!r}: expected a list of two or more item columns")
    if attributes is not None:
        names = list(dict.fromkeys(attributes))
        if len(names) < 2:
            raise UsageError(f"attributes: found {len(names)}, expected at least 2")
        return names
    names = [name for name in attribute_names(codes) if not (isinstance(groups, str) and name == groups)]
    if codes.labelled and not codes.multilabel and len(np.unique(codes.labels[codes.labels >= 0])) > 1:
        names = [CLASS, *(name for name in names if name != CLASS)]
    if len(names) < 2:
        raise DataError(f"factors: needs two attributes, these codes have {', '.join(names) or 'none'}")
    return names


def _different(columns: list[Labelling]) -> tuple[list[Labelling], str]:
    """The attributes, each with labels 0 to C - 1 that all occur, without those that part the images as another does.

    Raises:
        DataError: an attribute without two values, or only one is left.
    """
    kept: list[Labelling] = []
    notes = []
    for column in columns:
        labels, known = np.full(len(column.labels), -1), column.labels >= 0
        labels[known] = np.unique(column.labels[known], return_inverse=True)[1].reshape(-1)
        if labels.max(initial=-1) < 1:
            raise DataError(f"factors: {column.text} has fewer than two values")
        same = next((other.text for other in kept if same_partition(other.labels, labels)), None)
        if same is None:
            kept.append(dataclasses.replace(column, labels=labels))
        else:
            notes.append(f"{column.text} parts the images as {same} does, and counts once")
    if len(kept) < 2:
        raise DataError(f"factors: needs two attributes, but {'; '.join(notes)}")
    return kept, "; ".join(notes)


def _ceiling(measure: str, labels: np.ndarray) -> float:
    """The most a score can be on this factor: a bit parts its values in two.

    The best bit tells the two most frequent values apart, where one without information answers the first, so `sap` is
    at most the share of the second. The information of a bit is at most the entropy of the best parting, that whose
    smaller side is nearest to half of the images: bit k of `sums` is 1 where some values have k images together.
    """
    sizes = np.sort(np.bincount(labels[labels >= 0]))
    n = int(sizes.sum())
    if measure == "sap":
        return float(sizes[-2] / n)
    if measure != "mig":
        return 1.0
    sums = 1
    for size in sizes.tolist():
        sums |= sums << size
    side = (sums & ((1 << (n // 2 + 1)) - 1)).bit_length() - 1
    return float(binary_entropy(np.array(side / n)) / -xlog2x(sizes / n).sum())


def _scores(
    information: np.ndarray, accuracy: np.ndarray, entropy: np.ndarray, factor_entropy: np.ndarray, null: slice
) -> list[tuple[str, int | None, np.ndarray]]:
    """Measure, factor and values `[R]` of the scores that come from tables of bits and factors.

    Args:
        information: corrected, `[R, B, F]`: of the images, and of R - 1 shuffles of their attributes.
        accuracy: of the best guess from one bit, `[R, B, F]`.
        entropy: of bits, `[B]`.
        factor_entropy: `[F]`.
        null: rows whose mean is taken off disentanglement and completeness.
    """
    importance = np.maximum(information, 0.0) / factor_entropy
    complete = _pure(importance.swapaxes(1, 2))
    top, sure = -np.sort(-information, axis=1), -np.sort(-accuracy, axis=1)
    second = min(1, len(entropy) - 1)
    rows: list[tuple[str, int | None, np.ndarray]] = []
    for f, of_factor in enumerate(factor_entropy):
        rows += [
            ("mig", f, (top[:, 0, f] - top[:, second, f]) / of_factor),
            ("sap", f, sure[:, 0, f] - sure[:, second, f]),
            ("completeness", f, _above_shuffled(complete[:, f], importance[:, :, f].sum(axis=1), null)),
        ]
    pure = _pure(importance).sum(axis=1)
    rows.append(("disentanglement", None, _above_shuffled(pure, importance.sum(axis=(1, 2)), null)))
    best, used = -np.sort(-np.maximum(information, 0.0), axis=2), entropy > 0
    gap = (best[:, used, 0] - best[:, used, 1]) / entropy[used]
    rows.append(("positional", None, gap.mean(axis=1) if used.any() else np.zeros(len(gap))))
    return rows


def _pure(importance: np.ndarray) -> np.ndarray:
    """The sum over the last axis, times 1 less the entropy of the shares in units of the largest it can be."""
    whole = importance.sum(axis=-1)
    shares = np.divide(importance, whole[..., None], out=np.zeros_like(importance), where=whole[..., None] > 0)
    return whole * (1 - special.entr(shares).sum(axis=-1) / np.log(max(importance.shape[-1], 2)))


def _above_shuffled(pure: np.ndarray, whole: np.ndarray, null: slice) -> np.ndarray:
    """The pure importance `[R]` less its mean over the rows of the null, as share of the whole importance `[R]`."""
    return np.divide(pure - pure[null].mean(), whole, out=np.zeros_like(pure), where=whole > 0)


class _Counter:
    """What the scores need, with the attributes of the images in any order: in their own, or shuffled."""

    def __init__(
        self, codes: Codes, columns: list[Labelling], groups: np.ndarray, generator: np.random.Generator
    ) -> None:
        self.codes, self.labels = codes, [column.labels for column in columns]
        n, bits = len(codes), unpack_bits(codes.packed, codes.bits)
        self.entropy = binary_entropy(bits.mean(axis=0))
        self.factor_entropy = np.array([-xlog2x(s / s.sum()).sum() for s in map(_sizes, self.labels)])
        held_out = half(generator.permutation(groups.max() + 1), groups)
        self.fitted, self.held_out = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        held, numbers = np.unique(groups[held_out], return_inverse=True)
        self.part = half(generator.permutation(len(held)), numbers.reshape(-1))
        self.packed = codes.packed[self.fitted], codes.packed[self.held_out]
        self.held_out_bits = bits[held_out].astype(np.float32)
        first, second = generator.integers(0, n, (2, PAIRS))
        kept = groups[first] != groups[second]
        self.first, self.second = first[kept], second[kept]
        self.distance = _ranks((bits[self.first] != bits[self.second]).sum(axis=1))
        self.mixed = generator.permutation(len(self.held_out))

    def expected(self) -> np.ndarray:
        """Mean information over all permutations of the known values, `[B, F]`."""
        of_factor = []
        for labels in self.labels:
            ones = column_counts(self.codes.packed[labels >= 0], self.codes.bits)
            of_factor.append(expected_information(ones, _sizes(labels)))
        return np.stack(of_factor, axis=1)

    def count(self, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Information as counted and accuracy `[B, F]`, the loss saved by naive Bayes `[F]`, and topographic."""
        found = [self._of_factor(labels[order], int(labels.max()) + 1) for labels in self.labels]
        information, accuracy = (np.stack([one[i] for one in found], axis=1) for i in (0, 1))
        return information, accuracy, np.array([one[2] for one in found]), self._topographic(order)

    def _of_factor(self, labels: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray, float]:
        parts = [labels[self.fitted], labels[self.held_out]]
        sizes = [_sizes(part, n_classes) for part in parts]
        counts = [
            class_counts(p, self.codes.bits, part, n_classes) for p, part in zip(self.packed, parts, strict=True)
        ]
        read: Any = slice(None) if len(self.mixed) * n_classes <= READ else self.mixed[: READ // n_classes]
        saved = loss_saved(self.held_out_bits[read], parts[1][read], self.part[read], counts[0], sizes[0])
        ones, class_n = counts[0] + counts[1], sizes[0] + sizes[1]
        right = ones.max(axis=0) + (class_n[:, None] - ones).max(axis=0)
        return table_information(ones.T, class_n), right / class_n.sum(), saved

    def _topographic(self, order: np.ndarray) -> float:
        """Spearman correlation of the codes' distances and the shares of factors that differ."""
        differ, known = np.zeros((2, len(self.first)), np.int64)
        for labels in self.labels:
            mixed = labels[order]
            a, b = mixed[self.first], mixed[self.second]
            both = (a >= 0) & (b >= 0)
            known += both
            differ += both & (a != b)
        # the shares are few, so that their ranks are counted, and nothing is sorted
        most = len(self.labels) + 1
        share = np.arange(most)[:, None] / np.maximum(np.arange(most), 1)
        share = share.ravel()
        pairs = np.bincount(differ * most + known, minlength=most**2) * (np.arange(most**2) % most > 0)
        rank = (share < share[:, None]) @ pairs + ((share == share[:, None]) @ pairs + 1) / 2
        counted = known > 0
        meaning, code = rank[(differ * most + known)[counted]], self.distance[counted]
        if len(code) < 2 or np.ptp(meaning) == 0 or np.ptp(code) == 0:
            return 0.0
        return float(np.corrcoef(code, meaning)[0, 1])


def _sizes(labels: np.ndarray, classes: int = 0) -> np.ndarray:
    return np.bincount(labels[labels >= 0], minlength=classes)


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy import stats  # slow to load

    return stats.rankdata(values)
