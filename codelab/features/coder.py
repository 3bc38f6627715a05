"""What every map from features to codes can do, whether it was fitted or trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from codelab.core.errors import DataError
from codelab.features.sources import open_features

BLOCK = 8192
"""Rows in memory at a time: 50 MB of float64 at 768 dimensions."""


class FeatureCoder:
    """Features `[d]` to B margins; bit b is 1 where its margin is > 0. A subclass has the fields, and `margins`."""

    method: str
    bits: int
    dims: int
    seed: int

    def margins(self, rows: np.ndarray) -> np.ndarray:
        """float32 `[n, d]`, checked to be finite, to float32 `[n, B]`."""
        raise NotImplementedError

    @property
    def sha256(self) -> str:
        """Content hash: the name of this coder in the provenance of codes."""
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Write one file without pickles, whole or not at all."""
        raise NotImplementedError

    def logits(self, features: Any, *, column: str | None = None) -> np.ndarray:
        """The margin of each bit: how far an item lies from flipping it.

        Args:
            features, column: as `codelab.binarize`, of d dimensions.

        Returns:
            float32 `[N, B]`.

        Raises:
            UsageError, DataError: as `codelab.binarize`, or another number of dimensions.
        """
        empty = np.empty((0, self.bits), dtype=np.float32)
        return np.concatenate([empty, *self.blocks(features, column=column)])

    def encode(self, features: Any, *, column: str | None = None) -> np.ndarray:
        """The packed codes: uint8 `[N, ceil(B/8)]`, in blocks, so that only the codes themselves take memory.

        Args and Raises: as `logits`.
        """
        empty = np.empty((0, (self.bits + 7) // 8), dtype=np.uint8)
        packed = (np.packbits(part > 0, axis=1) for part in self.blocks(features, column=column))
        return np.concatenate([empty, *packed])

    def blocks(self, features: Any, *, column: str | None = None, block: int = BLOCK) -> Iterator[np.ndarray]:
        """The margins of at most `block` rows at a time.

        Args and Raises: as `logits`.
        """
        source = open_features(features, column=column)
        self.check_dims(source.dims, source.name)
        for _, rows in source.blocks(block):
            yield self.margins(rows)

    def check_dims(self, dims: int, name: str) -> None:
        """Raise DataError where features have another number of dimensions than this coder."""
        if dims != self.dims:
            raise DataError(f"{name}: found {dims} dimensions, this {self.method} coder takes {self.dims}")
