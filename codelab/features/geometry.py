"""How many dimensions continuous features use."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.features.moments import block_moments

if TYPE_CHECKING:
    import pandas as pd

ROWS = 1 << 15
"""Rows in memory at a time in float64: 200 MB at 768 dimensions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry(Result):
    """`d_eff` and `r_eff` of the covariance spectrum, RankMe `rank_me`, and `explained_variance` `[d]`, cumulative.

    `eigenvalues` `[d]` are those of the covariance, largest first; `n` items of `dimensions` dimensions.

    The line quotes the three effective dimensions.
    """

    d_eff: float
    r_eff: float
    rank_me: float
    explained_variance: np.ndarray
    eigenvalues: np.ndarray
    n: int
    dimensions: int

    def headline(self) -> str:
        d_eff, r_eff, rank_me = map(number, (self.d_eff, self.r_eff, self.rank_me))
        return f"d_eff {d_eff}, r_eff {r_eff}, RankMe {rank_me} of {self.dimensions} dimensions"

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


def geometry(features: np.ndarray | Codes, *, device: str = "cpu") -> Geometry:
    """Effective dimension and rank of features.

    Args:
        features: `[N, d]`, or codes that have features; a torch tensor works too.
        device: `cpu`, or `cuda` to do the products on the GPU.

    Returns:
        See `Geometry`. With l the eigenvalues of the covariance and s the singular values of the uncentred features,

            explained_variance_i = sum_{j <= i} l_j / sum_j l_j
            d_eff   = (sum_j l_j)^2 / sum_j l_j^2
            r_eff   = exp(-sum_j p_j ln p_j),    p_j = l_j / sum l
            rank_me = exp(-sum_j q_j ln q_j),    q_j = s_j / sum s

    Raises:
        DataError: no features, fewer than 2 items, NaN or infinite values, or all items alike.

    Source: the paper's section 4.3 (d_eff, r_eff); Roy & Vetterli 2007; RankMe: Garrido et al. 2023.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(4000, 8)) * [3, 3, 3, 3, 0, 0, 0, 0]
        >>> found = geometry(features)
        >>> round(found.d_eff, 1), round(found.r_eff, 1), found.explained_variance.round(2).tolist()[3]
        (4.0, 4.0, 1.0)
    """
    source = None
    if isinstance(features, Codes):
        source = Source.of(features)
        if features.features is None:
            raise DataError("geometry: these codes have no features; export them with --features")
        features = features.features
    if isinstance(features, str):
        check_codes("features", features)
    if hasattr(features, "detach"):  # a torch tensor, wherever it lies and whatever its precision
        features = features.detach().float().cpu().numpy()
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] == 0 or features.dtype.kind not in "fiu":
        raise DataError(f"geometry: expected numbers [N, d], found {features.dtype} {list(features.shape)}")
    n, dimensions = features.shape
    if n < 2:
        raise DataError(f"geometry: found {n} items, expected at least 2")
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
    return Geometry(
        source=source,
        d_eff=float(whole**2 / (eigenvalues**2).sum()),
        r_eff=float(np.exp(special.entr(share).sum())),
        rank_me=float(np.exp(special.entr(singular / singular.sum()).sum())),
        explained_variance=np.cumsum(share),
        eigenvalues=eigenvalues,
        n=n,
        dimensions=dimensions,
    )


def _spectrum(matrix: np.ndarray) -> np.ndarray:
    """Eigenvalues, largest first; those below rounding error are 0."""
    values = np.linalg.eigvalsh(matrix)[::-1]
    return np.where(values > 1e-12 * max(values[0], 0.0), values, 0.0)
