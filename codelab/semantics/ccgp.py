"""Cross-condition generalisation: does a read-out of an attribute, trained on some classes, hold in the others?"""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.core.attributes import CLASS, Groups, labelling
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
    estimator: str = "balanced accuracy of a ridge read-out, classes left out in turn"

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

    Args:
        codes: labelled codes `[N, B]` with item columns; features are read too where there are any.
        attribute: an item column; numbers go into quantile bins.
        groups: an item column or one value an image; images of one group are near copies: the attribute is permuted by
            whole groups where it is constant in them, within them elsewhere.
        permutations: behind the p-values.
        seed: of the folds and the permutations.

    Raises:
        UsageError: no such column, or the class itself.
        DataError: no labels, multi-label data, or fewer than 2 classes with two values of the attribute.

    Source: Bernardi et al. 2020 (CCGP).

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
    classes, target = labelling(codes), labelling(codes, attribute)
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
    plan = _Plan(condition, fold[condition])
    exchange = Exchange.of(y, None if units is None else units[rows], condition)
    drawn = [exchange.draw(generator) for _ in range(permutations)]
    bits = 2.0 * codes[rows].to_bits() - 1
    figures = [_figures(plan, bits, y, drawn)]
    if codes.features is not None:
        figures.append(_figures(plan, codes.features[rows].astype(np.float64), y, drawn))
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


def _figures(plan: _Plan, x: np.ndarray, y: np.ndarray, drawn: list[np.ndarray]) -> tuple[float, float, float, float]:
    """Accuracy in unseen classes, its mean and p-value with permuted values, and the accuracy in the classes seen."""
    unseen, seen = plan.accuracy(x, y)
    null = np.array([plan.accuracy(x, values)[0] for values in drawn])
    return unseen, float(null.mean()), float(mid_p_value(unseen, null)), seen


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """The class `[n]` of each image, and the fold `[n]` in which its class is left out."""

    condition: np.ndarray
    fold: np.ndarray

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """Balanced accuracy of ridge read-outs, a mean over classes: in those left out, and in those trained on."""
        from sklearn.linear_model import RidgeClassifier

        unseen, seen = np.empty(len(y), y.dtype), []
        for part in range(int(self.fold.max()) + 1):
            out = self.fold == part
            if len(np.unique(y[~out])) < 2:
                unseen[out] = y[~out][0]
                continue
            model = RidgeClassifier(alpha=1.0, class_weight="balanced").fit(x[~out], y[~out])
            unseen[out] = model.predict(x[out])
            seen.append(_balanced(self.condition[~out], y[~out], model.predict(x[~out])))
        return _balanced(self.condition, y, unseen), float(np.mean(seen)) if seen else np.nan


def _balanced(condition: np.ndarray, y: np.ndarray, answers: np.ndarray) -> float:
    """Share of right answers, averaged over the values in each class, then over classes."""
    cells, cell = np.unique(np.stack([condition, y]), axis=1, return_inverse=True)
    cell = cell.reshape(-1)
    right = np.bincount(cell, answers == y) / np.bincount(cell)
    _, of_class = np.unique(cells[0], return_inverse=True)
    return float((np.bincount(of_class, right) / np.bincount(of_class)).mean())
