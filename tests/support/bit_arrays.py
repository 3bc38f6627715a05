"""Bits of any size for property tests."""

from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

bit_arrays = st.tuples(st.integers(0, 40), st.integers(1, 130)).flatmap(lambda shape: arrays(bool, shape))
"""Bool `[N, B]`, N from 0 to 40, B from 1 to 130."""
