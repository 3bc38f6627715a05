"""Near copies that nobody named are noticed; collapsed and coarse codes are not taken for them."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from codelab import Codes
from codelab.analysis.near_copies import unnamed_copies
from tests.support.pictured import png


def random_bits(n, bits=64, seed=0):
    return np.random.default_rng(seed).random((n, bits)) < 0.5


def flipped(bits, share, seed=1):
    return bits ^ (np.random.default_rng(seed).random(bits.shape) < share)


def projected(n, dimensions, bits=64):
    """Signs of random directions of a few dimensions: many images have a near neighbour, and many of them."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, dimensions)) @ rng.normal(size=(dimensions, bits)) > 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("copies", [2, 5, 20])
@pytest.mark.parametrize("bits", [32, 64, 256])
def test_copies_are_noticed_by_their_codes(copies, bits, seed):
    codes = Codes.from_bits(flipped(np.repeat(random_bits(1000 // copies, bits), copies, axis=0), 0.01))
    assert "of the images have another w" in unnamed_copies(codes, seed=seed)


@pytest.mark.parametrize(
    "bits",
    [
        random_bits(2000),
        random_bits(500, 12),
        random_bits(20_000, 16),
        np.random.default_rng(0).random((5000, 64)) < 0.02,
        np.zeros((500, 64)),
        np.repeat(random_bits(1000, 2), 32, axis=1),
        np.repeat(random_bits(1000, 8), 8, axis=1),
        flipped(np.repeat(random_bits(1000, 8), 8, axis=1), 0.01),
        random_bits(10)[np.random.default_rng(0).integers(0, 10, 2000)],
        flipped(random_bits(60)[np.random.default_rng(0).integers(0, 60, 3000)], 0.01),
        projected(3000, 2),
        projected(3000, 3),
        projected(3000, 5, 256),
        random_bits(2),
        random_bits(0),
    ],
    ids=[
        *("random", "short", "as many as there are codes", "rare bits", "all zero", "two bits 32 times"),
        *("eight bits 8 times", "eight bits 8 times, noisy", "ten codes", "sixty classes, a code each"),
        *("2 dimensions", "3 dimensions", "5 dimensions", "two images", "no image"),
    ],
)
def test_other_codes_are_not_taken_for_copies(bits):
    codes = Codes.from_bits(bits)
    assert [unnamed_copies(codes, seed=seed) for seed in range(3)] == [""] * 3


def pictured(bits, pictures):
    return Codes.from_bits(bits, items={"thumbnail": pa.array(pictures, pa.large_binary())})


def test_where_there_are_thumbnails_they_must_be_nearly_equal_too():
    drawn = [png("bar" if i % 2 else "disc", i) for i in range(40)]
    bits = np.repeat(random_bits(40), 2, axis=0)
    again = [picture for picture in drawn for _ in range(2)]
    assert unnamed_copies(pictured(bits, again)).endswith("within 1 of 64 bits and nearly the same thumbnail")
    other = [picture for i in range(40) for picture in (drawn[i], drawn[(i + 1) % 40])]
    assert unnamed_copies(pictured(bits, other)) == ""
    assert unnamed_copies(pictured(random_bits(80), again)) == ""  # equal pictures alone: codes keep them apart
    assert unnamed_copies(pictured(bits, [None, b"no picture"] * 40)) == ""


def test_a_column_of_a_usual_name_whose_values_repeat():
    codes = Codes.from_bits(random_bits(6, 8), items={"emoji": list("aabbcc")})
    assert unnamed_copies(codes) == "the column 'emoji' has one value for several images"
    for values in ("abcdef", "aaaaaa"):  # one for each image, and one for all
        assert unnamed_copies(dataclasses.replace(codes, items=pa.table({"emoji": list(values)}))) == ""
