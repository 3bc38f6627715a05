"""Alignment: which class, group of classes, attribute value or image statistic each bit agrees with, and how well."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from codelab.core.attributes import Groups, group_column
from codelab.core.checks import check_codes, check_seed
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.formats import number
from codelab.core.result import PerBit, Source
from codelab.measures.class_information import check_permutations
from codelab.semantics.directions import random_directions
from codelab.semantics.targets import ClassGroups, Targets, targets
from codelab.statistics.clusters import group_units
from codelab.statistics.estimators import binary_entropy, two_by_two_information
from codelab.statistics.exchange import shuffled_rows
from codelab.statistics.nulls import pair_null, permutation_p_value
from codelab.statistics.phi import paired_phi, phi, phi_of_counts
from codelab.statistics.precision_recall import precision_recall_areas
from codelab.statistics.splits import half


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well a yes/no column agrees with another; arrays of one shape.

    `phi` is their correlation; `iou` images where both are 1 over those where either is; `f1` the harmonic mean of
    precision and recall; `information` their mutual information less its mean under permutation, over the larger of
    their two entropies: 1 where each follows from the other.
    """

    phi: np.ndarray
    iou: np.ndarray
    f1: np.ndarray
    information: np.ndarray


def agreement(both: np.ndarray, ones: np.ndarray, has: np.ndarray, n: int) -> Agreement:
    """From counts; a column that never changes agrees with nothing: all its figures are 0.

    Each of them falls where half of the labels are missing, and where as many wrong ones are added, however rare the
    label is.

    Args:
        both: images where both columns are 1; the arguments broadcast.
        ones, has: ones of the first and of the second column.
        n: images.

    Source: the tests a score must pass: NeuronEval, arXiv 2506.05774.

    Example:
        >>> found = agreement(np.array([30, 15]), np.array(30), np.array([30, 15]), 300)  # all labels, half of them
        >>> found.phi.round(2).tolist(), found.iou.tolist()
        ([1.0, 0.69], [1.0, 0.5])
    """
    both, ones, has = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (both, ones, has)))
    alive = (ones > 0) & (ones < n) & (has > 0) & (has < n)
    information = np.zeros(both.shape)
    if alive.any():
        a, b, ab = (v[alive].astype(np.int64) for v in (ones, has, both))
        chance = pair_null(a, b, ab, n)[0]
        entropy = np.maximum(binary_entropy(a / n), binary_entropy(b / n))
        information[alive] = (two_by_two_information(ab, a, b, n) - chance) / np.maximum(entropy - chance, 1e-12)

    def ratio(top: np.ndarray, below: np.ndarray) -> np.ndarray:
        return np.divide(top, below, out=np.zeros(both.shape), where=alive & (below > 0))

    return Agreement(
        phi=phi_of_counts(both, ones, has, n),
        iou=ratio(both, ones + has - both),
        f1=ratio(2 * both, ones + has),
        information=np.clip(information, 0.0, 1.0),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alignment(PerBit):
    """Per bit, arrays `[B]`: the yes/no question it agrees with best, chosen on one half of the images, and how well
    it agrees on the other.

    `target` is the question, `side` 1 where the bit is 1 for yes, 0 where it is 0. `phi`, `iou`, `f1` and
    `information` (see `Agreement`; of the bit's side) are on the other half, as are `auprc`, the area under the
    precision-recall curve of the logit beside its chance level `prevalence`, and `auc` (NaN without logits). `auc`
    cannot tell a concept from one half of it, so nothing is chosen by it. `p_value`: how often the largest phi of all
    bits, each with its question, reaches this one where attributes are permuted over the images; the choice among the
    questions is paid for by the half that made it.

    `phi_of` `[B, T]` is phi of every bit with each question in `targets`, on the other half. Near copies never
    straddle the halves: see `groups`. `n_scored` images were scored on. `random_phi` `[B]` are the same figures of as
    many random directions of the same features, each cut so that it is 1 as often as the bit; empty without features.

    The line quotes how many bits agree with a question at p < 0.05, and the best of them.
    """

    target: np.ndarray
    side: np.ndarray
    phi: np.ndarray
    iou: np.ndarray
    f1: np.ndarray
    information: np.ndarray
    auprc: np.ndarray
    prevalence: np.ndarray
    auc: np.ndarray
    p_value: np.ndarray
    phi_of: np.ndarray
    random_phi: np.ndarray
    targets: tuple[str, ...]
    n_scored: int
    groups: int | None
    permutations: int
    estimator: str = "chosen on one half, scored on the other; the p-value is over all bits"

    COLUMNS = (
        *("target", "side", "phi", "iou", "f1", "information"),
        *("auprc", "prevalence", "auc", "p_value"),
    )

    def headline(self) -> str:
        sure = self.p_value < 0.05
        found = f"{int(sure.sum())} of {len(sure)} bits agree with one of {len(self.targets)} questions at p < 0.05"
        if not sure.any():
            return found
        best = int(np.where(sure, self.phi, -1).argmax())
        null = f", random directions at best {number(float(self.random_phi.max()))}" if len(self.random_phi) else ""
        return f"{found}; best bit {best}: {self.target[best]}, phi {number(self.phi[best])}{null}"


def align_attributes(
    codes: Codes,
    attributes: Sequence[str] | None = None,
    *,
    class_groups: ClassGroups = None,
    groups: Groups = None,
    permutations: int = 200,
    seed: int = 0,
) -> Alignment:
    """Which class, group of classes, attribute value or image statistic each bit agrees with best, on other images.

    Args:
        codes: codes `[N, B]` with labels, item columns, or both.
        attributes: the columns that are tried; default: the class, every attribute, and the image statistics. An item
            column that groups the classes is one of the attributes.
        class_groups: more questions, whether an image's class is in a group, such as
            `{"cat": "animal", "dog": ["animal", "pet"]}`; also one name a class, or an item column with one value in
            each class.
        groups: an item column or one value an image; images of one group are near copies: they are in one half, and
            their attributes are permuted as a whole.
        permutations: behind the p-values.
        seed: of the halves and the permutations.

    Raises:
        UsageError: no such column or class, or groups that do not fit the classes.
        DataError: nothing to compare with, or too few images (groups) for two halves.

    Source: phi, IoU and F1 as scores of a unit's name: NeuronEval, arXiv 2506.05774; the distribution of the maximum:
        Westfall & Young 1993.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tone, noise = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
        >>> codes = Codes.from_bits(np.stack([1 - tone, noise], 1), items={"tone": np.array(["dark", "light"])[tone]})
        >>> found = align_attributes(codes)
        >>> str(found.target[0]), int(found.side[0]), float(found.phi[0]), (found.p_value < 0.05).tolist()
        ('tone = dark', 1, 1.0, [True, False])
    """
    check_codes("codes", codes)
    return align(
        codes, targets(codes, attributes, class_groups=class_groups), "align_attributes", groups, permutations, seed
    )


def align(codes: Codes, asked: Targets, measure: str, groups: Groups, permutations: int, seed: int) -> Alignment:
    """`align_attributes` with any questions; errors name `measure`."""
    check_permutations(permutations, seed)
    check_seed(seed)
    units = group_units(measure, codes, groups)
    unit = group_column(codes, groups)
    generator = np.random.default_rng(seed)
    order = generator.permutation(int(unit.max(initial=-1)) + 1)
    first = half(order, unit)
    choose, score = np.flatnonzero(first), np.flatnonzero(~first)
    if min(len(choose), len(score)) < 2:
        raise DataError(f"{measure}: {len(order)} images or groups, expected at least 4, for two halves")
    bits = codes.to_bits()
    chosen, side = _chosen(bits[choose], asked.has[choose])
    scored, truth = bits[score], asked.has[score]
    phi_of = phi(scored, truth)
    random = np.empty(0)
    if codes.features is not None:
        drawn = random_directions(codes.features, codes.bits, seed, shares=bits.mean(axis=0))
        of_drawn, of_side = _chosen(drawn[choose], asked.has[choose])
        random = phi(drawn[score], truth)[np.arange(codes.bits), of_drawn] * (2 * of_side - 1)
    right = scored == side  # the bit where 1 stands for yes, its complement where 0 does
    has = truth[:, chosen]
    null = _largest(right, has, unit[score], permutations, generator)
    n = len(score)
    figures = agreement((right & has).sum(axis=0), right.sum(axis=0), has.sum(axis=0), n)
    auprc, auc = _curves(codes, score, side, has)
    return Alignment(
        source=Source.of(codes),
        seed=seed,
        target=np.array(asked.names)[chosen],
        side=side,
        **{f.name: getattr(figures, f.name) for f in dataclasses.fields(figures)},
        auprc=auprc,
        prevalence=has.mean(axis=0),
        auc=auc,
        p_value=permutation_p_value(figures.phi, null[:, None]),
        phi_of=phi_of,
        random_phi=random,
        targets=asked.names,
        n_scored=n,
        groups=None if units is None else int(units.max()) + 1,
        permutations=permutations,
    )


def _chosen(bits: np.ndarray, has: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The question that each bit agrees with best, and the side of the bit that stands for yes: `[B]` each."""
    found = phi(bits, has)
    chosen = np.abs(found).argmax(axis=1)
    return chosen, (found[np.arange(len(found)), chosen] >= 0).astype(np.int64)


def _largest(
    right: np.ndarray, has: np.ndarray, groups: np.ndarray, permutations: int, generator: np.random.Generator
) -> np.ndarray:
    """The largest phi of all bits with their own questions, whole groups' attributes permuted: `[permutations]`."""
    unit = np.unique(groups, return_inverse=True)[1].reshape(-1)
    drawn = (has[shuffled_rows(unit, generator)] for _ in range(permutations))
    return np.array([paired_phi(right, answers).max() for answers in drawn])


def _curves(codes: Codes, rows: np.ndarray, side: np.ndarray, has: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the precision-recall and the ROC curve of each bit's logit, `[B]`; NaN without logits."""
    nothing = np.full(codes.bits, np.nan)
    if codes.logits is None:
        return nothing, nothing
    from sklearn.metrics import roc_auc_score

    sure = codes.logits[rows].astype(np.float32) * np.where(side == 1, 1, -1)
    auprc, auc = nothing, nothing.copy()
    asked = np.flatnonzero(has.any(axis=0) & ~has.all(axis=0))
    auprc[asked] = precision_recall_areas(has[:, asked], sure[:, asked])
    for b in asked.tolist():
        auc[b] = roc_auc_score(has[:, b], sure[:, b])
    return auprc, auc
