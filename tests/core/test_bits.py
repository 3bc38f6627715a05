"""Packed bits against bitarray and NumPy, across the borders of the blocks they are unpacked in."""

import time
from unittest.mock import patch

import numpy as np
from bitarray import bitarray
from hypothesis import given, settings
from hypothesis import strategies as st

from codelab.core import bits as module
from codelab.core.bits import bit_columns, pack_bits, select_bits, unpack_bits
from tests.support.bit_arrays import bit_arrays


@settings(deadline=None)
@given(bit_arrays)
def test_packing_is_bitarrays_and_comes_back(bits):
    packed = pack_bits(bits)
    assert [row.tobytes() for row in packed] == [bitarray(row.tolist()).tobytes() for row in bits]
    assert np.array_equal(unpack_bits(packed, bits.shape[1]), bits)


@settings(deadline=None)
@given(bit_arrays, st.sampled_from([8, 16, 1 << 16]), st.data())
def test_columns_and_chosen_bits_do_not_depend_on_the_block(bits, rows, data):
    packed, width = pack_bits(bits), bits.shape[1]
    chosen = data.draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=20))
    with patch.object(module, "ROWS", rows):
        columns, part = bit_columns(packed, width), select_bits(packed, width, chosen)
    assert np.array_equal(columns, np.packbits(bits.T, axis=1))
    assert np.array_equal(part, np.packbits(bits[:, chosen], axis=1))


def test_columns_are_turned_eight_bits_at_a_time():
    packed = np.random.default_rng(0).integers(0, 256, (100_000, 16), dtype=np.uint8)

    def seconds(make):
        begun = time.process_time()
        make()
        return time.process_time() - begun

    bit_by_bit = min(seconds(lambda: np.packbits(unpack_bits(packed, 128).T, axis=1)) for _ in range(3))
    assert min(seconds(lambda: bit_columns(packed, 128)) for _ in range(3)) < bit_by_bit / 2
