"""The searches of `search` on a torch device: distances as products of signs, exact, and the nearest by whole keys.

With bits as -1 and 1 the product of two codes is B - 2 d. Its values and partial sums are whole numbers of at most B,
which float16 holds exactly to 2,048: codes of up to 1,024 bits are multiplied in float16 on a GPU, longer ones in
float32. Costs of weighted and asymmetric search are whole numbers that float64 adds up exactly.

The k nearest of a block are its k smallest keys, int32: the product times a power of two, plus the row. A block of
2^27 pairs keeps a GPU busy; its products and keys take 1.3 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from codelab.core.codes import Codes
from codelab.core.errors import UsageError, first_line
from codelab.core.progress import counter
from codelab.neighbours.hamming import LONG
from codelab.neighbours.weighted import BitCosts, flat, in_order

HALF_BITS = 1024
PAIRS = 1 << 24
"""Distances, and bits of items as numbers, held at a time; a GPU holds `MORE` times as many."""
MORE = 8

QUERIES = 1024


def on_device(
    codes: Codes, packed: np.ndarray, keep: np.ndarray, costs: BitCosts | None, device: str
) -> tuple[Callable[[int], Any], Callable[[np.ndarray], Any]]:
    """The two kinds of search, `nearest(k)` and `within(limit [Q])`, on a torch device.

    Raises:
        UsageError: torch has no such device.
    """
    place = _device(device)
    n, q, bits = len(codes), len(packed) if costs is None else len(costs.ones), codes.bits
    half = place.type == "cuda" and bits <= HALF_BITS
    kind = torch.float64 if costs is not None else torch.float16 if half else torch.float32
    exact = torch.float32 if costs is None else torch.float64
    pairs = PAIRS * MORE if place.type == "cuda" and costs is None else PAIRS
    database = torch.from_numpy(np.array(codes.packed)).to(place)  # a copy: torch takes no read-only memory

    def blocks(rows: slice) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """First item, `base [Q, 1]` and `product [Q, items]` of each block: a distance is (base + product) / 2."""
        if costs is None:
            mine = np.unpackbits(packed[rows], axis=1, count=bits).view(bool)
            ones, zeros = (np.where(one & keep, 1.0, 0.0) for one in (~mine, mine))
        else:
            ones, zeros = costs.ones[rows], costs.zeros[rows]
        # with signs s = 2 x - 1:  sum_b ones x + zeros (1 - x)  =  (1/2) sum_b ones + zeros + s (ones - zeros)
        factor = torch.from_numpy(ones - zeros).to(place, kind)
        base = torch.from_numpy((ones + zeros).sum(axis=1)).to(place, exact)[:, None]
        step = min(max(1, pairs // max(1, len(ones), bits)), 1 << _row_bits(bits))
        for start in range(0, n, step):
            yield start, base, factor @ _signs(database[start : start + step], bits, kind).T

    def nearest(k: int) -> tuple[np.ndarray, np.ndarray]:
        parts = []
        for rows in _counted(q, n):
            size = rows.stop - rows.start
            best = torch.empty((size, 0), dtype=exact, device=place)
            index = torch.empty((size, 0), dtype=torch.int64, device=place)
            for start, base, product in blocks(rows):
                if costs is None:
                    product, row = _smallest(product, min(k, product.shape[1]), _row_bits(bits))
                else:
                    row = torch.arange(product.shape[1], device=place).expand_as(product)
                best, order = torch.sort(torch.cat([best, (base + product) / 2], dim=1), dim=1, stable=True)
                index = torch.cat([index, row + start], dim=1).gather(1, order[:, :k])
                best = best[:, :k]
            parts.append((best.double().cpu().numpy(), index.cpu().numpy()))
        if not parts:
            return np.zeros((0, k)), np.zeros((0, k), np.int64)
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def within(limit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lists: list[tuple[np.ndarray, np.ndarray]] = []
        for rows in _counted(q, n):
            most = torch.from_numpy(np.asarray(limit[rows], dtype=np.float64)).to(place)[:, None]
            found = [[(np.zeros(0), np.zeros(0, np.int64))] for _ in range(rows.stop - rows.start)]
            for start, base, product in blocks(rows):
                far = (base + product).double() / 2
                hit = far <= most
                ends = np.cumsum(hit.sum(dim=1).cpu().numpy())[:-1]
                items = hit.nonzero()[:, 1].cpu().numpy() + start
                lengths = far[hit].cpu().numpy()
                for mine, *part in zip(found, np.split(lengths, ends), np.split(items, ends), strict=True):
                    mine.append((part[0], part[1]))
            lists += [in_order(parts) for parts in found]
        return flat(lists)

    return nearest, within


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # `meta` holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as problem:
        raise UsageError(f"device={name!r}: torch cannot use it ({first_line(problem)})") from None
    return device


def _counted(q: int, n: int) -> Iterator[slice]:
    """Blocks of queries; long work gets a progress bar."""
    blocks = (slice(start, min(start + QUERIES, q)) for start in range(0, q, QUERIES))
    if q * n < LONG:
        yield from blocks
        return
    with counter("searching", q) as advance:
        for rows in blocks:
            yield rows
            advance(rows.stop - rows.start)


def _signs(packed: torch.Tensor, bits: int, kind: torch.dtype) -> torch.Tensor:
    """Bits as -1 and 1, `[n, B]`, unpacked on the device: an eighth of the bytes cross the bus."""
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
    ones = (packed[:, :, None] >> shifts) & 1
    return ones.flatten(1)[:, :bits].to(kind).mul_(2).sub_(1)


def _row_bits(bits: int) -> int:
    """Low bits of a key, which hold a row: the others hold a product of -B to B."""
    return 31 - bits.bit_length()


def _smallest(product: torch.Tensor, k: int, row_bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k smallest products `[Q, k]` of each query and their rows; of equal ones the first rows."""
    row = torch.arange(product.shape[1], dtype=torch.int32, device=product.device)
    keys = torch.add(row, product.int(), alpha=1 << row_bits)
    keys = torch.topk(keys, k, dim=1, largest=False, sorted=True).values
    return keys >> row_bits, keys & ((1 << row_bits) - 1)
