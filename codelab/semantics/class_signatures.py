"""Signatures: the bits that tell a class from the rest, the image in its middle, and how far it spreads."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.attributes import Groups
from codelab.core.checks import check_codes, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError, few
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.kernels.counting import class_counts
from codelab.measures.class_log_odds import ClassLogOdds, class_log_odds
from codelab.statistics.clusters import group_units
from codelab.statistics.splits import held_out_part

if TYPE_CHECKING:
    import pandas as pd

_ODDS = ("log_odds", "low", "high", "q_value")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """One class: `bits` that tell it from the rest, the surest first, with the value they have in it, `sides`.

    The bits are chosen on one half of the images by the end of their interval that is nearer to 0; `log_odds` with
    `low` and `high`, and `q_value`, are of the other half, where `share` of the class's images have the bit's side,
    and `elsewhere` of the others.
    """

    label: str
    n: int
    bits: np.ndarray
    sides: np.ndarray
    log_odds: np.ndarray
    low: np.ndarray
    high: np.ndarray
    q_value: np.ndarray
    share: np.ndarray
    elsewhere: np.ndarray
    medoid: int
    spread: float
    nearest: str
    nearest_distance: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassSignatures(Result):
    """A `Signature` for each class, and what two classes have in common.

    `medoid` is the row of the image nearest to the class's share of ones, `spread` the mean Hamming distance of two
    of its images, `nearest` the class whose images are nearest to its own, at the mean distance `nearest_distance`.
    `distances` `[C, C]` are the mean distances between images of two classes (of one class: of two images).
    `log_odds` are of all images, class against rest.

    The line quotes how many classes have a bit of their own.
    """

    signatures: tuple[Signature, ...]
    distances: np.ndarray
    log_odds: ClassLogOdds
    shares: np.ndarray
    classes: tuple[str, ...]
    groups: int | None

    def headline(self) -> str:
        own = sum(bool((s.q_value < 0.05).any()) for s in self.signatures)
        spread = float(np.nanmean([s.spread for s in self.signatures]))
        between = self.distances[~np.eye(len(self.distances), dtype=bool)]
        ends = f"mean distance {number(spread)} within a class, {number(float(np.nanmean(between)))} between two"
        return f"{own} of {len(self.signatures)} classes have a bit that tells them from the rest; {ends}"

    def between(
        self, a: str, b: str, codes: Codes | None = None, *, groups: Groups = None, seed: int = 0
    ) -> pd.DataFrame:
        """The bits of two classes, the largest difference first: `bit`, share of ones in each, and `difference`.

        Bits at the end of the table do not separate the two.

        Args:
            a, b: the classes.
            codes: those of the signatures; with them the table has `log_odds` of a against b, its 95 % interval `low`
                to `high`, and `q_value` over all bits.
            groups, seed: as in `class_signatures`.

        Raises:
            UsageError: a class that there is not, or codes that do not have these classes.
            DataError: with codes, images of one class alone.
        """
        import pandas as pd

        for name in (a, b):
            if name not in self.classes:
                raise UsageError(f"class {name!r}: these codes have {', '.join(self.classes)}")
        one, two = (self.shares[self.classes.index(name)] for name in (a, b))
        order = np.argsort(-np.abs(one - two), kind="stable")
        frame = pd.DataFrame({"bit": order, "a": one[order], "b": two[order], "difference": (one - two)[order]})
        if codes is not None:
            check_codes("codes", codes)
            if codes.classes != self.classes:
                raise UsageError(f"codes: found classes {few(codes.classes)}, expected {few(self.classes)}")
            units = group_units("class_signatures", codes, groups)
            pair = np.flatnonzero(np.isin(codes.labels, [self.classes.index(name) for name in (a, b)]))
            found = class_log_odds(codes[pair], groups=None if units is None else units[pair], seed=seed)
            place = found.classes.index(a)
            frame = frame.assign(**{name: getattr(found, name)[place, order] for name in _ODDS})
        return frame.rename(columns={"a": a, "b": b} if a != b else {})

    def to_frame(self) -> pd.DataFrame:
        """One row for each class and bit of its signature."""
        import pandas as pd

        names = ("sides", "log_odds", "low", "high", "q_value", "share", "elsewhere")
        parts = [
            pd.DataFrame({"class": s.label, "bit": s.bits, **{name: getattr(s, name) for name in names}})
            for s in self.signatures
        ]
        return pd.concat(parts, ignore_index=True).rename(columns={"sides": "side"})


def class_signatures(codes: Codes, *, most: int = 8, groups: Groups = None, seed: int = 0) -> ClassSignatures:
    """What tells each class from the rest, chosen on one half of the images and measured on the other.

    Args:
        codes: labelled codes `[N, B]`, one label an image.
        most: bits in a signature.
        groups: an item column or one value an image; images of one group are near copies: they are in one half, and
            count as one in intervals and p-values.
        seed: of the halves, and of the permutations behind q-values where there are groups.

    Raises:
        UsageError: no such column.
        DataError: no labels, multi-label data, or fewer than 2 classes with images in both halves.

    Source: log-odds as in `class_log_odds`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels, noise = rng.integers(0, 3, 300), rng.integers(0, 2, (300, 3))
        >>> codes = Codes.from_bits(np.column_stack([labels == 1, noise]), labels, ("cat", "dog", "owl"))
        >>> found = class_signatures(codes, most=1)
        >>> [(s.label, s.bits.tolist(), s.sides.tolist()) for s in found.signatures if s.q_value[0] < 0.001]
        [('cat', [0], [0]), ('dog', [0], [1]), ('owl', [0], [0])]
    """
    check_codes("codes", codes)
    check_whole("most", most, 1)
    check_seed(seed)
    if codes.multilabel:
        raise DataError("class_signatures: needs one label an image, found multi-label data")
    if not codes.labelled:
        raise DataError("class_signatures: needs labels, and none of these codes has one")
    units = group_units("class_signatures", codes, groups)
    rows = np.flatnonzero(codes.labels >= 0)
    codes = codes[rows]
    units = None if units is None else np.unique(units[rows], return_inverse=True)[1].reshape(-1)
    first, second = held_out_part(codes.labels, units, share=0.5, seed=seed, measure="class_signatures")
    both = np.intersect1d(codes.labels[first], codes.labels[second])
    if len(both) < 2:
        raise DataError(f"class_signatures: {len(both)} classes have images in both halves, expected 2 or more")
    chosen_on, measured = (_odds(codes, part, units, both, seed) for part in (first, second))
    near = np.maximum(np.maximum(chosen_on.low, -chosen_on.high), 0)
    size = np.abs(chosen_on.log_odds)
    shares, sizes, distances = _distances(codes)
    present, later = np.flatnonzero(sizes), codes[second].to_bits()
    signatures = []
    for place, c in enumerate(both.tolist()):
        bits = np.lexsort((-size[place], -near[place]))[:most]
        sides = (chosen_on.log_odds[place, bits] > 0).astype(np.int64)
        inside, outside = _side_shares(later[:, bits] == sides, codes.labels[second] == c)
        others = np.where(present == c, np.inf, distances[c, present])
        member = np.flatnonzero(codes.labels == c)
        away = np.abs(codes[member].to_bits() - shares[c]).sum(axis=1)
        signatures.append(
            Signature(
                label=codes.classes[c],
                n=int(sizes[c]),
                bits=bits,
                sides=sides,
                **{name: getattr(measured, name)[place, bits] for name in ("log_odds", "low", "high", "q_value")},
                share=inside,
                elsewhere=outside,
                medoid=int(rows[member[away.argmin()]]),
                spread=float(distances[c, c]),
                nearest=codes.classes[present[others.argmin()]],
                nearest_distance=float(others.min()),
            )
        )
    return ClassSignatures(
        source=Source.of(codes),
        seed=seed,
        signatures=tuple(signatures),
        distances=distances,
        log_odds=class_log_odds(codes, groups=units, seed=seed),
        shares=shares,
        classes=codes.classes,
        groups=None if units is None else int(units.max()) + 1,
    )


def _odds(codes: Codes, part: np.ndarray, units: np.ndarray | None, classes: np.ndarray, seed: int) -> ClassLogOdds:
    """Log-odds of `classes` alone, on a part of the images."""
    kept = part[np.isin(codes.labels[part], classes)]
    return class_log_odds(codes[kept], groups=None if units is None else units[kept], seed=seed)


def _side_shares(has: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of a class's images, and of the others, that have a side of each bit."""
    return has[member].mean(axis=0), has[~member].mean(axis=0)


def _distances(codes: Codes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of ones `[C, B]`, images `[C]`, and mean Hamming distances `[C, C]` of two images of two classes.

    d_cc' = sum_b p_cb (1 - p_c'b) + (1 - p_cb) p_c'b,    within a class times n / (n - 1)
    """
    n = len(codes.classes)
    sizes = np.bincount(codes.labels, minlength=n)
    ones = class_counts(codes.packed, codes.bits, codes.labels, n)
    shares = np.divide(ones, sizes[:, None], out=np.full(ones.shape, np.nan), where=sizes[:, None] > 0)
    distances = shares @ (1 - shares).T + (1 - shares) @ shares.T
    within = np.divide(sizes, sizes - 1, out=np.full(n, np.nan), where=sizes > 1)
    distances[np.diag_indices(n)] *= within
    return shares, sizes, distances
