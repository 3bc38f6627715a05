"""Contrasts of bits within classes, with their sampling variance, and how parallel those of two classes are.

The contrast of a bit in class c is the mean feature where the bit is 1 minus the mean where it is 0:

    d_c = mean(x | 1) - mean(x | 0),    E |d_c|^2 = |true d_c|^2 + v_c,    v_c its sampling variance
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from scipy import special

from codelab.statistics.intervals import CONFIDENCE
from codelab.statistics.jackknife import jackknife_interval

LEAST = 1.5
"""Images, or groups as if of one size, above which a class must have either side of a bit to count."""

TOLD = 2.0
"""Standard errors that a sum of squares must be above its noise, or nothing is told about products."""

FEW_CLASSES = 6
"""Classes below which there is neither an interval over classes nor a test by flipped signs: both would mislead."""

RESAMPLES = 200
"""Of the classes, behind each interval."""

BLOCK = 32
"""Bits at a time: contrasts take C x B x d numbers."""


def one_class_each(groups: np.ndarray, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Bool `[N]`: the images that are kept so that each group is in one class, drawn as often as the group has it.

    Near copies in two classes would make the noise of these classes alike, and all products of classes too large.

    Example:
        >>> one_class_each(np.array([0, 0, 1, 1]), np.array([5, 5, 5, 6]), np.random.default_rng(0)).tolist()
        [True, True, True, False]
    """
    order = generator.permutation(len(groups))
    _, first, unit = np.unique(groups[order], return_index=True, return_inverse=True)
    kept = np.empty(len(groups), bool)
    kept[order] = labels[order] == labels[order[first]][unit.reshape(-1)]
    return kept


def class_weights(classes: int, generator: np.random.Generator) -> np.ndarray:
    """How often each class counts, `[1 + C + R, C]`: each once, each left out in turn, and drawn with replacement."""
    drawn = generator.multinomial(classes, np.full(classes, 1 / classes), size=RESAMPLES)
    return np.concatenate([np.ones((1, classes)), 1.0 - np.eye(classes), drawn])


def class_intervals(values: np.ndarray, used: np.ndarray, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals `[B]` of a ratio between -1 and 1; NaN where not told, and below `FEW_CLASSES` classes.

    From the jackknife or from percentiles of resampled classes, whichever reaches further: the first is too short
    where effects of both signs nearly cancel, the second where the ratio is near 1. With C classes the percentiles are

        Phi(+- sqrt(C / (C - 1)) t),    t the quantile of Student's law with C - 1 degrees of freedom

    Args:
        values: `[1 + C + R, B]`, the ratio for each row of `class_weights`; NaN where it has none.
        used: bool `[C, B]`, which classes count.
        told: bool `[B]`.

    Source: Efron & Tibshirani 1993; expanded percentiles: Hesterberg 2015.
    """
    low, high = np.full((2, len(told)), np.nan)
    for b in np.flatnonzero(told & (used.sum(axis=0) >= FEW_CLASSES)):
        value, (deleted, draws) = float(values[0, b]), np.split(values[1:, b], [len(used)])
        c = float(used[:, b].sum())
        level = special.ndtr(-np.sqrt(c / (c - 1)) * special.stdtrit(c - 1, 0.5 + CONFIDENCE / 2))
        found = jackknife_interval(value, deleted[used[:, b]], (-1.0, 1.0))
        percentiles = np.nanquantile(np.append(draws, value), [level, 1 - level])
        low[b], high[b] = np.clip([min(found[0], percentiles[0]), max(found[1], percentiles[1])], -1, 1)
    return low, high


@dataclasses.dataclass(frozen=True, eq=False)
class Contrasts:
    """Contrasts `delta` `[C, B, d]`, their `squares` |d_c|^2 and sampling `variance` `[C, B]`; 0 where not `used`."""

    delta: np.ndarray
    squares: np.ndarray
    variance: np.ndarray
    used: np.ndarray

    def own(self) -> np.ndarray:
        """Mean square of a true contrast, `[B]`: unbiased, so it may be below 0; 0 where no class counts."""
        return (self.squares - self.variance).sum(axis=0) / np.maximum(self.used.sum(axis=0), 1)

    def shared(self) -> np.ndarray:
        """Mean product of two classes' contrasts, `[B]`: unbiased, because their noise is independent."""
        return self.flipped(np.ones((1, len(self.used))))[0]

    def flipped(self, signs: np.ndarray) -> np.ndarray:
        """`shared` with the classes' contrasts multiplied by `signs` `[R, C]`: `[R, B]`."""
        number = self.used.sum(axis=0)
        return (self._together(signs) - self.squares.sum(axis=0)) / np.maximum(number * (number - 1), 1)

    def consistency(self, times: np.ndarray) -> np.ndarray:
        """How parallel the contrasts of two classes are, `[R, B]`, with class c counted t_c times, a row of `times`
        `[R, C]`; a class counted several times is no pair with itself.

            W = sum_{c != c'} t_c t_c' d_c . d_c' / sum_{c != c'} t_c t_c' r_c r_c',    r_c^2 = max(|d_c|^2 - v_c, 0)

        Noise can bring it above 1. It is NaN where no two classes have a length.

        Source: unbiased products: Walther et al. 2016 (crossnobis).
        """
        r = np.sqrt(np.maximum(self.squares - self.variance, 0.0))
        products = self._together(times) - times**2 @ self.squares
        pairs = (times @ r) ** 2 - times**2 @ r**2
        known = pairs > 1e-9 * (times @ r) ** 2  # one class alone leaves rounding error
        return np.divide(products, pairs, out=np.full(pairs.shape, np.nan), where=known)

    def _together(self, weights: np.ndarray) -> np.ndarray:
        """Square of the weighted sum of contrasts: `weights` `[R, C]` to `[R, B]`."""
        return np.stack([((weights @ d) ** 2).sum(axis=1) for d in self.delta.swapaxes(0, 1)], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Classes:
    """Images sorted by class and in it by group: features `x` float32 `[n, d]` centred in each class, the `edges`
    `[C + 1]` of classes, and the `starts` `[G + 1]` of groups, each in one class; None: each image is its own group.
    """

    x: np.ndarray
    edges: np.ndarray
    starts: np.ndarray | None = None

    @classmethod
    def of(cls, features: np.ndarray, edges: np.ndarray, starts: np.ndarray | None = None) -> Classes:
        """From features `[n, d]`."""
        raw = features.astype(np.float64)
        x = np.concatenate([raw[a:b] - raw[a:b].mean(axis=0) for a, b in pairwise(edges)]).astype(np.float32)
        return cls(x, edges, starts)

    def contrasts(self, bits: np.ndarray) -> Iterator[Contrasts]:
        """Those of bits float32 `[n, B]`, `BLOCK` at a time."""
        for start in range(0, bits.shape[1], BLOCK):
            block = bits[:, start : start + BLOCK]
            shape = len(self.edges) - 1, block.shape[1]
            delta, variance, used = np.zeros((*shape, self.x.shape[1])), np.zeros(shape), np.zeros(shape, bool)
            for c, (a, b) in enumerate(pairwise(self.edges)):
                found, _ = _contrast(block[a:b], self.x[a:b])
                spread = self._side_variances(block, c, found)
                used[c] = np.isfinite(spread)
                delta[c][used[c]] = found[used[c]]
                variance[c][used[c]] = spread[used[c]]
            yield Contrasts(delta, (delta**2).sum(axis=2), variance, used)

    def _side_variances(self, bits: np.ndarray, c: int, delta: np.ndarray) -> np.ndarray:
        """Sampling variance of the contrast in class c, summed over its dimensions, `[B]`; infinite: not to be had.

        With e_i the distance of image i to the mean of its side and n_1, n_0 the sizes of the sides,

            u_1g = sum_{i in g, side 1} e_i / n_1,    v = sum_g |k_1 u_1g - k_0 u_0g|^2,    k^2 = m / (m - 1)

        with m the groups of the side, as if of one size: (sum_g n_g)^2 / sum_g n_g^2. Where each image is a group of
        its own, that is Welch's variance.

        Source: Welch 1947; Liang & Zeger 1986 (variance by clusters); Kish 1965 (effective number).
        """
        a, b = self.edges[c], self.edges[c + 1]
        sides = [bits[a:b], 1 - bits[a:b]]
        sizes = [np.maximum(side.sum(axis=0, dtype=np.float64), 1.0) for side in sides]
        n = b - a
        if self.starts is None:
            whole = (self.x[a:b] ** 2).sum(axis=1)
            square = (delta**2).sum(axis=1)
            variance = np.zeros(bits.shape[1])
            for side, size in zip(sides, sizes, strict=True):
                # features are centred: the mean of this side is the contrast times the share of the other side
                around = np.maximum(whole @ side - size * square * ((n - size) / n) ** 2, 0.0)
                variance += np.where(size > LEAST, around / (size * np.maximum(size - 1, 1)), np.inf)
            return variance
        starts = self.starts[np.searchsorted(self.starts, a) : np.searchsorted(self.starts, b, side="right")] - a
        counts = [np.add.reduceat(side, starts[:-1], axis=0, dtype=np.float64) for side in sides]
        effective = [size**2 / np.maximum((k**2).sum(axis=0), 1) for size, k in zip(sizes, counts, strict=True)]
        one, zero = (np.sqrt(m / np.maximum(m - 1, 1e-9)) / size for m, size in zip(effective, sizes, strict=True))
        # the means of the sides are delta n_0 / n and -delta n_1 / n: what a group has of them
        expected = (one * counts[0] * sizes[1] + zero * counts[1] * sizes[0]) / n
        variance, both = np.zeros(bits.shape[1]), (one + zero).astype(np.float32)
        for g, (first, last) in enumerate(pairwise(starts)):
            x = self.x[a + first : a + last]
            noise = (bits[a + first : a + last] * both).T @ x
            noise -= np.outer(zero, x.sum(axis=0)).astype(np.float32)
            noise -= expected[g].astype(np.float32)[:, None] * delta
            variance += np.einsum("bd,bd->b", noise, noise)
        return np.where((effective[0] > LEAST) & (effective[1] > LEAST), variance, np.inf)

    def totals(self, bits: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the `used` `[C, B]` classes: the sums of |d_c|^2 / (1 / n_1 + 1 / n_0) and of |d_c|^2, and the mean
        product of two contrasts as in `Contrasts.shared`, each `[B]`."""
        scaled, plain = np.zeros((2, bits.shape[1]))
        together = np.zeros((bits.shape[1], self.x.shape[1]), np.float32)
        for c, (a, b) in enumerate(pairwise(self.edges)):
            delta, noise = _contrast(bits[a:b], self.x[a:b])
            delta[~used[c]] = 0.0
            square = np.einsum("bd,bd->b", delta, delta)
            scaled += square / noise
            plain += square
            together += delta
        number = used.sum(axis=0)
        products = np.einsum("bd,bd->b", together, together) - plain
        return scaled, plain, products / np.maximum(number * (number - 1), 1)

    def shuffled(self, bits: np.ndarray, count: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
        """`bits` `[n, B]` that change places within each class, one order for all bits, `count` times, in one array.

        Groups change places as a whole, by their share of ones, so the result lies between 0 and 1 only on average;
        the rest, by which the images of a group differ, changes places within the group.

        Source: Winkler et al. 2015 (exchangeability blocks, permuted as a whole and within).
        """
        starts = np.arange(len(bits) + 1) if self.starts is None else self.starts
        limits = np.searchsorted(starts, self.edges)
        sizes = np.diff(starts)
        unit = np.repeat(np.arange(len(sizes)), sizes)
        shares = np.add.reduceat(bits, starts[:-1], axis=0) / sizes[:, None].astype(np.float32)
        rest = bits - shares[unit]
        drawn, inside = np.empty_like(bits), np.empty_like(bits)  # new memory for each would take most of the time
        for _ in range(count):
            order = np.concatenate([a + generator.permutation(b - a) for a, b in pairwise(limits)])
            np.take(shares, order[unit], axis=0, out=drawn, mode="clip")
            if self.starts is not None:
                within = np.lexsort((generator.random(len(bits)), unit))
                drawn += np.take(rest, within, axis=0, out=inside, mode="clip")
            yield drawn


def _contrast(bits: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Contrasts `[B, d]` of bits `[n, B]` in one class with centred features `[n, d]`, and 1 / n_1 + 1 / n_0 `[B]`."""
    ones = np.clip(bits.sum(axis=0, dtype=np.float64), 0.5, len(bits) - 0.5)
    noise = 1 / ones + 1 / (len(bits) - ones)
    # features are centred, so the two sides sum to 0: one product gives both means
    return (bits.T @ x) * noise[:, None].astype(np.float32), noise
