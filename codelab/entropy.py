"""Entropy from counts, and the entropy of blocks of bits."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from scipy import special

from codelab.codes import Codes
from codelab.counts import CellCounts, PairCounts
from codelab.errors import DataError, UsageError
from codelab.formats import number
from codelab.result import Drawn, Result
from codelab.significance import check_seed, xlog2x
from codelab.usage import need_items

if TYPE_CHECKING:
    import pandas as pd

Estimator = Literal["grassberger", "plugin", "miller-madow", "jackknife"]
Blocks = Literal["contiguous", "random", "dependent"]

ESTIMATORS = ("grassberger", "plugin", "miller-madow", "jackknife")
ARRANGEMENTS: tuple[Blocks, ...] = ("contiguous", "random", "dependent")
WIDEST = 20


def entropy_of_counts(cells: np.ndarray, estimator: Estimator = "grassberger") -> np.ndarray:
    """Entropy in bits of the distribution that `cells` was drawn from.

    Args:
        cells: counts `[..., K]`, the last axis over the K outcomes; every row has at least one item.
        estimator: `plugin` is too low by about (K - 1) / (2 N ln 2); the others correct it, `grassberger` best at
            small N; being unbiased they may exceed log2 K a little. None goes below 0.

    Returns:
        `[...]` in bits.

    Raises:
        UsageError: an unknown estimator.

    Source: Miller 1955; Grassberger 2003 (arXiv physics/0307138, eq. 27 to 35); Zahl 1977 for the jackknife.

    Example:
        >>> cells = np.array([[500, 500], [14, 6]])
        >>> entropy_of_counts(cells, "plugin").round(3).tolist()
        [1.0, 0.881]
        >>> entropy_of_counts(cells, "miller-madow").round(3).tolist()
        [1.001, 0.917]
    """
    cells = np.asarray(cells)
    if estimator not in ESTIMATORS:
        raise UsageError(f"estimator {estimator!r}: expected one of {', '.join(ESTIMATORS)}")
    return np.maximum(_estimate(cells, estimator), 0.0)


def _estimate(cells: np.ndarray, estimator: Estimator) -> np.ndarray:
    n = cells.sum(axis=-1)
    plugin = (xlog2x(n) - xlog2x(cells).sum(axis=-1)) / n
    if estimator == "plugin":
        return plugin
    if estimator == "miller-madow":
        return plugin + ((cells > 0).sum(axis=-1) - 1) / (2 * n * np.log(2))
    if estimator == "grassberger":
        return np.log2(n) - (cells * _grassberger_g(cells)).sum(axis=-1) / n / np.log(2)
    # jackknife: taking an item out of a cell of c changes the sum of n log n by the same amount for all c items
    others = n - 1
    sum_log = xlog2x(cells).sum(axis=-1, keepdims=True)
    without = sum_log - xlog2x(cells) + xlog2x(np.maximum(cells - 1, 0))
    left_out = (xlog2x(others)[..., None] - without) / np.maximum(others, 1)[..., None]
    return n * plugin - others / n * (cells * left_out).sum(axis=-1)


def _grassberger_g(counts: np.ndarray) -> np.ndarray:
    """G(n) = psi(n) + (-1)^n (psi((n + 1) / 2) - psi(n / 2)) / 2, 0 at n = 0."""
    n = np.maximum(counts, 1).astype(np.float64)
    sign = np.where(counts % 2 == 0, 1.0, -1.0)
    g = special.digamma(n) + sign / 2 * (special.digamma((n + 1) / 2) - special.digamma(n / 2))
    return np.where(counts > 0, g, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockEntropy(Drawn, Result):
    """Entropy in bits of each block: `entropy` `[K]` by `estimator`, `plugin` `[K]` beside it; `value` is the mean.

    `members` `[K, width]` are the bits of each block, `left_out` the bits in none. `note` is not empty where there
    are too few items for the number of cells to trust the figure.

    The line quotes `value`, the arrangement of the blocks and the mean plug-in value.
    """

    FIGURE: ClassVar = "block_entropies"

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


def pair_information(pairs: np.ndarray, n: int) -> np.ndarray:
    """Plug-in mutual information in bits of every two bits, `[B, B]`; the diagonal holds the entropies.

    Args:
        pairs: `[B, B]` items where both bits are 1, the ones of each bit on the diagonal.
        n: items.
    """
    ones = np.diagonal(pairs)
    row, column = ones[:, None], ones[None, :]
    cells = xlog2x(pairs) + xlog2x(row - pairs) + xlog2x(column - pairs) + xlog2x(n - row - column + pairs)
    margin = xlog2x(ones) + xlog2x(n - ones)
    return np.maximum(cells - margin[:, None] - margin[None, :] + xlog2x(n), 0.0) / n
