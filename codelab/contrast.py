"""Contrast consistency: does a bit move the features the same way in every class that it splits?"""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np

from codelab.codes import Codes, unpack_bits
from codelab.errors import DataError, UsageError
from codelab.perbit import PerBit
from codelab.result import Source
from codelab.significance import false_discovery

HYPERPLANES = 64
"""Random hyperplanes behind `random_directions`."""

LEAST = 2
"""Items that a class must have on either side of a bit to count for it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastConsistency(PerBit):
    """Per bit, arrays `[B]`.

    A class's contrast is its mean feature where the bit is 1 minus that where it is 0. `consistency` is the product of
    two classes' contrasts, averaged over pairs of classes, divided by the mean square of a contrast, both freed of
    the noise of finite samples: 1 when all classes share one contrast, 0 when each has its own. `cosine` is the plain
    mean cosine between classes, which noise pulls to 0. `low` to `high` is the 95 % interval of `consistency`
    over resampled classes; `p_value` and `q_value` are against bits permuted within each class, that is against bits
    that move nothing, and `null` is the mean `cosine` there; `flip_p_value` is against contrasts that point at random
    (their signs flipped class by class), that is against bits that move each class in its own way.
    `classes_used` classes have both sides of the bit; where fewer than 2 do, or where the contrasts are no larger than
    their noise (`contrast_z` below 2), there is no contrast to compare and `consistency` is 0.

    `random_directions` is the mean consistency of bits made by random hyperplanes through the features of the codes
    (or those given, where the codes have none): what reading *any* direction gives. A bit is remarkable above it.
    `same_view` says that bits and features come from one view of the images, so that the direction of the head itself
    is part of the consistency.
    """

    consistency: np.ndarray
    low: np.ndarray
    high: np.ndarray
    cosine: np.ndarray
    null: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    flip_p_value: np.ndarray
    contrast_z: np.ndarray
    classes_used: np.ndarray
    random_directions: float
    same_view: bool
    items: int
    permutations: int

    COLUMNS = (
        "consistency",
        "low",
        "high",
        "cosine",
        "null",
        "p_value",
        "q_value",
        "flip_p_value",
        "contrast_z",
        "classes_used",
    )


def contrast_consistency(
    codes: Codes,
    features: np.ndarray | None = None,
    *,
    permutations: int = 200,
    resamples: int = 200,
    items: int = 20_000,
    seed: int = 0,
) -> ContrastConsistency:
    """Whether what a bit reads is shared across classes: the paper's claim, made measurable.

    Args:
        codes: labelled codes `[N, B]`.
        features: `[N, d]`, best of *another view* of the same images, for a bit and the features it was computed from
            share their noise; default: the features of the codes.
        permutations: of each bit within each class, behind the p-values.
        resamples: of the classes, behind the intervals and the flipped signs.
        items: at most this many labelled items are used, drawn by `seed`.
        seed: of all chance.

    Returns:
        One row a bit; see `ContrastConsistency`.

    Raises:
        DataError: no labels, one class only, multi-label data, no features, or features that do not fit or are not
            finite.
        UsageError: fewer than 1 permutation or resample.

    Source: the paper's section 4, "people in the picture" in tench and French horn, shown there by eye; cosine
        between classes after Hernandez et al. 2022, unbiased products after Walther et al. 2016 (crossnobis).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels, bit = np.repeat(np.arange(5), 80), rng.integers(0, 2, 400)
        >>> features = rng.normal(size=(400, 8)) + 2 * bit[:, None] * np.eye(8)[0]
        >>> noise = rng.integers(0, 2, 400)
        >>> found = contrast_consistency(Codes.from_bits(np.stack([bit, noise], axis=1), labels), features)
        >>> found.consistency.round(1).tolist()[0], (found.q_value < 0.05).tolist()
        (1.0, [True, False])
    """
    if permutations < 1 or resamples < 1:
        raise UsageError(f"permutations {permutations}, resamples {resamples}: expected at least 1 of each")
    same_view = features is None
    values = _checked_features(codes, features)
    generator = np.random.default_rng(seed)
    rows = np.flatnonzero(codes.labels >= 0)
    rows = np.sort(generator.permutation(rows)[:items])
    rows = rows[np.argsort(codes.labels[rows], kind="stable")]
    _, edges = np.unique(codes.labels[rows], return_index=True)
    if len(edges) < 2:
        raise DataError("contrast_consistency: all labelled items are of one class, expected two classes or more")
    edges = np.append(edges, len(rows))
    raw = values[rows].astype(np.float64)
    raw /= raw.std() or 1.0
    x = np.concatenate([raw[a:b] - raw[a:b].mean(axis=0) for a, b in pairwise(edges)]).astype(np.float32)
    bits = unpack_bits(codes.packed[rows], codes.bits).astype(np.float32)
    classes = _Classes.of(x, edges)

    found = classes.measure(bits)
    null, statistic = np.zeros((2, permutations, codes.bits))
    for i in range(permutations):
        # one order for all bits: each keeps its own margins in every class, and its null
        order = np.concatenate([a + generator.permutation(b - a) for a, b in pairwise(edges)])
        drawn = classes.measure(bits[order])
        null[i], statistic[i] = drawn.cosine, drawn.shared
    p_value = np.where(found.used > 1, _tail(found.shared, statistic), 1.0)
    low, high, flip = classes.resample(bits, found.shared, resamples, generator)
    read = values if same_view or codes.features is None else codes.features
    centred = (read - read.mean(axis=0))[rows]
    directions = generator.normal(size=(read.shape[1], HYPERPLANES)).astype(np.float32)
    hyperplanes = classes.measure((centred @ directions > 0).astype(np.float32))
    return ContrastConsistency(
        source=Source.of(codes),
        seed=seed,
        consistency=found.consistency,
        low=np.minimum(low, found.consistency),
        high=np.maximum(high, found.consistency),
        cosine=found.cosine,
        null=null.mean(axis=0),
        p_value=p_value,
        q_value=false_discovery(p_value),
        flip_p_value=np.where(found.used > 1, flip, 1.0),
        contrast_z=found.z,
        classes_used=found.used,
        random_directions=float(hyperplanes.consistency.mean()),
        same_view=same_view,
        items=len(rows),
        permutations=permutations,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Measured:
    consistency: np.ndarray
    cosine: np.ndarray
    shared: np.ndarray
    z: np.ndarray
    used: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class _Classes:
    """Features of each class, centred: `x` `[n, d]` sorted by class, `edges` `[C + 1]`, spread within `[C]`."""

    x: np.ndarray
    edges: np.ndarray
    trace: np.ndarray
    """Trace of the covariance within each class: n - 1 in the denominator."""
    trace_of_square: np.ndarray
    """Trace of the squared covariance of each class: how much a squared noise contrast varies."""

    @classmethod
    def of(cls, x: np.ndarray, edges: np.ndarray) -> _Classes:
        trace, square = np.zeros((2, len(edges) - 1))
        for c, (a, b) in enumerate(pairwise(edges)):
            if b - a > 1:
                part = x[a:b]
                trace[c] = float((part**2).sum()) / (b - a - 1)
                gram = part.T @ part if b - a > part.shape[1] else part @ part.T
                square[c] = float((gram**2).sum()) / (b - a - 1) ** 2
        return cls(x, edges, trace, square)

    def contrasts(self, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Contrast of each class and bit `[C, B, d]`, its noise `[C, B]` (1/n1 + 1/n0), and which count `[C, B]`."""
        shape = len(self.edges) - 1, bits.shape[1]
        delta = np.zeros((*shape, self.x.shape[1]), dtype=np.float32)
        noise, used = np.zeros(shape), np.zeros(shape, dtype=bool)
        for c in range(shape[0]):
            a, b = self.edges[c], self.edges[c + 1]
            ones = bits[a:b].sum(axis=0).astype(np.float64)
            zeros = (b - a) - ones
            used[c] = (ones >= LEAST) & (zeros >= LEAST)
            noise[c] = np.where(used[c], 1 / np.maximum(ones, 1) + 1 / np.maximum(zeros, 1), 0.0)
            # features are centred, so the two sides sum to 0: one product gives both means
            delta[c] = (bits[a:b].T @ self.x[a:b]) * noise[c][:, None]
        return delta, noise, used

    def measure(self, bits: np.ndarray) -> _Measured:
        delta, noise, used = self.contrasts(bits)
        squares = np.einsum("cbd,cbd->cb", delta, delta, dtype=np.float64)
        number = used.sum(axis=0)
        pairs = np.maximum(number * (number - 1), 1)
        own = squares - noise * self.within(noise, squares)
        together = delta.sum(axis=0, dtype=np.float64)
        shared = ((together**2).sum(axis=1) - squares.sum(axis=0)) / pairs
        spread = np.sqrt(2 * (noise**2 * self.trace_of_square[:, None]).sum(axis=0))
        z = np.divide(own.sum(axis=0), spread, out=np.zeros(len(number)), where=spread > 0)
        mean_own = own.sum(axis=0) / np.maximum(number, 1)
        told = (number > 1) & (z > 2) & (mean_own > 0)
        consistency = np.divide(shared, mean_own, out=np.zeros(len(number)), where=told)
        length = np.sqrt(squares)
        unit = np.divide(delta, length[..., None], out=np.zeros_like(delta), where=length[..., None] > 0)
        cosine = ((unit.sum(axis=0, dtype=np.float64) ** 2).sum(axis=1) - (length > 0).sum(axis=0)) / pairs
        return _Measured(np.clip(consistency, -1, 1), cosine, shared, z, number)

    def within(self, noise: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """Trace of the covariance around the two means of each class and bit, `[C, B]`.

        The spread around one mean less what the contrast explains of it: n1 n0 / n times its square.
        """
        n = np.diff(self.edges)[:, None].astype(np.float64)
        whole = self.trace[:, None] * (n - 1)
        explained = np.divide(squares, noise, out=np.zeros_like(squares), where=noise > 0)
        return np.maximum(whole - explained, 0.0) / np.maximum(n - 2, 1)

    def resample(
        self, bits: np.ndarray, shared: np.ndarray, resamples: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """95 % interval of the consistency over resampled classes (a class is no pair with its own copy), and the
        p-value of `shared` over flipped signs of the classes' contrasts."""
        n_classes = len(self.edges) - 1
        weights = generator.multinomial(n_classes, np.full(n_classes, 1 / n_classes), size=resamples).astype(float)
        signs = generator.choice([-1.0, 1.0], size=(resamples, n_classes))
        low, high = np.zeros((2, bits.shape[1]))
        flipped = np.zeros((resamples, bits.shape[1]))
        for b in range(0, bits.shape[1], 32):
            delta, noise, used = self.contrasts(bits[:, b : b + 32])
            squares = np.einsum("cbd,cbd->cb", delta, delta, dtype=np.float64)
            own = squares - noise * self.within(noise, squares)
            for j in range(delta.shape[1]):
                contrast, all_pairs = delta[:, j].astype(np.float64), used[:, j].sum() * (used[:, j].sum() - 1.0)
                flipped[:, b + j] = ((signs @ contrast) ** 2).sum(axis=1) - squares[:, j].sum()
                flipped[:, b + j] /= max(all_pairs, 1.0)
                number = weights @ used[:, j]
                pairs = number**2 - weights**2 @ used[:, j]
                together = ((weights @ contrast) ** 2).sum(axis=1) - weights**2 @ squares[:, j]
                mean_own = np.divide(weights @ own[:, j], number, out=np.zeros(resamples), where=number > 0)
                told = (pairs > 0) & (mean_own > 0)
                if told.sum() >= resamples / 2:
                    drawn = np.clip(together[told] / pairs[told] / mean_own[told], -1, 1)
                    low[b + j], high[b + j] = np.quantile(drawn, [0.025, 0.975])
        return low, high, _tail(shared, flipped)


def _tail(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """P-value of each column: the share of draws at or above, or in the far tail a gamma of the draws' moments."""
    from scipy import special

    draws = len(null)
    at_least = (null >= observed - 1e-12).sum(axis=0)
    share = (1 + at_least) / (1 + draws)
    mean, deviation = null.mean(axis=0), null.std(axis=0)
    z = np.divide(observed - mean, deviation, out=np.zeros_like(mean), where=deviation > 0)
    centred = np.divide(null - mean, deviation, out=np.zeros_like(null), where=deviation > 0)
    skew = np.clip((centred**3).mean(axis=0), 0.1, 4.0)
    shape = 4 / skew**2
    tail = special.gammaincc(shape, np.maximum(shape + z * np.sqrt(shape), 0.0))
    tail = np.clip(tail, 1e-16, 11 / (1 + draws))
    return np.where((at_least < 10) & (draws >= 50), tail, share)


def _checked_features(codes: Codes, features: np.ndarray | None) -> np.ndarray:
    if codes.multilabel:
        raise DataError("contrast_consistency: needs one label an image, found multi-label data")
    if not codes.labelled:
        raise DataError("contrast_consistency: needs labels, and none of these codes has one")
    if features is None:
        if codes.features is None:
            raise DataError("contrast_consistency: these codes have no features; export them with --features")
        return codes.features
    features = np.asarray(features)
    if features.ndim != 2 or len(features) != len(codes) or features.dtype.kind not in "fiu":
        raise DataError(
            f"contrast_consistency: expected features [{len(codes)}, d], found {features.dtype} {list(features.shape)}"
        )
    if not np.isfinite(features).all():
        row, column = np.argwhere(~np.isfinite(features))[0]
        raise DataError(f"contrast_consistency: features row {row}, column {column} is {features[row, column]}")
    return features
