"""Entropy from counts, and the entropy of blocks of bits."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from codelab.core.checks import check_codes, check_seed, need_items
from codelab.core.codes import Codes
from codelab.core.drawing import BLUE, INK, ORANGE, PURPLE, blank, level_line
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.result import Result, all_of
from codelab.core.verdict import Verdict
from codelab.statistics.counts import CellCounts, PairCounts
from codelab.statistics.estimators import ESTIMATORS, Estimator, entropy_of_counts, pair_information

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
Blocks = Literal["contiguous", "random", "dependent"]
ARRANGEMENTS: tuple[Blocks, ...] = ("contiguous", "random", "dependent")
WIDEST = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockEntropy(Result):
    """Entropy in bits of each block: `entropy` `[K]` by `estimator`, `plugin` `[K]` beside it; `value` is the mean.

    `members` `[K, width]` are the bits of each block, `left_out` the bits in none. `note` is not empty where there
    are too few items for the number of cells to trust the figure.

    The line quotes `value`, the arrangement of the blocks and the mean plug-in value.
    """

    value: float
    entropy: np.ndarray
    plugin: np.ndarray
    members: np.ndarray
    width: int
    estimator: str
    blocks: str
    left_out: tuple[int, ...] = ()
    note: str = ""

    def headline(self) -> str:
        plugin = number(float(self.plugin.mean()))
        return f"{number(self.value)} of {self.width} bits in a block, {self.blocks} (plug-in {plugin})"

    def to_frame(self) -> pd.DataFrame:
        """One row a block."""
        import pandas as pd

        names = [" ".join(map(str, block)) for block in self.members.tolist()]
        return pd.DataFrame(
            {"block": range(len(names)), "members": names, "entropy": self.entropy, "plugin": self.plugin}
        )

    def plot(self, *others: BlockEntropy) -> go.Figure:
        """Entropy of each block, one colour an arrangement, with the plug-in value as an open circle."""
        results = (self, *others)
        figure = blank("block", f"entropy of a block of {self.width} bits")
        for place, (blocks, colour) in enumerate(zip(results, (BLUE, ORANGE, PURPLE), strict=False)):
            x = np.arange(1, len(blocks.entropy) + 1)
            names = [" ".join(map(str, block)) for block in blocks.members.tolist()]
            figure.add_bar(
                x=x,
                y=blocks.entropy,
                name=f"{blocks.blocks} ({blocks.value:.2f})",
                marker_color=colour,
                customdata=names,
                hovertemplate="bits %{customdata}<br>%{y:.2f} bits<extra></extra>",
                offsetgroup=str(place),
            )
            figure.add_scatter(
                x=x + (place - (len(results) - 1) / 2) * 0.75 / len(results),
                y=blocks.plugin,
                name="plug-in",
                mode="markers",
                marker={"color": "white", "size": 6, "line": {"color": INK, "width": 1.2}},
                showlegend=place == 0,
                hovertemplate="plug-in %{y:.2f} bits<extra></extra>",
            )
        figure.add_hline(**level_line(self.width))
        figure.update_xaxes(dtick=1 if len(self.entropy) <= 16 else None)
        figure.update_yaxes(range=[0, self.width * 1.05])
        return figure


def block_entropy(
    codes: Codes | CellCounts,
    width: int = 8,
    *,
    estimator: Estimator = "grassberger",
    blocks: Blocks = "contiguous",
    seed: int = 0,
    pairs: PairCounts | None = None,
) -> BlockEntropy:
    """Joint entropy of blocks of bits. High values do *not* show that the whole code is rich: see degrees of freedom.

    Args:
        codes: codes `[N, B]`; or `CellCounts` of blocks from `arrange_blocks`, which then have their own width.
        width: bits in a block; a block has 2**width cells.
        estimator: `grassberger`, `plugin`, `miller-madow` or `jackknife`.
        blocks: `contiguous`; `random` (by `seed`); `dependent`, bits grouped so that each block shares the most
            information, the hardest case.
        seed: of the random blocks.
        pairs: `PairCounts` of the codes, where they are at hand; dependent blocks need them.

    Returns:
        The entropy of each block and their mean, with the plug-in values beside them. Bits beyond the last whole
        block are in `left_out`.

    Raises:
        UsageError: an unknown estimator or arrangement, or a width that does not fit.
        DataError: fewer items than cells.

    Source: the paper's section 4 (contiguous, plug-in); Grassberger 2003.

    Example:
        >>> fair = np.random.default_rng(0).integers(0, 2, (5000, 16))
        >>> block_entropy(Codes.from_bits(fair)).entropy.round(1).tolist()
        [8.0, 8.0]
    """
    if estimator not in ESTIMATORS:
        raise UsageError(f"estimator {estimator!r}: expected one of {', '.join(ESTIMATORS)}")
    check_seed(seed)
    if isinstance(codes, str):
        check_codes("codes", codes)
    if not isinstance(codes, Codes | CellCounts):
        raise UsageError(f"expected Codes or CellCounts, found {type(codes).__name__}")
    if isinstance(codes, CellCounts):
        counts, width = codes, codes.blocks.shape[1]
        _check_filled(counts.n, width)
    else:
        _check_filled(need_items("block_entropy", len(codes)), check_width(width, codes.bits))
        counts = CellCounts.of(codes, arrange_blocks(pairs or codes, width, blocks, seed))
    n, cells = counts.n, 1 << width
    note = ""
    if n < 10 * cells:
        note = f"block_entropy: {n} codes for {cells} cells, fewer than 10 each: the figure may be off"
        warnings.warn(note, UserWarning, stacklevel=2)
    entropy = entropy_of_counts(counts.cells, estimator)
    return BlockEntropy(
        source=counts.source,
        seed=seed if blocks == "random" else None,
        value=float(entropy.mean()),
        entropy=entropy,
        plugin=entropy_of_counts(counts.cells, "plugin"),
        members=counts.blocks,
        width=width,
        estimator=estimator,
        blocks=blocks,
        left_out=tuple(sorted(set(range(codes.bits)) - set(counts.blocks.ravel().tolist()))),
        note=note,
    )


def check_width(width: int, bits: int) -> int:
    """`width`, or a UsageError where no block of codes of `bits` bits can have it."""
    if not isinstance(width, int | np.integer) or not 1 <= width <= min(bits, WIDEST):
        raise UsageError(f"width {width}: expected 1 to {min(bits, WIDEST)} for codes of {bits} bits")
    return width


def _check_filled(n: int, width: int) -> None:
    if n < 1 << width:
        raise DataError(
            f"block_entropy: {n} codes cannot fill the {1 << width} cells of {width} bits; use a smaller width"
        )


def arrange_blocks(codes: Codes | PairCounts, width: int, blocks: Blocks, seed: int = 0) -> np.ndarray:
    """Which bits form each block: int `[B // width, width]`.

    Raises:
        UsageError: an unknown arrangement.
    """
    whole = codes.bits // width * width
    if blocks == "contiguous":
        return np.arange(whole).reshape(-1, width)
    if blocks == "random":
        order = np.random.default_rng(seed).permutation(codes.bits)
        return np.sort(order[:whole].reshape(-1, width), axis=1)
    if blocks == "dependent":
        return _dependent_blocks(PairCounts.of(codes), width)
    raise UsageError(f"blocks {blocks!r}: expected one of {', '.join(ARRANGEMENTS)}")


def _dependent_blocks(counts: PairCounts, width: int) -> np.ndarray:
    """Greedy: start from the free pair that shares most, add the free bit that shares most with the block so far."""
    shared = pair_information(counts.pairs, counts.n)
    np.fill_diagonal(shared, -1.0)
    free = np.ones(counts.bits, dtype=bool)
    members = []
    for _ in range(counts.bits // width):
        open_pairs = np.where(free[:, None] & free[None, :], shared, -1.0)
        first = int(np.argmax(open_pairs.max(axis=1)))
        block = [first]
        free[first] = False
        while len(block) < width:
            gain = np.where(free, shared[block].sum(axis=0), -np.inf)
            block.append(int(np.argmax(gain)))
            free[block[-1]] = False
        members.append(sorted(block))
    return np.array(members)


def judge_blocks(title: str, blocks: BlockEntropy, results: Mapping[str, Result]) -> Verdict:
    """How full are blocks of bits? A note: full blocks alone show nothing."""
    text = (
        f"Blocks of {blocks.width} neighbouring bits hold {blocks.value:.2f} of {blocks.width} bits "
        f"({blocks.estimator.capitalize()}; plug-in {blocks.plugin.mean():.2f})"
    )
    for dependent in (found for found in all_of(BlockEntropy, results) if found.blocks == "dependent"):
        text += f", the most dependent blocks {dependent.value:.2f}"
    text += ". A full block does not show a rich code: read it beside the independent coins."
    if blocks.note:
        text += " There are fewer than 10 images for each cell, so the figure may be off."
    return Verdict("note", title, f"{blocks.value:.2f} of {blocks.width}", text)
