"""How many dimensions continuous features use."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from codelab.core.attributes import Groups, check_groups, group_column
from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.features.moments import block_moments

if TYPE_CHECKING:
    import pandas as pd

LEAST = 4
"""Items below which the number of items cannot be corrected for."""
ENOUGH = 10
"""Items for each dimension below which figures without a correction are too low."""
FEW, MOST = 3, 0.5
"""Where so few dimensions make more than this share of the mean cosine distance, they dominate it.

Source: Timkey & van Schijndel 2021 (one to three rogue dimensions of language models make nearly all of the cosine).
"""
ROWS = 1 << 15
"""Rows in memory at a time in float64: 200 MB at 768 dimensions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry(Result):
    """`d_eff` and `r_eff` of the covariance spectrum, RankMe `rank_me`, and `explained_variance` `[d]`, cumulative.

    `d_eff` is corrected for the number of items, `d_eff_plugin` is not; `r_eff` and `rank_me` are not either, and
    `note` says so where they are too low because of it. `eigenvalues` `[d]` are those of the covariance, largest
    first; `n` items of `dimensions` dimensions. `dominant` `[3]` are the dimensions that make most of the mean cosine
    distance, largest first, and `dominant_share` is their share: above half a warning says that the distance, and
    random directions of these features, read little else. With few groups of near copies `d_eff` is too low as well,
    and `note` says so.

    The line quotes the three effective dimensions.
    """

    d_eff: float
    d_eff_plugin: float
    r_eff: float
    rank_me: float
    explained_variance: np.ndarray
    eigenvalues: np.ndarray
    n: int
    dimensions: int
    dominant: np.ndarray
    dominant_share: float
    note: str = ""
    estimator: str = "d_eff: corrected for the number of items; r_eff, RankMe: plug-in"

    def headline(self) -> str:
        d_eff, r_eff, rank_me = map(number, (self.d_eff, self.r_eff, self.rank_me))
        note = f" ({self.note})" if self.note else ""
        return f"d_eff {d_eff}, r_eff {r_eff}, RankMe {rank_me} of {self.dimensions} dimensions{note}"

    def size(self) -> str:
        """As of every result; for bare features, which have no bits, their dimensions: `N=1716, d=384`."""
        return super().size() or f"N={self.n}, d={self.dimensions}"

    def to_frame(self) -> pd.DataFrame:
        """One row a principal direction."""
        import pandas as pd

        rows = range(1, len(self.eigenvalues) + 1)
        return pd.DataFrame(
            {"component": rows, "eigenvalue": self.eigenvalues, "explained_variance": self.explained_variance}
        )


def geometry(features: np.ndarray | Codes, *, groups: Groups = None, device: str = "cpu") -> Geometry:
    """Effective dimension and rank of features.

    Args:
        features: `[N, d]`, or codes that have features; a torch tensor works too.
        groups: of codes, an item column or one value an image; images of one group are near copies. They do not
            change the figures, but `note` counts groups, not images.
        device: `cpu`, or `cuda` to do the products on the GPU.

    Returns:
        See `Geometry`. With l the eigenvalues of the covariance and s the singular values of the uncentred features,

            explained_variance_i = sum_{j <= i} l_j / sum_j l_j
            d_eff_plugin = (sum_j l_j)^2 / sum_j l_j^2,    d_eff: see `corrected_dimension`
            r_eff = exp(-sum_j p_j ln p_j),    p_j = l_j / sum l
            rank_me = exp(-sum_j q_j ln q_j),    q_j = s_j / sum s
            dominant_share = sum of the 3 largest v_i / sum v_i,    v_i the variance of dimension i of unit vectors

        as twice the mean of 1 - cosine over pairs is the mean squared distance of unit vectors, 2 sum_i v_i.

    Raises:
        DataError: no features, fewer than 4 items, NaN or infinite values, or all items alike.

    Source: the paper's section 4.3 (d_eff, r_eff); Roy & Vetterli 2007; RankMe: Garrido et al. 2023.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(4000, 8)) * [3, 3, 3, 3, 0, 0, 0, 0]
        >>> found = geometry(features)
        >>> round(found.d_eff, 1), round(found.r_eff, 1), found.explained_variance.round(2).tolist()[3]
        (4.0, 4.0, 1.0)
    """
    source, apart = None, None
    if isinstance(features, Codes):
        source, named = Source.of(features), check_groups(features, groups)
        apart = None if named is None else len(np.unique(group_column(features, named)))
        if features.features is None:
            raise DataError("geometry: these codes have no features; export them with --features")
        features = features.features
    elif groups is not None:
        raise UsageError("groups: need codes that have features, found features by themselves")
    if isinstance(features, str):
        check_codes("features", features)
    if hasattr(features, "detach"):  # a torch tensor, wherever it lies and whatever its precision
        features = features.detach().float().cpu().numpy()
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] == 0 or features.dtype.kind not in "fiu":
        raise DataError(f"geometry: expected numbers [N, d], found {features.dtype} {list(features.shape)}")
    n, dimensions = features.shape
    if n < LEAST:
        raise DataError(f"geometry: found {n} items, expected at least {LEAST}")
    blocks = (features[start : start + ROWS] for start in range(0, n, ROWS))
    found = block_moments(blocks, covariance=True, device=device)
    mean, second = found.mean, found.covariance
    assert second is not None  # noqa: S101  covariance=True gives one
    if not np.isfinite(second).all():
        bad = np.argwhere(~np.isfinite(features))
        row, column = bad[0] if len(bad) else (0, 0)
        raise DataError(f"geometry: row {row}, column {column} is {features[row, column]}, expected a finite number")
    eigenvalues = _spectrum(second)
    whole = eigenvalues.sum()
    if whole <= (4 * np.finfo(np.float64).eps) ** 2 * float(mean @ mean):
        raise DataError(f"geometry: all {n} items have the same features, expected at least two different ones")
    share = eigenvalues / whole
    singular = np.sqrt(_spectrum(second + np.outer(mean, mean)))
    fourth = sum(float((_squares(features[start : start + ROWS], mean) ** 2).sum()) for start in range(0, n, ROWS))
    varied = int((np.diagonal(second) > 0).sum())
    dominant, dominant_share = _dominant(features)
    rogue = _rogue(dominant, dominant_share, varied)
    note = "; ".join(part for part in (_note(n, apart, dimensions), rogue) if part)
    if rogue:
        warnings.warn(f"geometry: {rogue}", UserWarning, stacklevel=2)
    return Geometry(
        source=source,
        d_eff=corrected_dimension(whole, float((eigenvalues**2).sum()), fourth, n, varied),
        d_eff_plugin=float(whole**2 / (eigenvalues**2).sum()),
        r_eff=float(np.exp(special.entr(share).sum())),
        rank_me=float(np.exp(special.entr(singular / singular.sum()).sum())),
        explained_variance=np.cumsum(share),
        eigenvalues=eigenvalues,
        n=n,
        dimensions=dimensions,
        dominant=dominant,
        dominant_share=dominant_share,
        note=note,
    )


def _dominant(features: np.ndarray) -> tuple[np.ndarray, float]:
    """The dimensions with the largest variance of the items' unit vectors, and their share of all variance."""
    blocks = (features[start : start + ROWS].astype(np.float64) for start in range(0, len(features), ROWS))
    found = block_moments((_unit(block) for block in blocks), covariance=False)
    order = np.argsort(-found.variance, kind="stable")[:FEW]
    whole = found.variance.sum()
    return order, float(found.variance[order].sum() / whole) if whole > 0 else 0.0


def _unit(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def _rogue(dominant: np.ndarray, share: float, varied: int) -> str:
    """The warning in words; empty where no few dimensions dominate, or there are few in all."""
    if share <= MOST or varied <= 4 * FEW:
        return ""
    which = ", ".join(map(str, dominant.tolist()))
    return f"dimensions {which} of {varied} make {share:.0%} of the mean cosine distance; standardise them first"


def _note(n: int, groups: int | None, dimensions: int) -> str:
    """Which figures are too low. The correction of `d_eff` holds for independent items, not for near copies."""
    if (n if groups is None else groups) >= ENOUGH * dimensions:
        return ""
    if groups in (None, n):
        return f"fewer than {ENOUGH} items a dimension: r_eff and RankMe are too low"
    return f"fewer than {ENOUGH} groups a dimension: d_eff, r_eff and RankMe are too low"


def corrected_dimension(trace: float, square: float, fourth: float, n: int, dimensions: int) -> float:
    """(trace C)^2 / trace C^2 of the covariance C that n items were drawn with: quotient of two unbiased estimates.

    With S the covariance of the items (divided by n - 1) and Q = sum_i |x_i - mean|^4 / (n - 1),

        trace C^2:    k ((n - 1) (n - 2) trace S^2 + (trace S)^2 - n Q),    k = (n - 1) / (n (n - 2) (n - 3))
        (trace C)^2:  k (2 trace S^2 + (n^2 - 3 n + 1) (trace S)^2 - n Q)

    for any distribution with fourth moments. The quotient is kept between 1 and the number of dimensions that vary.

    Args:
        trace, square: of the covariance divided by n, and of its square.
        fourth: sum over items of the fourth power of the distance to the mean.
        n: items, at least 4.
        dimensions: those that vary.

    Source: Himeno & Yamada 2014.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 256))
        >>> x -= x.mean(axis=0)
        >>> c = x.T @ x / 50
        >>> round(np.trace(c) ** 2 / np.trace(c @ c))  # the plug-in value
        41
        >>> corrected = corrected_dimension(np.trace(c), np.trace(c @ c), ((x**2).sum(axis=1) ** 2).sum(), 50, 256)
        >>> 240 < corrected <= 256
        True
    """
    scale = n / (n - 1)
    trace, square, q = trace * scale, square * scale**2, fourth / (n - 1)
    k = (n - 1) / (n * (n - 2) * (n - 3))
    of_square = k * ((n - 1) * (n - 2) * square + trace**2 - n * q)
    squared = k * (2 * square + (n**2 - 3 * n + 1) * trace**2 - n * q)
    if of_square <= 0:
        return float(dimensions)
    return float(np.clip(squared / of_square, 1.0, dimensions))


def _squares(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Squared distances of rows to the mean, `[n]`."""
    return ((rows - mean) ** 2).sum(axis=1)


def _spectrum(matrix: np.ndarray) -> np.ndarray:
    """Eigenvalues, largest first; those below rounding error are 0."""
    values = np.linalg.eigvalsh(matrix)[::-1]
    return np.where(values > 1e-12 * max(values[0], 0.0), values, 0.0)
