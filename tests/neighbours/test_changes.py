"""Shared neighbours of two codes, against a loop over all distances."""

import numpy as np
import pytest

from codelab import neighbour_changes
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError


def nearest(bits, row, k):
    away = (bits != bits[row]).sum(1)
    order = sorted((int(d), i) for i, d in enumerate(away) if i != row)
    return {i for _, i in order[:k]}


@pytest.mark.parametrize("bits", [1, 3, 40])  # one bit: half of the images are equal
def test_equals_a_loop_over_all_images(bits):
    draw = np.random.default_rng(bits)
    one, two = draw.integers(0, 2, (2, 70, bits))
    two[:, : bits // 2] = one[:, : bits // 2]
    found = neighbour_changes(Codes.from_bits(one), Codes.from_bits(two), k=7, sample=20, seed=3)
    assert len(found.rows) == 20
    for row, shared in zip(found.rows, found.shared, strict=True):
        assert shared == pytest.approx(len(nearest(one, row, 7) & nearest(two, row, 7)) / 7)


@pytest.mark.parametrize(("bits", "chance"), [(64, 20 / 499), (2, 0.25)])  # few bits: the order of rows decides
def test_unrelated_codes_share_what_chance_gives(bits, chance):
    draw = np.random.default_rng(0)
    a, b = (Codes.from_bits(draw.integers(0, 2, (500, bits))) for _ in range(2))
    found = neighbour_changes(a, b, k=20, sample=500)
    assert found.value == pytest.approx(found.chance, abs=0.03 if bits == 2 else 0.005)
    assert found.chance == pytest.approx(chance, abs=0.05)


def test_constant_codes_share_all_by_chance():
    same = Codes.from_bits(np.ones((30, 4)))
    found = neighbour_changes(same, same)
    assert (found.value, found.chance) == (1, 1)


def test_what_cannot_be_compared_is_refused():
    codes = Codes.from_bits(np.eye(5))
    with pytest.raises(DataError, match="found 5 codes, expected at least 11 for k=10"):
        neighbour_changes(codes, codes)
    with pytest.raises(UsageError, match="k"):
        neighbour_changes(codes, codes, k=0)
    with pytest.raises(DataError):
        neighbour_changes(codes, Codes.from_bits(np.eye(4)), k=1)
