"""Boolean queries of bits against NumPy, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codelab import Codes, UsageError
from tests.support.bit_arrays import bit_arrays


@settings(deadline=None)
@given(bit_arrays.filter(lambda b: b.shape[1] >= 3), st.randoms(use_true_random=False))
def test_where_is_boolean_algebra(bits, random):
    codes = Codes.from_bits(bits)
    a, b, c = (random.randrange(bits.shape[1]) for _ in range(3))
    A, B, C = bits[:, a], bits[:, b], bits[:, c]
    expected = {
        f"{a}": A,
        f"~{a}": ~A,
        f"{a} & ~{b} | {c}": A & ~B | C,
        f"{a} ^ ({b} | ~{c})": A ^ (B | ~C),
        f"  ~({a}&{b}) ": ~(A & B),
    }
    for query, mask in expected.items():
        assert codes.where(query).tolist() == mask.tolist(), query
        assert len(codes[codes.where(query)]) == mask.sum()


@pytest.mark.parametrize(
    "query", ["", "3 +", "a & 1", "1 + 2", "__import__('os')", "True", "1.5", "-1", "1 and 2", "9"]
)
def test_where_refuses_what_is_no_query(query):
    with pytest.raises(UsageError) as error:
        Codes.from_bits(np.eye(4)).where(query)
    assert "\n" not in str(error.value)


def test_long_queries_are_answered(recwarn):
    bits = np.eye(4, dtype=bool)
    codes = Codes.from_bits(bits)
    assert codes.where(" | ".join(["0", "~1 & 2"] * 3000)).tolist() == (bits[:, 0] | ~bits[:, 1] & bits[:, 2]).tolist()
    assert codes.where("(" * 5000 + "3" + ")" * 5000).tolist() == bits[:, 3].tolist()
    assert codes.where("~" * 5001 + "3").tolist() == (~bits[:, 3]).tolist()


@pytest.mark.parametrize(
    "query", ["9" * 6000, "0x" + "f" * 6000, "0 |" * 6000, "(" * 6000, "1)" + ")" * 6000, "0 1", "()", "٣", "1\x00"]
)
def test_long_queries_are_refused_in_one_short_line(query):
    with pytest.raises(UsageError, match="expected bit numbers joined by") as error:
        Codes.from_bits(np.eye(4)).where(query)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 300


def test_a_query_that_is_no_text_is_one_line():
    with pytest.raises(UsageError, match=r"^query: found list, expected text such as '0 & ~1'$"):
        Codes.from_bits([[1, 0]]).where([True])
