"""Cells of what the bits mean: probing, phi, pairs, reuse, generalisation, the alikeness of a bit's sides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from codelab.core.attributes import CLASS, labelling
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.measures.attribute_reuse import mean_reuse
from codelab.retrieval.deletion import Design
from codelab.scoring.cells import Cell, empty, from_parts, without_each
from codelab.scoring.filed import Filed, ones_of
from codelab.scoring.setting import Setting
from codelab.semantics.ccgp import ccgp
from codelab.semantics.matching import match_bits
from codelab.semantics.pairs import attribute_pairs
from codelab.semantics.probing import Answers
from codelab.semantics.targets import FEWEST
from codelab.statistics.jackknife import deal
from codelab.statistics.phi import phi_of_counts

DRAWS = 3
"""Random labellings behind the selectivity."""

HALVED = 8
"""Parts that halves of the images are made of, where bits are chosen."""

PERMUTATIONS = 10
"""Permuted images behind the threshold of matched bits."""


def probing(setting: Setting, codes: Codes | Filed, *, target: str, ks: Sequence[int]) -> list[Cell]:
    """Accuracy and selectivity by the best bits of each number in `ks`, and by all.

    Which bits are best turns on the images they are chosen on, and with them the answers to all scored images. So
    columns of chosen bits are measured again on halves of the images, to choose on, to fit on and to score (see
    `codelab.retrieval.deletion.Design`, whose `halves` are those of another measure that jumps). Where all bits are
    read, nothing is chosen, and the scored images alone are dealt to parts.
    """
    _need_values(setting.codes, target)
    few = [min(k, codes.bits) for k in ks]
    answers = Answers.of(codes[setting.rows], target, groups=setting.sampled_unit, draws=DRAWS, seed=setting.seed)
    found = answers([*few, codes.bits])
    found[1] = found[0] - found[1]
    part = setting.part[setting.rows][answers.rows[answers.test]]
    cells = [*_of_halves(answers, few, found[:, :-1].mean(axis=2), setting.seed)]
    return [*cells, *(_mean(values, part) for values in found[:, -1])]


def _of_halves(answers: Answers, ks: Sequence[int], values: np.ndarray, seed: int) -> Iterator[Cell]:
    """The cells of accuracy and selectivity `[2, K]` by the best k bits, for each number in `ks`."""
    parts = 1 << (min(HALVED, int(answers.unit.max()) + 1).bit_length() - 1)
    scored = np.isin(np.arange(len(answers.y)), answers.test)
    strata = scored * (int(answers.y.max()) + 1) + answers.y  # class first: small ones would all be scored in one half
    dealt, design = deal(answers.unit, strata, parts=parts, seed=seed), Design("halves", parts)
    averages = np.full((2 * (parts - 1), *values.shape), np.nan)
    for average, subset in zip(averages, design.subsets(), strict=True):
        kept = subset[dealt]
        if kept[answers.train].any() and kept[answers.test].any():
            right, chance = answers(ks, kept).mean(axis=2)
            average[:] = right, right - chance
    for k in range(len(ks)):
        for value, of_halves in zip(values[:, k], averages[:, :, k].T, strict=True):
            yield from_parts(value, design.deleted(of_halves, value, None).averages)


def _mean(values: np.ndarray, part: np.ndarray) -> Cell:
    """The mean over images, and without each part that has one."""
    n, sums = np.bincount(part), np.bincount(part, values)
    there = n > 0
    if there.sum() < 2:
        return Cell(float(values.mean()), reason="no interval: all scored images are in one part")
    return from_parts(values.mean(), (sums.sum() - sums[there]) / (n.sum() - n[there]))


def _need_values(codes: Codes, target: str) -> None:
    """A DataError where the class is no target."""
    if target == CLASS and not codes.labelled:
        raise DataError("class: these codes have no labels")
    if target == CLASS and codes.multilabel:
        raise DataError("class: needs one label an image, found multi-label data")


def best_phi(setting: Setting, codes: Codes | Filed, *, target: str) -> list[Cell]:
    """The correlation of each value with its best bit, chosen on half of the parts and scored on the others."""
    _need_values(setting.codes, target)
    found, part = labelling(setting.codes, target), setting.part
    values, parts = len(found.names), int(part.max()) + 1
    joint = np.where(found.labels >= 0, part * values + found.labels, -1)
    both = ones_of(codes, joint, parts * values).reshape(parts, values, codes.bits)
    has = np.bincount(joint[joint >= 0], minlength=parts * values).reshape(parts, values)
    ones, sizes = ones_of(codes, part, parts), np.bincount(part)
    chooses = np.arange(parts) < parts // 2
    with_it = np.stack([has[half].sum(axis=0) for half in (chooses, ~chooses)])
    without = np.array([[sizes[half].sum()] for half in (chooses, ~chooses)]) - with_it
    asked = np.flatnonzero(np.minimum(with_it, without).min(axis=0) >= FEWEST)
    if not len(asked):
        raise DataError(f"{target}: no value with {FEWEST} images in each half")

    def of(kept: np.ndarray) -> np.ndarray:
        """`[V, B]`."""
        shared, own = both[kept].sum(axis=0)[asked], has[kept].sum(axis=0)[asked]
        return phi_of_counts(shared, ones[kept].sum(axis=0), own[:, None], int(sizes[kept].sum()))

    def value(kept: np.ndarray) -> float:
        first, second = of(kept & chooses), of(kept & ~chooses)
        place = np.arange(len(asked)), np.abs(first).argmax(axis=1)
        return float((np.sign(first[place]) * second[place]).mean())

    return [_additive(value, parts)]


def _additive(value: Callable[[np.ndarray], float], parts: int) -> Cell:
    """A cell from counts that add: `value` of the parts that are kept, bool `[P]`."""
    everything = np.ones(parts, bool)
    return from_parts(value(everything), np.array([value(np.arange(parts) != i) for i in range(parts)]))


def pair_selectivity(setting: Setting, codes: Codes | Filed, *, attribute: str) -> list[Cell]:
    """Of pairs that differ in the attribute alone: the selectivity of the bit with the highest on the other half.

    Where no other attribute changes alone, a bit's flips are compared with the mean flips of the other bits.
    """
    part = setting.part[setting.rows]
    chooses = part < (int(setting.part.max()) + 1) // 2
    done: dict[bytes, np.ndarray] = {}

    def selectivity(kept: np.ndarray) -> np.ndarray:
        key = kept.tobytes()
        if key not in done:
            sample, unit = _sampled(setting, codes, kept)
            equal = setting.others(attribute)
            found = attribute_pairs(sample, attribute, equal=equal, groups=unit, permutations=1)
            others = (found.flip_rate.sum() - found.flip_rate) / max(codes.bits - 1, 1)
            done[key] = found.selectivity if found.others else found.flip_rate - others
        return done[key]

    def value(kept: np.ndarray) -> float:
        first, second = selectivity(kept & chooses), selectivity(kept & ~chooses)
        return float(second[first.argmax()])

    return [without_each(part, value)]


def reuse(setting: Setting, codes: Codes | Filed, *, attribute: str) -> list[Cell]:
    """`attribute_reuse`, the mean over the bits whose effects are above noise."""

    def value(kept: np.ndarray) -> float:
        sample, unit = _sampled(setting, codes, kept)
        return mean_reuse(sample, attribute, groups=unit, seed=setting.seed)

    return [without_each(setting.part[setting.rows], value)]


def generalisation(setting: Setting, codes: Codes | Filed, *, attribute: str) -> list[Cell]:
    """`ccgp`."""

    def value(kept: np.ndarray) -> float:
        sample, unit = _sampled(setting, codes, kept)
        return ccgp(sample, attribute, groups=unit, permutations=1, seed=setting.seed).value

    return [without_each(setting.part[setting.rows], value)]


def _sampled(setting: Setting, codes: Codes | Filed, kept: np.ndarray) -> tuple[Codes, np.ndarray | None]:
    """The images of `rows` that are kept, and their groups."""
    rows = setting.rows[kept]
    return codes[rows], None if setting.unit is None else setting.unit[rows]


def parallelism(setting: Setting, codes: Codes | Filed, *, attribute: str) -> list[Cell]:
    """The parallelism score: how parallel the directions are by which a value moves the mean code of two classes.

    With p_cv the shares of ones of class c at value v, and e_cv = p_cv less the mean of p_cw over the other values w,

        score = mean over v and pairs of classes c, c' of  cos(e_cv, e_c'v)

    Source: Bernardi et al. 2020, here without correction for noise, which draws it to 0.
    """
    _need_values(setting.codes, CLASS)
    classes, target, part = labelling(setting.codes), labelling(setting.codes, attribute), setting.part
    shape = (len(classes.names), len(target.names))
    known = (classes.labels >= 0) & (target.labels >= 0)
    cell = np.where(known, classes.labels.astype(np.int64) * shape[1] + target.labels, -1)
    large = np.bincount(cell[known], minlength=shape[0] * shape[1]).reshape(shape) >= FEWEST
    large &= large.sum(axis=1, keepdims=True) > 1
    if not (large.sum(axis=0) > 1).any():
        raise DataError(
            f"parallelism of {attribute}: no value in two classes, {FEWEST} images each, beside another one"
        )
    cells, parts = np.flatnonzero(large), int(part.max()) + 1
    number = np.full(shape[0] * shape[1] + 1, -1)  # the last one: no cell
    number[cells] = np.arange(len(cells))
    place = number[cell]
    joint = np.where(place >= 0, part * len(cells) + place, -1)
    ones = ones_of(codes, joint, parts * len(cells)).reshape(parts, len(cells), codes.bits)
    sizes = np.bincount(joint[joint >= 0], minlength=parts * len(cells)).reshape(parts, len(cells))
    of_class, of_value = np.divmod(cells, shape[1])
    owner = np.unique(of_class, return_inverse=True)[1].reshape(-1)
    k = np.bincount(owner)[:, None]

    def value(kept: np.ndarray) -> float:
        shares = ones[kept].sum(axis=0) / np.maximum(sizes[kept].sum(axis=0), 1)[:, None]
        total = np.zeros((len(k), codes.bits))
        np.add.at(total, owner, shares)
        effect = (k[owner] * shares - total[owner]) / (k[owner] - 1)
        length = np.linalg.norm(effect, axis=1, keepdims=True)
        unit = effect / np.where(length > 0, length, 1)
        pairs = cosines = 0.0
        for v in np.unique(of_value):
            mine = unit[of_value == v]
            pairs += len(mine) * (len(mine) - 1)
            cosines += float((mine.sum(axis=0) ** 2).sum() - (mine**2).sum())
        return cosines / pairs

    return [_additive(value, parts)]


def two_sided_monosemanticity(setting: Setting, codes: Codes) -> list[Cell]:
    """How much more alike the images of each side of a bit are than all images, mean over both sides and bits.

    With s the sum of the unit features of a side, s_g that of its images of group g, n and n_g their numbers,

        mean pairwise cosine = (|s|^2 - sum_g |s_g|^2) / (n^2 - sum_g n_g^2)

    Source: as `monosemanticity`.
    """
    features, rows = setting.codes.features, setting.rows
    if features is None:
        raise DataError("monosemanticity: the first codes have no features; export them with --features")
    values = features[rows].astype(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    if not length.all():
        raise DataError("monosemanticity: needs features of a length above 0")
    group = np.arange(len(rows)) if setting.sampled_unit is None else setting.sampled_unit
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    unit, part = (values / length)[order].astype(np.float32), setting.part[rows][order]
    bits, parts = codes[rows[order]].to_bits(), int(setting.part.max()) + 1
    one, zero, everyone = (
        _Sides.of(side, unit, starts, part, parts) for side in (bits, ~bits, np.ones((len(rows), 1), bool))
    )

    def value(kept: np.ndarray) -> float:
        found = (one.cosines(kept) + zero.cosines(kept)) / 2 - everyone.cosines(kept)
        return float(np.nanmean(found)) if not np.isnan(found).all() else float("nan")

    if np.isnan(value(np.ones(parts, bool))):
        return [empty("monosemanticity: no bit has images of two groups on each side")]
    return [_additive(value, parts)]


@dataclasses.dataclass(frozen=True, eq=False)
class _Sides:
    """Of the images of one side of each bit, by part: sums of their unit features `[P, B, d]`, |s_g|^2 summed over
    groups `[P, B]`, images `[P, B]`, and n_g^2 summed over groups `[P, B]`."""

    sums: np.ndarray
    own: np.ndarray
    n: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, side: np.ndarray, unit: np.ndarray, starts: np.ndarray, part: np.ndarray, parts: int) -> _Sides:
        """From bool `[n, B]` and unit features `[n, d]` of images sorted by group, and where groups start."""
        sums = np.stack([side[part == p].T.astype(np.float32) @ unit[part == p] for p in range(parts)])
        inside = np.add.reduceat(side.astype(np.float64), starts, axis=0)
        in_part = np.eye(parts)[part[starts]].T  # [P, G]
        n, squares = in_part @ inside, in_part @ inside**2
        own = n
        if len(starts) < len(side):
            groups = (np.add.reduceat(unit * column[:, None], starts, axis=0) for column in side.T)
            own = np.stack([in_part @ np.einsum("gd,gd->g", g, g, dtype=np.float64) for g in groups], axis=1)
        return cls(sums.astype(np.float64), own, n, squares)

    def cosines(self, kept: np.ndarray) -> np.ndarray:
        """Mean cosine of the pairs of two groups, `[B]`; NaN where there is none."""
        total = self.sums[kept].sum(axis=0)
        pairs = self.n[kept].sum(axis=0) ** 2 - self.squares[kept].sum(axis=0)
        over = np.einsum("bd,bd->b", total, total) - self.own[kept].sum(axis=0)
        return np.divide(over, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def matched(setting: Setting, a: Codes | Filed, b: Codes | Filed) -> list[Cell]:
    """Share of the bits of two codes of one method that are matched."""
    first, second = a[setting.rows], b[setting.rows]

    def value(kept: np.ndarray) -> float:
        unit = None if setting.sampled_unit is None else setting.sampled_unit[kept]
        found = match_bits(first[kept], second[kept], groups=unit, permutations=PERMUTATIONS, seed=setting.seed)
        return float(found.matched.mean())

    return [without_each(setting.part[setting.rows], value)]
