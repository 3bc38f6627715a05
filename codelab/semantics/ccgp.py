"""Cross-condition generalisation: does a read-out of an attribute, trained on some classes, hold in the others?"""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.core.attributes import CLASS, Groups, labelling, repeated
from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number, p_phrase
from codelab.core.result import Result, Source
from codelab.measures.class_information import check_permutations
from codelab.statistics.clusters import group_units
from codelab.statistics.exchange import Exchange
from codelab.statistics.nulls import mid_p_value

FOLDS = 10
"""Classes are left out one by one up to this number, and in so many parts beyond it."""
AT_ONCE = 64
"""Permutations whose read-outs are fitted together: a bound on memory."""
RIDGE = 1.0
"""Added to the sum of squares of each dimension, so that it can be inverted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generalisation(Result):
    """Accuracy of a linear read-out of an attribute in classes it was not trained on, averaged over these classes.

    `value` is that of the bits and `features` that of the features (NaN without them): within a class the mean over
    the attribute's values, so that `chance` = 1 / values of the class. `null` and `features_null` are the means with
    the attribute permuted within each class, `p_value` and `features_p_value` how often these reach the figure.
    `within` and `features_within` are the accuracies of the read-outs on the classes they were trained on: what there
    is to generalise. `classes` have two values or more.

    The line quotes the bits beside the null and the features.
    """

    value: float
    null: float
    p_value: float
    within: float
    features: float
    features_null: float
    features_p_value: float
    features_within: float
    chance: float
    attribute: str
    values: tuple[str, ...]
    classes: tuple[str, ...]
    images: int
    groups: int | None
    permutations: int
    estimator: str = "balanced accuracy of a shrunk linear discriminant, classes left out in turn"

    def headline(self) -> str:
        bits = f"{self.attribute} in unseen classes: {number(self.value)} by bits"
        null = f"(permuted {number(self.null)}, {p_phrase('p', self.p_value)})"
        by = "" if np.isnan(self.features) else f", {number(self.features)} by features"
        return f"{bits} {null}{by}; {len(self.classes)} classes"


def ccgp(
    codes: Codes, attribute: str, *, groups: Groups = None, permutations: int = 50, seed: int = 0
) -> Generalisation:
    """Cross-condition generalisation performance of an attribute over the classes, for bits and for features.

    A code in which the attribute is one direction shared by all classes lets a read-out that saw some classes work in
    the others; one that writes it differently in each class does not, however well it can be read within them.
    The read-out is a linear discriminant in which all values are equally likely. With the training images and their
    means m_v at each value taken less the mean of all, and S their sum of squares within the values,

        value of x = argmax_v (x - m_v / 2)' (S + I)^-1 m_v

    Features are first divided by the root of their mean variance, so that their unit does not decide how much I weighs
    beside S; bits are -1 and 1.

    Args:
        codes: labelled codes `[N, B]` with item columns; features are read too where there are any.
        attribute: an item column; numbers go into quantile bins.
        groups: an item column or one value an image; images of one group are near copies: the attribute is permuted by
            whole groups where it is constant in them, within them elsewhere.
        permutations: behind the p-values.
        seed: of the folds and the permutations.

    Raises:
        UsageError: no such column, or the class itself.
        DataError: no labels, multi-label data, an attribute with a value an image, or fewer than 2 classes with two
            values of the attribute.

    Source: Bernardi et al. 2020 (CCGP); Hastie, Tibshirani & Friedman 2009, eq. 4.10 (linear discriminant).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> kind, tone = rng.integers(0, 4, 400), rng.integers(0, 2, 400)
        >>> shared = Codes.from_bits(np.stack([tone, kind & 1], 1), kind, items={"tone": tone.astype(str)})
        >>> own = Codes.from_bits(np.stack([tone ^ (kind & 1), kind & 1], 1), kind, items={"tone": tone.astype(str)})
        >>> ccgp(shared, "tone").value, ccgp(own, "tone").value < 0.6
        (1.0, True)
    """
    check_codes("codes", codes)
    check_permutations(permutations, seed)
    if attribute == CLASS:
        raise UsageError("attribute 'class': expected an item column other than the class")
    if not codes.labelled:
        raise DataError("ccgp: these codes have no labels, expected classes to train on and to test on")
    classes, target = labelling(codes), repeated("ccgp", codes, attribute)
    units = group_units("ccgp", codes, groups)
    rows = np.flatnonzero((classes.labels >= 0) & (target.labels >= 0))
    pairs = np.unique(np.stack([classes.labels[rows], target.labels[rows]]), axis=1)
    several = np.flatnonzero(np.bincount(pairs[0], minlength=1) > 1)
    rows = rows[np.isin(classes.labels[rows], several)]
    if len(several) < 2:
        raise DataError(
            f"ccgp: {len(several)} classes have two values of {attribute}, expected 2 or more, to train on one and "
            "test on another"
        )
    condition, y = classes.labels[rows], target.labels[rows]
    generator = np.random.default_rng(seed)
    fold = np.full(int(several.max()) + 1, -1)
    fold[generator.permutation(several)] = np.arange(len(several)) % min(FOLDS, len(several))
    plan = _Plan(condition, fold[condition], len(target.names))
    exchange = Exchange.of(y, None if units is None else units[rows], condition)
    drawn = [y, *(exchange.draw(generator) for _ in range(permutations))]
    bits = 2.0 * codes[rows].to_bits() - 1
    figures = [_figures(plan, bits, drawn)]
    if codes.features is not None:
        features = codes.features[rows].astype(np.float64)
        scale = float(np.sqrt(features.var(axis=0).mean()))
        figures.append(_figures(plan, features / (scale or 1.0), drawn))
    else:
        figures.append((np.nan,) * 4)
    (value, null, p_value, within), (by_features, features_null, features_p, features_within) = figures
    own = np.unique(np.stack([condition, y]), axis=1)[0]
    return Generalisation(
        source=Source.of(codes),
        seed=seed,
        value=value,
        null=null,
        p_value=p_value,
        within=within,
        features=by_features,
        features_null=features_null,
        features_p_value=features_p,
        features_within=features_within,
        chance=float((1 / np.bincount(own)[several]).mean()),
        attribute=attribute,
        values=tuple(target.names[v] for v in np.unique(y)),
        classes=tuple(classes.names[c] for c in several),
        images=len(rows),
        groups=None if units is None else len(np.unique(units[rows])),
        permutations=permutations,
    )


def _figures(plan: _Plan, x: np.ndarray, drawn: list[np.ndarray]) -> tuple[float, float, float, float]:
    """Accuracy in unseen classes, its mean and p-value with permuted values, and the accuracy in the classes seen;
    `drawn` are the true values, then permuted ones.
    """
    parts = [plan.accuracies(x, drawn[first : first + AT_ONCE]) for first in range(0, len(drawn), AT_ONCE)]
    unseen, *null = (value for part, _ in parts for value in part)
    seen = parts[0][1]
    return unseen, float(np.mean(null)), float(mid_p_value(unseen, np.array(null))), seen


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """The class `[n]` of each image, the fold `[n]` in which its class is left out, and the number of values."""

    condition: np.ndarray
    fold: np.ndarray
    values: int

    def accuracies(self, x: np.ndarray, drawn: list[np.ndarray]) -> tuple[list[float], float]:
        """Balanced accuracies, each a mean over classes: of each of `drawn` `[P, n]` in the classes left out, and of
        the first in those trained on.

        The scatter T of a training part does not depend on the attribute, so one factor of it serves all of `drawn`.
        With the means M `[d, V]` less the mean of the part, their images D (diagonal), and Z = T^-1 M, the scatter
        within the values is S = T - M D M', and

            S^-1 M = Z (1 - D M' Z)^-1      (Woodbury's identity)
        """
        from scipy.linalg import cho_factor, cho_solve

        x = x - x.mean(axis=0)
        folds = int(self.fold.max()) + 1
        sums, counts = self._cells(x, drawn, folds)
        answers = np.empty((len(drawn), len(x)), np.int64)
        gram, own = x.T @ x, []
        for part in range(folds):
            out = self.fold == part
            there = counts.sum(axis=1) - counts[:, part]  # [P, V]
            total = sums.sum(axis=1) - sums[:, part]  # [P, V, d]
            mean = total[0].sum(axis=0) / there[0].sum()
            scatter = gram - x[out].T @ x[out] - there[0].sum() * np.outer(mean, mean)
            scatter.flat[:: len(mean) + 1] += RIDGE
            means = np.where(there[:, :, None] > 0, total / np.maximum(there, 1)[:, :, None] - mean, 0.0)
            z = cho_solve(cho_factor(scatter), means.reshape(-1, len(mean)).T).T.reshape(means.shape)
            inner = there[:, :, None] * (means @ z.swapaxes(1, 2))
            weights = np.linalg.solve((np.eye(self.values) - inner).swapaxes(1, 2), z)
            level = np.where(there > 0, (weights * means).sum(axis=2) / 2, np.inf)
            for place, (w, cut) in enumerate(zip(weights, level, strict=True)):
                answers[place, out] = ((x[out] - mean) @ w.T - cut).argmax(axis=1)
            if (there[0] > 0).sum() > 1:
                given = ((x[~out] - mean) @ weights[0].T - level[0]).argmax(axis=1)
                own.append(_balanced(self.condition[~out], drawn[0][~out], given))
        unseen = [_balanced(self.condition, y, given) for y, given in zip(drawn, answers, strict=True)]
        return unseen, float(np.mean(own)) if own else np.nan

    def _cells(self, x: np.ndarray, drawn: list[np.ndarray], folds: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the images of each fold and value, their sum `[P, folds, V, d]` and how many they are `[P, folds, V]`."""
        from scipy.sparse import csr_array

        shape = (folds, self.values)
        cells = [self.fold * self.values + y for y in drawn]
        one, row, size = np.ones(len(x)), np.arange(len(x)), (folds * self.values, len(x))
        sums = [csr_array((one, (cell, row)), shape=size) @ x for cell in cells]
        counts = [np.bincount(cell, minlength=folds * self.values).reshape(shape) for cell in cells]
        return np.stack(sums).reshape(len(drawn), *shape, -1), np.stack(counts)


def _balanced(condition: np.ndarray, y: np.ndarray, answers: np.ndarray) -> float:
    """Share of right answers, averaged over the values in each class, then over classes."""
    values = int(y.max()) + 1
    cell = condition.astype(np.int64) * values + y
    images, right = np.bincount(cell), np.bincount(cell, answers == y)
    cells = np.flatnonzero(images)
    share, of_class = right[cells] / images[cells], cells // values
    classes = np.bincount(of_class)
    return float((np.bincount(of_class, share)[classes > 0] / classes[classes > 0]).mean())
