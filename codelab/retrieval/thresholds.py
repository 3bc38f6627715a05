"""Bits cut at 0 beside the same logits cut at their medians: does balance pay in retrieval?"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.attributes import Groups, group_column, named_groups
from codelab.core.bits import pack_bits
from codelab.core.checks import check_codes, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError, DataError
from codelab.core.formats import number, p_phrase
from codelab.core.result import Result, Source
from codelab.measures.bit_usage import bit_usage
from codelab.retrieval.compare import RetrievalComparison, compare_retrieval
from codelab.statistics.splits import fitting

if TYPE_CHECKING:
    import pandas as pd

IMAGES = 2000
"""Most images whose retrieval is compared."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds(Result):
    """Mean entropy of a bit and mAP@ALL, with logits cut at 0 (`zero`) and at each bit's lower median (`median`).

    `entropy` `[2]` in bits is that of all codes, `retrieval_map` `[2]` that of `images` of them, each left out of its
    own ranking; `difference` is the paired difference of mAP, median less zero. Both are NaN and None without labels,
    and `note` says why.

    The line quotes both figures of both, and the difference.
    """

    entropy: np.ndarray
    retrieval_map: np.ndarray
    difference: RetrievalComparison | None
    images: int
    note: str = ""

    def headline(self) -> str:
        entropy = f"mean entropy {number(self.entropy[0])} at 0, {number(self.entropy[1])} at the medians"
        if self.difference is None:
            return f"{entropy}; {self.note}"
        found = self.difference
        spread = f"{found.value:+.3f}, {found.low:+.3f} to {found.high:+.3f}, {p_phrase('p', found.p_value)}"
        return f"{entropy}; mAP {number(self.retrieval_map[0])} and {number(self.retrieval_map[1])} ({spread})"

    def to_frame(self) -> pd.DataFrame:
        """One row a threshold."""
        import pandas as pd

        names = {"threshold": ["0", "median"], "entropy": self.entropy}
        return pd.DataFrame({**names, "retrieval_map": self.retrieval_map})


def thresholds(codes: Codes, *, groups: Groups = None, images: int = IMAGES, seed: int = 0) -> Thresholds:
    """Entropy and retrieval of codes, and of the same logits cut at the median of each bit, which balances them.

    Args:
        codes: codes `[N, B]` with logits; with labels their retrieval is compared.
        groups: item column, or one value an image: near copies are left out of each other's rankings.
        images: most images to compare retrieval on; of more, so many are drawn, in whole groups. The medians are those
            of all images.
        seed: of the images and of the parts of the interval.

    Raises:
        DataError: no logits, or no codes.
        UsageError: an option out of range.

    Example:
        >>> logits = np.random.default_rng(0).normal(size=(400, 8)) + 1
        >>> thresholds(Codes.from_logits(logits)).entropy.round(2).tolist()
        [0.66, 1.0]
    """
    check_codes("codes", codes)
    check_seed(seed)
    check_whole("images", images, 2)
    groups = named_groups(groups)
    if codes.logits is None:
        raise DataError("thresholds: these codes have no logits; export them with --logits")
    if len(codes) < 2:
        raise DataError(f"thresholds: found {len(codes)} codes, expected at least 2")
    place = (len(codes) - 1) // 2
    middle = np.stack([np.partition(column, place)[place] for column in codes.logits.T])
    bare = dataclasses.replace(codes, items=codes.items.select(["id"]), logits=None, features=None)
    balanced = dataclasses.replace(bare, packed=pack_bits(codes.logits > middle))
    entropy = np.array([bit_usage(each).value for each in (bare, balanced)])
    unit = group_column(codes, groups)
    order = np.random.default_rng(seed).permutation(int(unit.max()) + 1)
    rows = np.flatnonzero(np.isin(unit, order[fitting(np.bincount(unit)[order], images)]))
    found, note = None, ""
    try:
        pair = balanced[rows], bare[rows]
        found = compare_retrieval(*pair, groups=None if groups is None else unit[rows], seed=seed)
    except CodelabError as error:
        note = f"retrieval not compared: {error}"
    return Thresholds(
        source=Source.of(codes),
        seed=seed,
        entropy=entropy,
        retrieval_map=np.array([np.nan, np.nan] if found is None else [found.b, found.a]),
        difference=found,
        images=len(rows),
        note=note,
    )
