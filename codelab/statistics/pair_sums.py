"""Sums of Hamming distances over all pairs of items, from counts; pairs of near copies can be left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codelab.core.bits import differing
from codelab.core.codes import Codes
from codelab.kernels.counting import pair_counts
from codelab.statistics.counts import ROWS


@dataclass(frozen=True, eq=False)
class PairSums:
    """Over ordered pairs of two items, by the parts they are in: how many, and the sums of d and d^2.

    d is the share of bits in which the two differ; `number` float64 `[P, P]`, `sums` float64 `[2, P, P]`.
    """

    number: np.ndarray
    sums: np.ndarray

    @classmethod
    def of_counts(cls, n: np.ndarray, both: np.ndarray) -> PairSums:
        """From items `[P]` of each part, and those where two bits are both 1, `[P, B, B]`.

        Two items differ in bit i for 2 ones (n - ones) ordered pairs, and in both i and j for 2 (n11 n00 + n10 n01),
        where n00 = n - ones_i - ones_j + n11 and so on. Counts add over parts; of two parts, each comes first in half
        of the pairs.

        Example:
            >>> bits = np.array([[0, 0], [0, 1], [1, 1]])
            >>> PairSums.of_counts(np.array([3]), (bits.T @ bits)[None]).sums.ravel().tolist()
            [4.0, 3.0]
        """
        n, both = n.astype(np.float64), both.astype(np.float64)
        ones, bits = np.diagonal(both, axis1=1, axis2=2), both.shape[1]
        flat, with_any, all_ones = both.reshape(len(n), -1), both.sum(axis=2), ones.sum(axis=1)
        distance = 2 * (np.outer(n, all_ones) - ones @ ones.T)
        pairs = np.outer(n, with_any.sum(axis=1)) + 2 * flat @ flat.T - 4 * ones @ with_any.T
        squared = 2 * (pairs + np.outer(all_ones, all_ones))
        sums = np.stack([(distance + distance.T) / 2 / bits, (squared + squared.T) / 2 / bits**2])
        return cls(np.outer(n, n) - np.diag(n), sums)

    def without(self, codes: Codes, units: np.ndarray, part: np.ndarray) -> PairSums:
        """The sums without pairs of two items of one group, whose distances are taken one by one.

        A group of more than B items costs less by counts, as the whole does.

        Args:
            codes: codes `[N, B]`.
            units: int `[N]`, the group of each item.
            part: int `[N]`, the part of each item: the same for all of a group.
        """
        order = np.argsort(units, kind="stable")
        packed, unit, of = codes.packed[order], units[order], part[order]
        starts = np.flatnonzero(np.diff(unit, prepend=-1))
        sizes = np.diff(np.append(starts, len(unit)))
        number, sums = self.number.copy(), self.sums.copy()
        np.subtract.at(number, (of[starts], of[starts]), sizes * (sizes - 1.0))
        large = sizes > max(codes.bits, 64)
        for start, size in zip(starts[large], sizes[large], strict=True):
            counts = pair_counts(packed[start : start + size], codes.bits)[None]
            sums[:, of[start], of[start]] -= PairSums.of_counts(np.array([size]), counts).sums[:, 0, 0]
        rows, step = np.flatnonzero(np.repeat(~large, sizes)), 1
        while len(rows := rows[rows < len(unit) - step]) and len(rows := rows[unit[rows] == unit[rows + step]]):
            for block in np.split(rows, range(ROWS, len(rows), ROWS)):
                apart = differing(packed[block], packed[block + step]) / codes.bits
                for power in (1, 2):
                    twice = 2 * np.bincount(of[block], apart**power, sums.shape[1])
                    np.subtract(sums[power - 1], np.diag(twice), out=sums[power - 1])
            step += 1
        return PairSums(number, sums)

    def moments(self) -> tuple[float, float]:
        """Mean and variance of d over the pairs."""
        mean, square = self.sums.sum(axis=(1, 2)) / self.number.sum()
        return float(mean), float(square - mean**2)
