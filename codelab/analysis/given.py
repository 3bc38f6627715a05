"""What the sections of an analysis are measured on: codes in memory, or the counts of all parts of a file."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from codelab.core.attributes import Groups, check_groups
from codelab.core.codes import Codes, ContentHash
from codelab.core.errors import CodelabError, DataError
from codelab.core.result import Source
from codelab.measures.block_entropy import arrange_blocks
from codelab.statistics.counts import BitCounts, CellCounts, ClassCounts, ClassPairCounts, PairCounts

WIDTH = 8
"""Bits of a block, fewer where the code has fewer."""

COUNTS: dict[str, Callable[[Codes, int, int], Any]] = {
    "bits": lambda part, row, seed: BitCounts.of(part),
    "pairs": lambda part, row, seed: PairCounts.of(part, row),
    "classes": lambda part, row, seed: ClassCounts.of(part),
    "within": lambda part, row, seed: ClassPairCounts.of(part),
    "contiguous": lambda part, row, seed: CellCounts.of(part, arrange_blocks(part, block_width(part), "contiguous")),
    "random": lambda part, row, seed: CellCounts.of(part, arrange_blocks(part, block_width(part), "random", seed)),
}
"""From codes, the row at which they start in their file, and a seed to counts that add."""

NEEDS: dict[str, tuple[Callable[[Given], bool], str]] = {
    "labels": (lambda given: given.codes.labelled, "needs labels, and none of these codes has one"),
    "logits": (lambda given: given.codes.logits is not None, "these codes have no logits; export them with --logits"),
    "features": (
        lambda given: given.codes.features is not None,
        "these codes have no features; export them with --features",
    ),
    "view": (lambda given: given.view is not None, "needs codes of another view of the same images"),
}
"""A test whether a section has what it needs, and the reason to give where it has not."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the sections of one analysis are measured on.

    Args:
        codes: all codes in memory; of a file in parts, its last part without a row.
        counted: the counts of all codes, by their name in `COUNTS`.
        view: codes of another view of the same images.
        features: `[N, d]` of another view.
        groups: an item column, or numbers `[N]`, equal where images are near copies; None: all images are different.
        permutations: behind every p-value.
        seed: of all chance.
        parts: the codes came in parts, so that only counts know all of them.
    """

    codes: Codes
    counted: Callable[[str], Any]
    view: Codes | None = None
    features: np.ndarray | None = None
    groups: str | np.ndarray | None = None
    permutations: int = 200
    seed: int = 0
    parts: bool = False

    @classmethod
    def of(cls, codes: Codes, *, groups: Groups = None, seed: int = 0, **options: Any) -> Given:
        """Codes in memory; what several sections count is counted once.

        Raises:
            DataError: there are no codes.
            UsageError: groups that are no column, or not one value an image.
        """
        if len(codes) == 0:
            raise DataError("analyze: there are no codes in this set")
        counted = functools.cache(lambda name: COUNTS[name](codes, 0, seed))
        return cls(codes=codes, counted=counted, groups=check_groups(codes, groups), seed=seed, **options)

    def grouped(self, name: str) -> Any:
        """The counts of that name; the codes themselves where there are groups, of which counts know nothing."""
        return self.counted(name) if self.groups is None else self.codes

    @property
    def chance(self) -> dict[str, Any]:
        """The options of every null model: groups, permutations and seed."""
        return {"groups": self.groups, "permutations": self.permutations, "seed": self.seed}

    @property
    def pairs(self) -> PairCounts:
        pairs: PairCounts = self.counted("pairs")
        return pairs

    @property
    def within(self) -> ClassPairCounts | None:
        """Counts of pairs in each class; None without one label an image, or with more classes than can be kept."""
        try:
            within: ClassPairCounts = self.counted("within")
        except CodelabError:
            return None
        return within if within.n else None


def block_width(codes: Codes) -> int:
    return min(WIDTH, codes.bits)


def of_parts(parts: Iterable[Codes], *, permutations: int, seed: int) -> tuple[Given, Source]:
    """The counts of all parts, one part in memory at a time, and what they were made from.

    Raises:
        DataError: there are no codes, or the parts do not fit each other.
    """
    sums: dict[str, Any] = {}
    row, content, splits = 0, ContentHash(), set[str]()
    for part in parts:
        content.update(part)
        splits.update(part.splits)
        for name, count in COUNTS.items():
            if isinstance(sums.get(name), CodelabError):
                continue
            try:
                counts = count(part, row, seed)
                sums[name] = counts if name not in sums else sums[name] + counts
            except CodelabError as error:  # such as more classes than fit in memory: the other counts go on
                if row:
                    raise
                sums[name] = error
        row += len(part)
    if row == 0:
        raise DataError("analyze: there are no codes in this set")

    def counted(name: str) -> Any:
        if isinstance(sums[name], CodelabError):
            raise sums[name]
        return sums[name]

    given = Given(codes=part[:0], counted=counted, permutations=permutations, seed=seed, parts=True)
    return given, Source(row, part.bits, content.hexdigest(), "+".join(sorted(splits)) or "all")
