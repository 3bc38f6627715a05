"""Disentanglement: does each bit stand for one factor? Scores, each beside its control on shuffled attributes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from codelab.core.attributes import CLASS, Labelling, attribute_names, labelling
from codelab.core.checks import check_codes, check_seed
from codelab.core.codes import Codes, unpack_bits
from codelab.core.errors import DataError, UsageError
from codelab.core.result import Result, Source
from codelab.kernels.counting import class_counts
from codelab.statistics.estimators import binary_entropy, expected_information, table_information, xlog2x
from codelab.statistics.nulls import permutation_p_value
from codelab.statistics.splits import half

if TYPE_CHECKING:
    import pandas as pd

PAIRS = 20_000
"""Pairs of images behind the topographic similarity."""

CLOSE = 1e-3
"""Logits of naive Bayes nearer than this in float32 are compared again in float64."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Factors(Result):
    """Scores, one row each: `measure`, `factor` (`all` where it is one figure for the code), `value`, the mean of the
    same score over shuffled attributes `control`, their 95 % point `control_high`, and the `p_value`.

    `information` `[B, F]` is I(bit; factor) in bits, corrected for chance, of the factors named in `factors`, over
    `items` images.

    * `mig`: the information of the best bit less that of the second, over the factor's entropy.
    * `sap`: the same with the share of images that one bit classifies rightly, instead of information.
    * `disentanglement`: 1 for bits that each have information about one factor only, 0 for bits with
      equal information about all.
    * `completeness`: 1 for a factor that one bit has all information about, 0 for one that all bits
      have equal information about. Importance in both
      is information as counted, so noise reads as information spread over all, and scores low.
    * `informativeness`: share of held-out images whose factor naive Bayes reads from the whole code.
    * `positional`: a bit's information on its best factor less that on the second, over the bit's entropy.
    * `topographic`: rank correlation of code distance and number of differing factors, over pairs of images.

    The line quotes how many scores stand out from shuffled attributes, and the factors.
    """

    factors: tuple[str, ...]
    information: np.ndarray
    measure: tuple[str, ...]
    factor: tuple[str, ...]
    score: np.ndarray
    control: np.ndarray
    control_high: np.ndarray
    p_value: np.ndarray
    permutations: int
    items: int
    estimator: str = "plug-in less its exact permutation mean; DCI: plug-in"

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
                "control": self.control,
                "control_high": self.control_high,
                "p_value": self.p_value,
            }
        )


def factors(
    codes: Codes,
    attributes: Sequence[str] | None = None,
    *,
    bins: int = 8,
    permutations: int = 200,
    items: int = 20_000,
    seed: int = 0,
) -> Factors:
    """Disentanglement and compositionality of bits with respect to several attributes.

    Args:
        codes: codes `[N, B]` with item columns.
        attributes: two or more item columns, or `class`; default: all attribute columns and, where there are labels,
            the class.
        bins: quantile bins of a column of numbers.
        permutations: shuffles of the images' attributes, all attributes together, behind each control.
        items: at most this many images, drawn by `seed`, are looked at.
        seed: of all chance.

    Returns:
        Scores with their controls; see `Factors`. Factors that go together share bits, which lowers the scores.

    Raises:
        UsageError: fewer than 2 attributes named, or one that does not exist.
        DataError: fewer than 2 attributes to be found, or an attribute without two values.

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
    if permutations < 1:
        raise UsageError(f"permutations {permutations}: expected at least 1")
    check_seed(seed)
    source, names = Source.of(codes), _names(codes, attributes)
    if len(codes) > items:
        codes = codes[np.sort(np.random.default_rng([seed, 2]).permutation(len(codes))[:items])]
    columns = [labelling(codes, name, bins=bins) for name in names]
    for column in columns:
        if len(np.unique(column.labels[column.labels >= 0])) < 2:
            raise DataError(f"factors: {column.text} has fewer than two values")
    scorer = _Scorer(codes, columns, np.random.default_rng(seed))
    rows, real = scorer.scores(np.arange(len(codes)))
    generator = np.random.default_rng([seed, 1])
    null = np.stack([scorer.scores(generator.permutation(len(codes)))[1] for _ in range(permutations)])
    return Factors(
        source=source,
        seed=seed,
        items=len(codes),
        factors=tuple(column.text for column in columns),
        information=scorer.information(np.arange(len(codes))),
        measure=tuple(measure for measure, _ in rows),
        factor=tuple(factor for _, factor in rows),
        score=real,
        control=null.mean(axis=0),
        control_high=np.quantile(null, 0.95, axis=0),
        p_value=permutation_p_value(real, null),
        permutations=permutations,
    )


def _names(codes: Codes, attributes: Sequence[str] | None) -> list[str]:
    if attributes is not None:
        names = list(dict.fromkeys(attributes))
        if len(names) < 2:
            raise UsageError(f"attributes: found {len(names)}, expected at least 2")
        return names
    names = attribute_names(codes)
    if codes.labelled and not codes.multilabel and len(np.unique(codes.labels[codes.labels >= 0])) > 1:
        names = [CLASS, *(name for name in names if name != CLASS)]
    if len(names) < 2:
        raise DataError(f"factors: needs two attributes, these codes have {', '.join(names) or 'none'}")
    return names


class _Scorer:
    """All scores for the attributes of the images in any order: in their own, or shuffled for the control."""

    def __init__(self, codes: Codes, columns: list[Labelling], generator: np.random.Generator) -> None:
        self.codes, self.columns = codes, columns
        self.chance: dict[int, np.ndarray] = {}
        n, bits = len(codes), unpack_bits(codes.packed, codes.bits)
        self.entropy = binary_entropy(bits.mean(axis=0))
        shares = [np.bincount(c.labels[c.labels >= 0]) / max((c.labels >= 0).sum(), 1) for c in columns]
        self.factor_entropy = np.array([-xlog2x(s).sum() for s in shares])
        # the inverse of the permutation says the place of each item, and the first half of the places is held out
        held_out = half(np.argsort(generator.permutation(n)))
        self.fitted, self.held_out = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        self.packed = codes.packed[self.fitted], codes.packed[self.held_out]
        self.held_out_bits = bits[held_out].astype(np.float32)
        first, second = generator.integers(0, n, (2, PAIRS))
        kept = first != second
        self.first, self.second = first[kept], second[kept]
        self.distance = _ranks((bits[self.first] != bits[self.second]).sum(axis=1))

    def information(self, order: np.ndarray) -> np.ndarray:
        """Corrected information of each bit and factor, `[B, F]`."""
        return np.stack([self._of_factor(f, order)[0] for f in range(len(self.columns))], axis=1)

    def scores(self, order: np.ndarray) -> tuple[list[tuple[str, str]], np.ndarray]:
        """Measure and factor of each score, and the scores."""
        found = [self._of_factor(f, order) for f in range(len(self.columns))]
        information, accuracy = (np.stack([one[i] for one in found], axis=1) for i in (0, 1))
        # as counted: corrected values of shuffled data leave one bit above 0 by chance, which then scores 1 alone
        importance = np.maximum(information + np.stack(list(self.chance.values()), axis=1), 0.0)
        rows: list[tuple[str, str]] = []
        values: list[float] = []

        def add(measure: str, factor: str, value: float) -> None:
            rows.append((measure, factor))
            values.append(float(value))

        top, sure = np.sort(information, axis=0)[::-1], np.sort(accuracy, axis=0)[::-1]
        weight = importance.sum(axis=0)
        complete = 1 - _relative_entropy(importance.T)
        second = 1 if len(top) > 1 else 0
        for f, column in enumerate(self.columns):
            add("mig", column.text, (top[0, f] - top[second, f]) / self.factor_entropy[f])
            add("sap", column.text, sure[0, f] - sure[second, f])
            add("completeness", column.text, complete[f] if weight[f] > 0 else 0.0)
            add("informativeness", column.text, found[f][2])
        per_bit = importance.sum(axis=1)
        total = per_bit.sum()
        parted = (per_bit * (1 - _relative_entropy(importance))).sum() / total if total > 0 else 0.0
        add("disentanglement", "all", parted)
        best = np.sort(np.maximum(information, 0.0), axis=1)[:, ::-1]
        used = self.entropy > 0
        gap = (best[used, 0] - best[used, 1]) / self.entropy[used]
        add("positional", "all", gap.mean() if used.any() else 0.0)
        add("topographic", "all", self._topographic(order))
        return rows, np.array(values)

    def _of_factor(self, f: int, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Corrected information `[B]`, accuracy of the best guess from one bit `[B]`, and accuracy of naive Bayes."""
        labels = self.columns[f].labels[order]
        n_classes = int(labels.max()) + 1
        parts = [labels[self.fitted], labels[self.held_out]]
        sizes = [np.bincount(part[part >= 0], minlength=n_classes) for part in parts]
        counts = [
            class_counts(p, self.codes.bits, part, n_classes) for p, part in zip(self.packed, parts, strict=True)
        ]
        read = self._read(parts[1], counts[0], sizes[0])
        ones, class_n = counts[0] + counts[1], sizes[0] + sizes[1]
        present = class_n > 0
        ones, class_n = ones[present], class_n[present]
        if f not in self.chance:  # the first order is the images' own; missing values move it little in others
            self.chance[f] = expected_information(ones.sum(axis=0), class_n)
        right = ones.max(axis=0) + (class_n[:, None] - ones).max(axis=0)
        return table_information(ones.T, class_n) - self.chance[f], right / class_n.sum(), read

    def _read(self, labels: np.ndarray, ones: np.ndarray, class_n: np.ndarray) -> float:
        """Share of held-out images whose label is the one that naive Bayes finds most likely:

            log P(c | z) = log n_c / n + sum_b z_b log p_cb + (1 - z_b) log(1 - p_cb) + constant,
            p_cb = (n_cb + 1/2) / (n_c + 1),

        with n_c fitted images in class c and n_cb of them with bit b; so all classes are one product of matrices.

        Args:
            labels: of the held-out images, -1 = none.
            ones: n_cb, `[C, B]`.
            class_n: n_c, `[C]`.
        """
        known = labels >= 0
        if not class_n.any() or not known.any():
            return 0.0
        p = (ones + 0.5) / (class_n[:, None] + 1)
        prior = np.log((class_n + 1e-9) / class_n.sum()) + np.log(1 - p).sum(axis=1)
        weight = np.log(p / (1 - p)).T
        logits = self.held_out_bits @ weight.astype(np.float32) + prior.astype(np.float32)
        found = logits.argmax(axis=1)
        close = np.flatnonzero((logits > logits.max(axis=1, keepdims=True) - CLOSE).sum(axis=1) > 1)
        found[close] = (self.held_out_bits[close] @ weight + prior).argmax(axis=1)
        return float((found == labels)[known].mean())

    def _topographic(self, order: np.ndarray) -> float:
        """Spearman correlation of the codes' distances and the shares of factors that differ."""
        differ, known = np.zeros((2, len(self.first)))
        for column in self.columns:
            labels = column.labels[order]
            a, b = labels[self.first], labels[self.second]
            both = (a >= 0) & (b >= 0)
            known += both
            differ += both & (a != b)
        counted = known > 0
        meaning = _ranks(differ[counted] / known[counted])
        code = self.distance[counted]
        if len(code) < 2 or np.ptp(meaning) == 0 or np.ptp(code) == 0:
            return 0.0
        return float(np.corrcoef(code, meaning)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy import stats  # slow to load

    return stats.rankdata(values)


def _relative_entropy(importance: np.ndarray) -> np.ndarray:
    """Entropy of each row's shares, divided by the largest it can be; 1 for a row of zeros."""
    whole = importance.sum(axis=1, keepdims=True)
    shares = np.divide(importance, whole, out=np.zeros_like(importance), where=whole > 0)
    most = np.log(max(importance.shape[1], 2))
    return np.where(whole[:, 0] > 0, special.entr(shares).sum(axis=1) / most, 1.0)
