"""Contrasts of bits within classes, and the mean cosine of two classes' contrasts, with the sampling noise taken off.

The contrast of a bit in class c is the mean feature where the bit is 1 minus the mean where it is 0,

    d_c = mean(x | 1) - mean(x | 0),    E |d_c|^2 = |true d_c|^2 + (1 / n_1 + 1 / n_0) trace S_c,

with S_c the covariance of the class around its two means.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

LEAST = 2
"""Items that a class must have on either side of a bit to count for it."""

BLOCK = 32
"""Bits at a time: contrasts take C x B x d numbers."""


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape), dtype=a.dtype), where=b > 0)


def _squares(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("cbd,cbd->cb", vectors, vectors, dtype=np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class Contrasts:
    """Contrasts `delta` float32 `[C, B, d]`; `squares`, `noise` 1 / n_1 + 1 / n_0, and which are `used`: `[C, B]`."""

    delta: np.ndarray
    squares: np.ndarray
    noise: np.ndarray
    used: np.ndarray

    @property
    def pairs(self) -> np.ndarray:
        """Ordered pairs of classes that count, `[B]`; at least 1, to divide by."""
        number = self.used.sum(axis=0)
        return np.maximum(number * (number - 1), 1)

    def shared(self) -> np.ndarray:
        """Mean product of two classes' contrasts, `[B]`: unbiased, because their noise is independent."""
        together = self.delta.sum(axis=0, dtype=np.float64)
        return ((together**2).sum(axis=1) - self.squares.sum(axis=0)) / self.pairs

    def cosine(self) -> np.ndarray:
        """Plain mean cosine of two classes' contrasts, `[B]`."""
        length = np.sqrt(self.squares)
        together = _ratio(self.delta, length[..., None]).sum(axis=0, dtype=np.float64)
        return ((together**2).sum(axis=1) - (length > 0).sum(axis=0)) / self.pairs

    def flipped(self, signs: np.ndarray) -> np.ndarray:
        """`shared` with the classes' contrasts multiplied by `signs` `[R, C]`: `[R, B]`."""
        out = np.zeros((len(signs), self.delta.shape[1]))
        for b in range(self.delta.shape[1]):
            contrast = self.delta[:, b].astype(np.float64)
            out[:, b] = ((signs @ contrast) ** 2).sum(axis=1) - (contrast**2).sum()
        return out / self.pairs


@dataclasses.dataclass(frozen=True, eq=False)
class Classes:
    """Centred features of each class: `x` `[n, d]` sorted by class, `edges` `[C + 1]`, and of each class `[C]` the
    `trace` of its covariance S and the trace of S^2, which says how much the square of a noise contrast varies."""

    x: np.ndarray
    edges: np.ndarray
    trace: np.ndarray
    trace_of_square: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, edges: np.ndarray) -> Classes:
        """From features `[n, d]` sorted by class.

        The trace of the squared sample covariance S is too large by what few images add; without that it is

            f^2 / ((f - 1) (f + 2)) (trace S^2 - (trace S)^2 / f),    f = n - 1, and at least (trace S)^2 / d.

        Source: Srivastava 2005.
        """
        raw = features.astype(np.float64)
        raw /= raw.std() or 1.0
        x = np.concatenate([raw[a:b] - raw[a:b].mean(axis=0) for a, b in pairwise(edges)]).astype(np.float32)
        trace, square = np.zeros((2, len(edges) - 1))
        for c, (a, b) in enumerate(pairwise(edges)):
            part, free = x[a:b], b - a - 1
            if free < 1:
                continue
            trace[c] = float((part**2).sum()) / free
            square[c] = trace[c] ** 2 / x.shape[1]
            if free > 1:
                gram = part.T @ part if b - a > part.shape[1] else part @ part.T
                of_sample = float((gram**2).sum()) / free**2
                square[c] = max(square[c], free**2 / ((free - 1) * (free + 2)) * (of_sample - trace[c] ** 2 / free))
        return cls(x, edges, trace, square)

    def contrasts(self, bits: np.ndarray) -> Contrasts:
        """Those of bits float32 `[n, B]`."""
        shape = len(self.edges) - 1, bits.shape[1]
        delta = np.zeros((*shape, self.x.shape[1]), dtype=np.float32)
        noise, used = np.zeros(shape), np.zeros(shape, dtype=bool)
        for c, (a, b) in enumerate(pairwise(self.edges)):
            ones = bits[a:b].sum(axis=0).astype(np.float64)
            zeros = (b - a) - ones
            used[c] = (ones >= LEAST) & (zeros >= LEAST)
            noise[c] = np.where(used[c], 1 / np.maximum(ones, 1) + 1 / np.maximum(zeros, 1), 0.0)
            # features are centred, so the two sides sum to 0: one product gives both means
            delta[c] = (bits[a:b].T @ self.x[a:b]) * noise[c][:, None]
        return Contrasts(delta, _squares(delta), noise, used)

    def blocks(self, bits: np.ndarray) -> Iterator[tuple[slice, Contrasts]]:
        """The contrasts of `BLOCK` bits at a time."""
        for b in range(0, bits.shape[1], BLOCK):
            yield slice(b, b + BLOCK), self.contrasts(bits[:, b : b + BLOCK])

    def flipped(self, bits: np.ndarray, signs: np.ndarray) -> np.ndarray:
        """`Contrasts.flipped` of all bits, `[R, B]`."""
        return np.concatenate([found.flipped(signs) for _, found in self.blocks(bits)], axis=1)

    def consistency(self, bits: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Consistency with each class counted `times` `[R, C]` times, `[R, B]`, NaN where no two classes count; and
        the sum of squared contrasts over its standard error, `[B]`.

        With n_c = |d_c|^2 less its noise, r_c^2 its length from `_length` and e_c its standard error where nothing
        moves,

            shared = mean_{c != c'} d_c . d_c' / (r_c r_c'),    own = mean_c n_c / r_c^2
            consistency = shared / max(own, shared, 3 standard errors of shared),    clipped to -1 and 1.

        A mean product does not exceed the mean square, so `own` below `shared` is noise.

        Source: unbiased products: Walther et al. 2016 (crossnobis).
        """
        consistency, z = np.zeros((len(times), bits.shape[1])), np.zeros(bits.shape[1])
        for part, found in self.blocks(bits):
            own = found.squares - found.noise * self._within(found)
            error = np.sqrt(2 * self.trace_of_square)[:, None] * found.noise
            z[part] = _ratio(own.sum(axis=0), np.sqrt((error**2).sum(axis=0)))
            length = self._length(found, own, error)
            unit = _ratio(found.delta, np.sqrt(length)[..., None].astype(np.float32))
            own, error = _ratio(own, length), _ratio(error, length)
            squares = _squares(unit)
            for j in range(unit.shape[1]):
                values = found.used[:, j], unit[:, j].astype(np.float64), squares[:, j], own[:, j], error[:, j]
                consistency[:, part.start + j] = _mean_cosine(times, *values)
        return consistency, z

    def _within(self, found: Contrasts) -> np.ndarray:
        """Trace of the covariance around the two means, `[C, B]`: that around one mean, less n_1 n_0 / n |d|^2."""
        n = np.diff(self.edges)[:, None].astype(np.float64)
        whole = self.trace[:, None] * (n - 1)
        return np.maximum(whole - _ratio(found.squares, found.noise), 0.0) / np.maximum(n - 2, 1)

    def _length(self, found: Contrasts, own: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Squared length r^2 `[C, B]` by which each class's contrast is divided; 0 where the class does not count.

            r_c^2 = max(m + t / (t + v_c) (n_c - m), 5 e_c, sqrt(5 e_c u))

        n_c is shrunk to the mean m of all classes, t the variance of n_c between classes and v_c its sampling
        variance. A class that does not move must not turn its noise into contrast, so r^2 is not below 5 errors e_c of
        no contrast, nor below the geometric mean of that and the root mean square u of n_c.

        Source: shrinkage: Morris 1983.
        """
        number = np.maximum(found.used.sum(axis=0), 1)
        mean = own.sum(axis=0) / number
        slope = _ratio(self.trace_of_square, self.trace)
        variance = error**2 + 4 * found.noise * np.maximum(own, 0.0) * slope[:, None]
        seen = np.where(found.used, (own - mean) ** 2, 0.0).sum(axis=0) / np.maximum(number - 1, 1)
        true = np.maximum(seen - variance.sum(axis=0) / number, 0.0)
        trust = _ratio(true + np.zeros_like(variance), true + variance)
        usual = np.sqrt((own**2).sum(axis=0) / number)
        least = np.maximum(5 * error, np.sqrt(5 * error * usual))
        return np.where(found.used, np.maximum(mean + trust * (own - mean), least), 0.0)


def _mean_cosine(
    times: np.ndarray, used: np.ndarray, unit: np.ndarray, squares: np.ndarray, own: np.ndarray, error: np.ndarray
) -> np.ndarray:
    """Consistency of one bit, `[R]`: a class counted several times is no pair with itself.

    Args:
        times: `[R, C]`, how often each class counts.
        used: bool `[C]`.
        unit: `[C, d]`, contrasts divided by their length; `squares` `[C]` theirs.
        own, error: `[C]`, squares without noise and their standard errors, divided alike.
    """
    twice, number = times**2, times @ used
    several = number**2 - twice @ used
    pairs = np.maximum(several, 1.0)
    shared = (((times @ unit) ** 2).sum(axis=1) - twice @ squares) / pairs
    spread = np.sqrt(np.maximum((times @ error) ** 2 - twice @ error**2, 0.0)) / pairs  # `error` has the factor 2
    whole = np.maximum(times @ own / np.maximum(number, 1.0), np.maximum(shared, 3 * spread))
    known = (several > 0) & (whole > 0)
    return np.clip(np.divide(shared, whole, out=np.full(len(whole), np.nan), where=known), -1, 1)
