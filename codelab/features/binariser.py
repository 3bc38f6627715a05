"""Continuous features -> codes without training: sign, median, random hyperplanes, PCA + rotation, ITQ."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from codelab import __version__
from codelab.core.checks import check_seed
from codelab.core.errors import DataError, UsageError, first_line
from codelab.core.io import atomic_path
from codelab.core.numpy_files import read_npz
from codelab.core.progress import counter
from codelab.features.coder import BLOCK, FeatureCoder
from codelab.features.fitting import Advance, itq_rotation, lower_medians, principal_directions, random_rotation
from codelab.features.moments import moments
from codelab.features.sources import Features, open_features

METHODS = ("sign", "median", "lsh", "pca-rotation", "itq")
FORMAT = 1
"""Version of the saved binariser; another version is refused."""
_ARRAYS = ("centre", "rotation", "columns")


@dataclass(frozen=True, eq=False)
class Binariser(FeatureCoder):
    """A fitted map from features `[d]` to B margins; bit b is 1 where its margin is > 0.

    Margins are `(x - centre) @ rotation`, or `(x - centre)[columns]` for the methods that read single dimensions.

    Args:
        method: `sign`, `median`, `lsh`, `pca-rotation` or `itq`.
        bits: B.
        seed: what drew the hyperplanes, the rotation and the rows ITQ was fitted on.
        rows: N it was fitted on.
        centre: float32 `[d]`: zeros (`sign`), medians (`median`), else the mean.
        rotation: float32 `[d, B]`, or None.
        columns: int64 `[B]`, or None.
        losses: of ITQ, the quantisation loss of the random rotation and after each iteration.

    Raises:
        DataError: shapes that do not fit each other, or values that are not finite.
    """

    method: str
    bits: int
    seed: int
    rows: int
    centre: np.ndarray = field(repr=False)
    rotation: np.ndarray | None = field(default=None, repr=False)
    columns: np.ndarray | None = field(default=None, repr=False)
    losses: tuple[float, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.method not in METHODS or not self._fits():
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in self._arrays().items())
            raise DataError(f"binariser: {shapes} do not make a finite {self.method} of {self.bits} bits")

    def _fits(self) -> bool:
        if self.centre.ndim != 1 or not np.isfinite(self.centre).all():
            return False
        if self.columns is not None:
            if self.rotation is not None or self.columns.dtype.kind not in "iu" or self.columns.shape != (self.bits,):
                return False
            return bool(((self.columns >= 0) & (self.columns < self.dims)).all())
        if self.rotation is None or self.rotation.shape != (self.dims, self.bits):
            return False
        return bool(np.isfinite(self.rotation).all())

    @property
    def dims(self) -> int:  # type: ignore[override]
        """d, the number of features it takes."""
        return len(self.centre)

    def margins(self, rows: np.ndarray) -> np.ndarray:
        """How far, in units of the features, each bit is from flipping."""
        if self.columns is not None:
            return rows[:, self.columns] - self.centre[self.columns]
        return (rows - self.centre) @ self.rotation

    @property
    def sha256(self) -> str:
        """Content hash: the name of this binariser in the provenance of codes."""
        digest = hashlib.sha256(json.dumps(self._header(), sort_keys=True).encode())
        for name, array in self._arrays().items():
            digest.update(f"{name}{array.dtype}{list(array.shape)}".encode() + array.tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write one `.npz` file without pickles, whole or not at all; its entry `header` is JSON.

        Raises:
            UsageError: the name does not end in .npz.
        """
        if Path(path).suffix != ".npz":
            raise UsageError(f"{path}: expected a name ending in .npz")
        header = json.dumps({**self._header(), "version": __version__})
        with atomic_path(path) as part, part.open("wb") as file:
            np.savez(file, header=np.array(header), **self._arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> Binariser:
        """The binariser that a file holds.

        Raises:
            UsageError: there is no such file.
            DataError: the file is truncated, foreign or of another format, or its arrays do not fit each other.
        """
        if not Path(path).is_file():
            raise UsageError(f"{path}: no such file")
        arrays: dict[str, Any] = {**read_npz(path, ("header", *_ARRAYS), what="file of a codelab binariser")[0]}
        try:
            header = json.loads(str(arrays.pop("header")))
            if header.pop("kind") != "binariser":
                raise KeyError("kind")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError):
            raise DataError(f"{path}: not a whole file of a codelab binariser") from None
        if header.pop("format", None) != FORMAT:
            raise DataError(f"{path}: a binariser of another format, expected format {FORMAT}")
        header.pop("version", None)
        try:
            return cls(**{**header, "losses": tuple(header["losses"])}, **arrays)
        except (DataError, LookupError, AttributeError, TypeError, ValueError) as error:
            raise DataError(f"{path}: {first_line(error)}") from None

    def _header(self) -> dict[str, Any]:
        names = ("method", "bits", "seed", "rows", "losses")
        return {"kind": "binariser", "format": FORMAT, **{name: getattr(self, name) for name in names}}

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return {name: array for name, array in arrays.items() if array is not None}


def binarize(
    features: Any,
    bits: int,
    *,
    method: str = "itq",
    seed: int = 0,
    column: str | None = None,
    sample: int = 50_000,
    iterations: int = 50,
    block: int = BLOCK,
    progress: bool = True,
) -> Binariser:
    """Fit a binariser on features that anyone already has: seconds to a minute, no training.

    Methods, from the simplest:

    * `sign`: bit b is 1 where dimension b is > 0. With fewer bits than dimensions, those of largest variance.
    * `median`: the same, against the dimension's exact lower median: every bit is balanced.
    * `lsh`: random hyperplanes through the mean; Hamming distance / B estimates angle / pi seen from the mean, and
      there may be more bits than dimensions.
    * `pca-rotation`: the B leading principal components, randomly rotated so that every bit carries alike.
    * `itq`: the same, then rotated so that the signs lose least.

    Features are read in blocks, once (`sign`, `lsh`, `pca-rotation`), twice (`itq`) or four times (`median`).
    A constant dimension is never used as a bit by `sign` and `median`, and changes nothing for the others.

    Args:
        features: `[N, d]`, at least 2 rows: an array or `np.load(..., mmap_mode="r")`, `Codes` with features, or the
            path of a `.npy` file, a Parquet file or a folder of such. They are worked on as float32. A path takes the
            least memory: pages of a map that stays open count as the process's own until the system needs them.
        bits: B. At most the dimensions that vary (`sign`, `median`) or the rank (`pca-rotation`, `itq`), which is
            below N; any number for `lsh`.
        method: see above. The trained coder, `hashcoder`, is `training.fit_coder`.
        seed: draws hyperplanes, the rotation and ITQ's rows.
        column: of a Parquet file; default `features`, or the only column of lists of numbers.
        sample: ITQ finds its rotation on this many random rows (on all if there are fewer).
        iterations: of ITQ.
        block: rows in memory at a time; changes the result by rounding only.
        progress: a bar on stderr where that is a terminal.

    Returns:
        A `Binariser`; its `encode` gives packed codes.

    Raises:
        UsageError: a method, number of bits or path that cannot be.
        DataError: NaN or infinite values, fewer than 2 rows, all rows alike, or too few directions for the bits.

    Source: Charikar 2002 (`lsh`); Gong & Lazebnik 2011 (`itq`); Hashing-Baseline, arXiv 2509.14427 (`pca-rotation`).

    Example:
        >>> features = np.random.default_rng(0).normal(size=(1000, 16))
        >>> coder = binarize(features, 8)
        >>> coder
        Binariser(method='itq', bits=8, seed=0, rows=1000)
        >>> packed = coder.encode(features)
        >>> packed.shape, packed.dtype
        ((1000, 1), dtype('uint8'))
    """
    if method == "hashcoder":
        raise UsageError("binarize: method hashcoder is trained: use training.fit_coder")
    if method not in METHODS:
        raise UsageError(f"binarize: method {method!r}, expected one of {', '.join(METHODS)}, hashcoder")
    for name, value in (("bits", bits), ("sample", sample), ("iterations", iterations), ("block", block)):
        if value < 1:
            raise UsageError(f"binarize: {name} is {value}, expected 1 or more")
    check_seed(seed)
    source = open_features(features, column=column)
    if source.rows < 2:
        raise DataError(f"{source.name}: found {source.rows} rows, expected at least 2")
    passes = {"itq": 2, "median": 4}.get(method, 1)
    with counter(f"fitting {method}", passes * source.rows, show=progress) as advance:
        parts = _fit(source, bits, method, seed, sample=sample, iterations=iterations, block=block, advance=advance)
    return Binariser(method, bits, seed, source.rows, **parts)


def _fit(
    source: Features, bits: int, method: str, seed: int, *, sample: int, iterations: int, block: int, advance: Advance
) -> dict[str, Any]:
    """The arrays of a `Binariser`."""
    stats = moments(source, covariance=method in ("pca-rotation", "itq"), block=block, advance=advance)
    if not stats.variance.any():
        raise DataError(f"{source.name}: all {source.rows} rows are alike, expected at least two different ones")
    mean = stats.mean.astype(np.float32)
    if method in ("sign", "median"):
        columns = _widest(stats.variance, bits, source.name, method)
        centre = np.zeros(source.dims, dtype=np.float32)
        if method == "median":
            centre[columns] = lower_medians(source, columns, block=block, advance=advance)
        return {"centre": centre, "columns": columns}
    if stats.covariance is None:  # lsh
        normals = np.random.default_rng(seed).normal(size=(source.dims, bits))
        return {"centre": mean, "rotation": (normals / np.linalg.norm(normals, axis=0)).astype(np.float32)}

    directions = principal_directions(stats.covariance, bits, name=source.name, rows=source.rows)
    rotation, losses = random_rotation(bits, seed), list[float]()
    if method == "itq":
        index = np.arange(source.rows)
        if sample < source.rows:  # a stream of its own: the rotation is that of pca-rotation with this seed
            index = np.sort(np.random.default_rng([seed, 1]).choice(source.rows, sample, replace=False))
        projected = (source.take(index, block) - mean) @ directions.astype(np.float32)
        rotation, losses = itq_rotation(projected, rotation, iterations=iterations)
        advance(source.rows)
    return {"centre": mean, "rotation": (directions @ rotation).astype(np.float32), "losses": tuple(losses)}


def _widest(variance: np.ndarray, bits: int, name: str, method: str) -> np.ndarray:
    """The `bits` dimensions of largest variance, in their own order."""
    varying = int((variance > 0).sum())
    if bits > varying:
        raise DataError(
            f"{name}: {varying} of {len(variance)} dimensions vary, "
            f"expected at least one for each of {bits} bits of {method}"
        )
    return np.sort(np.argsort(-variance, kind="stable")[:bits])
