"""Contrast consistency: does a bit move the features the same way in every class that it splits?"""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np

from codelab.core.checks import check_seed
from codelab.core.codes import Codes, unpack_bits
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.result import PerBit, Source
from codelab.statistics.nulls import false_discovery

HYPERPLANES = 64
"""Random hyperplanes behind `random_directions`."""

LEAST = 2
"""Items that a class must have on either side of a bit to count for it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastConsistency(PerBit):
    """Per bit, arrays `[B]`.

    A class's contrast d_c is its mean feature where the bit is 1 minus that where it is 0. `consistency` is the mean
    cosine of two classes' contrasts, freed of the noise of finite samples: the mean over pairs of classes of d_c .
    d_c' / (r_c r_c'), which is unbiased, over the mean over classes of n_c / r_c^2, where n_c is the square of d_c
    less its sampling variance, and r_c^2 is n_c drawn towards the mean of all classes as far as its own noise asks
    for, and no less than e = 5 standard errors of no contrast, nor than the geometric mean of e and the root mean
    square of n_c. So each class counts alike where its contrast can be told, however large it is, and classes of few
    images are pooled. The lower mean is at least the upper one, for no mean product exceeds the mean square, and at
    least 3 standard errors of the upper one. 1: all classes share one direction; 0: each has its own; a direction
    shared by half of the classes, where the others do not move, reads nearly 0.5 (clipped to -1 and 1).

    `cosine` is the plain mean cosine between classes, which noise pulls to 0. `low` to `high` is the 95 % interval of
    `consistency` over resampled classes; `p_value` and `q_value` are against bits permuted within each class, that is
    against bits that move nothing, and `null` is the mean `cosine` there; `flip_p_value` is against contrasts that
    point at random (their signs flipped class by class), that is against bits that move each class in its own way.
    `classes_used` classes have both sides of the bit; where fewer than 2 do, `consistency` is 0. `contrast_z` is the
    mean square contrast over its noise: where it is small, look at the interval and `q_value` first.

    `random_directions` is the mean consistency of bits made by random hyperplanes through the features of the codes
    (or those given, where the codes have none): what reading *any* direction gives. A bit is remarkable above it.
    `same_view` says that bits and features come from one view of the images, so that the direction of the head itself
    is part of the consistency.

    The line quotes how many bits stand out at q < 0.05, and the mean consistency beside random directions.
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
    estimator: str = "noise-corrected mean cosine"

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

    def headline(self) -> str:
        found = f"{int((self.q_value < 0.05).sum())} of {len(self.q_value)} bits at q < 0.05"
        mean, null = number(float(self.consistency.mean())), number(self.random_directions)
        return f"{found}; mean consistency {mean} (random directions {null})"


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
        between classes after Hernandez et al. 2022, unbiased products after Walther et al. 2016 (crossnobis), norms
        drawn to their mean after Morris 1983, traces of squared covariances after Srivastava 2005.

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
    check_seed(seed)
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
    consistency, contrast_z = classes.consistency(bits)
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
    hyperplanes, _ = classes.consistency((centred @ directions > 0).astype(np.float32))
    return ContrastConsistency(
        source=Source.of(codes),
        seed=seed,
        consistency=consistency,
        low=np.minimum(low, consistency),
        high=np.maximum(high, consistency),
        cosine=found.cosine,
        null=null.mean(axis=0),
        p_value=p_value,
        q_value=false_discovery(p_value),
        flip_p_value=np.where(found.used > 1, flip, 1.0),
        contrast_z=contrast_z,
        classes_used=found.used,
        random_directions=float(hyperplanes.mean()),
        same_view=same_view,
        items=len(rows),
        permutations=permutations,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Measured:
    cosine: np.ndarray
    shared: np.ndarray
    used: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class _Scaled:
    """Contrasts brought to about one length: `unit` `[C, B, d]`, their squares, the same without noise (`own`) and its
    standard error where nothing moves, and which count, each `[C, B]`; `z` `[B]` of all before scaling."""

    unit: np.ndarray
    squares: np.ndarray
    own: np.ndarray
    error: np.ndarray
    used: np.ndarray
    z: np.ndarray

    def consistency(self, weights: np.ndarray, bit: int) -> np.ndarray:
        """Of one bit, each class taken `weights` `[R, C]` times (a class is no pair with its own copy): `[R]`."""
        used, square = self.used[:, bit], weights**2
        number = weights @ used
        pairs = np.maximum(number**2 - square @ used, 1.0)
        together = ((weights @ self.unit[:, bit].astype(np.float64)) ** 2).sum(axis=1)
        shared = (together - square @ self.squares[:, bit]) / pairs
        error = self.error[:, bit]
        products = np.maximum((weights @ error) ** 2 - square @ error**2, 0.0)  # error holds the 2 of its variance
        least = np.maximum(shared, 3 * np.sqrt(products) / pairs)
        own = np.maximum(weights @ self.own[:, bit] / np.maximum(number, 1.0), least)
        told = (number**2 > square @ used) & (own > 0)
        return np.clip(np.divide(shared, own, out=np.full(len(own), np.nan), where=told), -1, 1)


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
                free = b - a - 1
                square[c] = trace[c] ** 2 / x.shape[1]  # the least it can be
                if free > 1:  # that of the sample is too large by what few images add
                    of_sample = float((gram**2).sum()) / free**2
                    unbiased = free**2 / ((free - 1) * (free + 2)) * (of_sample - trace[c] ** 2 / free)
                    square[c] = max(square[c], unbiased)
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
        delta, _, used = self.contrasts(bits)
        squares = np.einsum("cbd,cbd->cb", delta, delta, dtype=np.float64)
        number = used.sum(axis=0)
        pairs = np.maximum(number * (number - 1), 1)
        together = delta.sum(axis=0, dtype=np.float64)
        shared = ((together**2).sum(axis=1) - squares.sum(axis=0)) / pairs
        length = np.sqrt(squares)
        unit = np.divide(delta, length[..., None], out=np.zeros_like(delta), where=length[..., None] > 0)
        cosine = ((unit.sum(axis=0, dtype=np.float64) ** 2).sum(axis=1) - (length > 0).sum(axis=0)) / pairs
        return _Measured(cosine, shared, number)

    def scaled(self, bits: np.ndarray) -> _Scaled:
        delta, noise, used = self.contrasts(bits)
        squares = np.einsum("cbd,cbd->cb", delta, delta, dtype=np.float64)
        own = squares - noise * self.within(noise, squares)
        error = np.sqrt(2 * self.trace_of_square)[:, None] * noise
        spread = np.sqrt((error**2).sum(axis=0))
        z = np.divide(own.sum(axis=0), spread, out=np.zeros(len(spread)), where=spread > 0)
        scale = self.scale(own, error, noise, used)
        root = np.sqrt(scale)[..., None].astype(np.float32)
        unit = np.divide(delta, root, out=np.zeros_like(delta), where=root > 0)
        own, error = (np.divide(v, scale, out=np.zeros_like(v), where=scale > 0) for v in (own, error))
        squares = np.einsum("cbd,cbd->cb", unit, unit, dtype=np.float64)
        return _Scaled(unit, squares, own, error, used, z)

    def scale(self, own: np.ndarray, error: np.ndarray, noise: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Squared length `[C, B]` by which each class's contrast is divided; 0 where the class does not count."""
        number = np.maximum(used.sum(axis=0), 1)
        mean = own.sum(axis=0) / number
        slope = np.divide(self.trace_of_square, self.trace, out=np.zeros_like(self.trace), where=self.trace > 0)
        variance = error**2 + 4 * noise * np.maximum(own, 0.0) * slope[:, None]
        seen = np.where(used, (own - mean) ** 2, 0.0).sum(axis=0) / np.maximum(number - 1, 1)
        true = np.maximum(seen - variance.sum(axis=0) / number, 0.0)
        whole = true + variance
        trust = np.divide(true * np.ones_like(whole), whole, out=np.zeros_like(whole), where=whole > 0)
        # a class that does not move must not turn its noise into contrast: in between 5 errors and the usual size
        usual = np.sqrt((own**2).sum(axis=0) / number)
        least = np.maximum(5 * error, np.sqrt(5 * error * usual))
        return np.where(used, np.maximum(mean + trust * (own - mean), least), 0.0)

    def within(self, noise: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """Trace of the covariance around the two means of each class and bit, `[C, B]`.

        The spread around one mean less what the contrast explains of it: n1 n0 / n times its square.
        """
        n = np.diff(self.edges)[:, None].astype(np.float64)
        whole = self.trace[:, None] * (n - 1)
        explained = np.divide(squares, noise, out=np.zeros_like(squares), where=noise > 0)
        return np.maximum(whole - explained, 0.0) / np.maximum(n - 2, 1)

    def consistency(self, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Consistency and contrast z of each bit, `[B]`."""
        once = np.ones((1, len(self.edges) - 1))
        found, z = np.zeros((2, bits.shape[1]))
        for b in range(0, bits.shape[1], 32):
            scaled = self.scaled(bits[:, b : b + 32])
            z[b : b + 32] = scaled.z
            for j in range(len(scaled.z)):
                found[b + j] = np.nan_to_num(scaled.consistency(once, j)[0])
        return found, z

    def resample(
        self, bits: np.ndarray, shared: np.ndarray, resamples: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """95 % interval of the consistency over resampled classes, and the p-value of `shared` over flipped signs of
        the classes' contrasts."""
        n_classes = len(self.edges) - 1
        weights = generator.multinomial(n_classes, np.full(n_classes, 1 / n_classes), size=resamples).astype(float)
        signs = generator.choice([-1.0, 1.0], size=(resamples, n_classes))
        low, high = np.zeros((2, bits.shape[1]))
        flipped = np.zeros((resamples, bits.shape[1]))
        for b in range(0, bits.shape[1], 32):
            delta, _, used = self.contrasts(bits[:, b : b + 32])
            scaled = self.scaled(bits[:, b : b + 32])
            for j in range(delta.shape[1]):
                contrast, all_pairs = delta[:, j].astype(np.float64), used[:, j].sum() * (used[:, j].sum() - 1.0)
                flipped[:, b + j] = ((signs @ contrast) ** 2).sum(axis=1) - (contrast**2).sum()
                flipped[:, b + j] /= max(all_pairs, 1.0)
                drawn = scaled.consistency(weights, j)
                drawn = drawn[~np.isnan(drawn)]
                if len(drawn) >= resamples / 2:
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
