"""Codes that stay in their file: what is counted of them, a block in memory at a time, and a sample of their rows."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from codelab.core.codes import Codes, ContentHash
from codelab.core.errors import DataError, UsageError, first_line
from codelab.core.files import code_parts, iter_codes
from codelab.core.result import Source
from codelab.kernels.counting import class_counts
from codelab.statistics.counts import PairCounts

IN_MEMORY = "needs the codes in memory, without --stream"
"""Why a cell is empty."""


@dataclasses.dataclass(frozen=True, eq=False)
class Filed:
    """Codes in a file of ours, or in a folder of parts.

    `images` has what belongs to the images, their ids, labels and attributes; one blank bit stands in for their codes.
    """

    path: Path
    images: Codes
    source: Source
    meta: dict[str, Any]
    read: dict[str, tuple[np.ndarray, np.ndarray]] = dataclasses.field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> Filed:
        """Reads all but the codes into memory.

        Raises:
            UsageError, DataError: as `codelab.load`; there are no codes.
        """
        path, content, labels, items = Path(path), ContentHash(), [], []
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        if path.is_file() and path.suffix != ".parquet":
            raise UsageError(f"{path}: only codelab's own codes (.parquet) are read block by block")
        columns = {name for part in code_parts(path)[0] for name in part.file.schema_arrow.names}
        for block in iter_codes(path, columns=sorted(columns - {"logits", "features", "path", "thumbnail"})):
            content.update(block)
            labels.append(block.labels)
            items.append(block.items)
        if not labels:
            raise DataError(f"{path}: found no codes")
        try:
            joined = pa.concat_tables(items)
        except pa.ArrowException as error:
            raise DataError(f"{path}: its parts do not fit together ({first_line(error)})") from None
        images = dataclasses.replace(
            block,
            packed=np.zeros((sum(map(len, labels)), 1), np.uint8),
            bits=1,
            labels=np.concatenate(labels),
            items=joined,
            logits=None,
            features=None,
        )
        source = Source(len(images), block.bits, content.hexdigest(), "+".join(images.splits) or "all")
        return cls(path, images, source, block.meta)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def bits(self) -> int:
        return self.source.bits

    @property
    def sha256(self) -> str:
        return self.source.sha256

    def __getitem__(self, rows: np.ndarray) -> Codes:
        """The codes of these rows, in ascending order; rows of an earlier call are not read again."""
        known, packed = self.read.get("rows", (np.empty(0, np.int64), np.empty((0, 1), np.uint8)))
        if not np.isin(rows, known).all():
            cuts = ((np.searchsorted(rows, (row, row + len(block))), row, block) for row, block in self.blocks())
            parts = [block.packed[rows[start:stop] - row] for (start, stop), row, block in cuts]
            known, packed = self.read["rows"] = rows, np.concatenate(parts)
        found = packed[np.searchsorted(known, rows)]
        return dataclasses.replace(self.images[rows], packed=found, bits=self.bits)

    def blocks(self) -> Iterator[tuple[int, Codes]]:
        """Each block of codes, and the row at which it starts."""
        row = 0
        for block in iter_codes(self.path, columns=()):
            yield row, block
            row += len(block)


def ones_of(codes: Codes | Filed, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """`class_counts` of codes in memory or in a file, `[C, B]`."""
    if isinstance(codes, Codes):
        return class_counts(codes.packed, codes.bits, labels, n_classes)
    parts = (
        class_counts(block.packed, block.bits, labels[row : row + len(block)], n_classes)
        for row, block in codes.blocks()
    )
    return reduce(operator.add, parts)


def pairs_of(codes: Codes | Filed) -> PairCounts:
    """`PairCounts` of codes in memory or in a file."""
    if isinstance(codes, Codes):
        return PairCounts.of(codes)
    return reduce(operator.add, (PairCounts.of(block, row) for row, block in codes.blocks()))
