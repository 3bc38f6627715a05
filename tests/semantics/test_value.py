"""Value of bits against mAP computed bit by bit, on planted truth, and for twins."""

import numpy as np
import pytest

from codelab import Codes, DataError, bit_value, retrieval_map


def planted(n=160, seed=0):
    """Bit 0 is the class, bits 1 and 2 are noisy twins of it, the rest are coins."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    bits = rng.integers(0, 2, (n, 8))
    bits[:, 0] = labels
    bits[:, 1] = bits[:, 2] = np.where(rng.random(n) < 0.2, 1 - labels, labels)
    return Codes.from_bits(bits, labels, items={"thing": [f"t{i // 2}" for i in range(n)]})


def test_masked_is_the_map_without_the_bit():
    codes = planted()
    found = bit_value(codes, groups="thing")
    whole = retrieval_map(codes, groups="thing").value
    assert found.retrieval_map == pytest.approx(whole)
    for b in range(8):
        without = codes.select_bits([x for x in range(8) if x != b])
        assert found.masked[b] == pytest.approx(whole - retrieval_map(without, groups="thing").value)
    assert (found.masked_low <= found.masked).all()
    assert (found.masked <= found.masked_high).all()


def test_the_class_is_worth_most_and_noise_less_than_nothing():
    found = bit_value(planted(), subsets=64)
    assert found.masked.argmax() == found.permuted.argmax() == found.share.argmax() == 0
    assert found.masked_low[0] > 0
    assert (found.masked[3:] < 0).all()
    assert found.permuted[0] > found.masked[0]  # noise in place of the class is worse than none
    assert (found.share[1:3] > 0.01).all()


def test_a_part_of_the_queries():
    codes = planted()
    found = bit_value(codes, queries=60)
    assert found.queries == 60
    assert found.masked[0] == pytest.approx(bit_value(codes).masked[0], abs=0.1)
    assert bit_value(codes, queries=60).to_frame().equals(found.to_frame())


def test_what_cannot_be_is_one_line():
    with pytest.raises(DataError, match="one bit"):
        bit_value(Codes.from_bits(np.eye(4)[:, :1], [0, 1, 0, 1]))
    with pytest.raises(DataError, match="label"):
        bit_value(Codes.from_bits(np.eye(4)))
    with pytest.raises(DataError, match="relevant"):
        bit_value(Codes.from_bits(np.eye(4), [0, 1, 2, 3]))
