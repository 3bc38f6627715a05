"""The searches of `search` on a torch device: distances as products of signs, exact, and the nearest by whole keys.

With bits as -1 and 1 the product of two codes is B - 2 d. Its values and partial sums are whole numbers of at most B,
which float16 holds exactly to 2,048: codes of up to 1,024 bits are multiplied in float16 on a GPU, longer ones in
float32. Weighted and asymmetric distances are summed in float64 and rounded to float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from codelab.codes import Codes
from codelab.errors import UsageError
from codelab.search import bit_costs

HALF_BITS = 1024
PAIRS = 1 << 26
"""Distances held at a time."""

QUERIES = 1024


def engine(
    codes: Codes,
    packed: np.ndarray,
    logits: np.ndarray | None,
    keep: np.ndarray,
    cost: np.ndarray | None,
    threads: int | None,
    device: str,
) -> tuple[Callable[[int], Any], Callable[[np.ndarray], Any]]:
    """The two kinds of search, `nearest(k)` and `within(radius [Q])`, on a torch device.

    Raises:
        UsageError: torch has no such device.
    """
    place = _device(device)
    plain = logits is None and cost is None
    ones, zeros = bit_costs(codes.bits, packed, logits, keep, cost)
    n, q = len(codes), len(ones)
    half = place.type == "cuda" and codes.bits <= HALF_BITS
    kind = torch.float64 if not plain else torch.float16 if half else torch.float32
    exact = torch.float32 if plain else torch.float64
    # sum of ones * x + zeros * (1 - x) over bits x, with signs s = 2 x - 1: (ones + zeros + s * (ones - zeros)) / 2
    mine = torch.from_numpy(ones - zeros).to(place, kind)
    base = torch.from_numpy((ones.astype(np.float64) + zeros).sum(axis=1)).to(place, exact)[:, None]
    database = torch.from_numpy(np.array(codes.packed)).to(place)  # a copy: torch takes no read-only memory

    def blocks(rows: slice) -> Iterator[tuple[int, torch.Tensor]]:
        step = max(1, PAIRS // max(1, rows.stop - rows.start))
        for start in range(0, n, step):
            signs = _signs(database[start : start + step], codes.bits, kind)
            product = (mine[rows] @ signs.T).to(exact)
            yield start, ((base[rows] + product) / 2).float()

    def nearest(k: int) -> tuple[np.ndarray, np.ndarray]:
        parts = []
        for rows in _rows(q):
            best = torch.empty((rows.stop - rows.start, 0), dtype=torch.int64, device=place)
            for start, far in blocks(rows):
                key = _keys(far, start)
                if k < key.shape[1]:
                    key = torch.topk(key, k, dim=1, largest=False).values
                best = torch.sort(torch.cat([best, key], dim=1), dim=1).values[:, :k]
            parts.append(best.cpu().numpy())
        keys = np.concatenate(parts) if parts else np.zeros((0, k), np.int64)
        return _apart(keys)

    def within(radius: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lists = []
        for rows in _rows(q):
            limit = torch.from_numpy(np.asarray(radius[rows], dtype=np.float64)).to(place)[:, None]
            found: list[list[np.ndarray]] = [[] for _ in range(rows.stop - rows.start)]
            for start, far in blocks(rows):
                hit = far.double() <= limit
                counts = hit.sum(dim=1).cpu().numpy()
                keys = _keys(far, start)[hit].cpu().numpy()
                for mine_found, part in zip(found, np.split(keys, np.cumsum(counts)[:-1]), strict=True):
                    mine_found.append(part)
            lists += [np.sort(np.concatenate(parts)) for parts in found]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
        return (*_apart(np.concatenate(lists) if lists else np.zeros(0, np.int64)), offsets)

    return nearest, within


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as problem:
        raise UsageError(f"device={name!r}: torch cannot use it ({str(problem).splitlines()[0]})") from None
    return device


def _rows(q: int) -> Iterator[slice]:
    return (slice(start, min(start + QUERIES, q)) for start in range(0, q, QUERIES))


def _signs(packed: torch.Tensor, bits: int, kind: torch.dtype) -> torch.Tensor:
    """Bits as -1 and 1, `[n, B]`, unpacked on the device: an eighth of the bytes cross the bus."""
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
    ones = (packed[:, :, None] >> shifts) & 1
    return ones.flatten(1)[:, :bits].to(kind).mul_(2).sub_(1)


def _keys(far: torch.Tensor, start: int) -> torch.Tensor:
    """Whole numbers in the order of (distance, row): the bits of a float >= 0 are in its order."""
    rows = torch.arange(start, start + far.shape[1], device=far.device)
    return (far.clamp_min(0).contiguous().view(torch.int32).long() << 32) | rows


def _apart(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances and rows of keys."""
    return (keys >> 32).astype(np.int32).view(np.float32), keys & 0xFFFFFFFF
