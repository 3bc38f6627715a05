"""Classes with a code in common, against a count of all pairs of images."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codelab import shared_codes
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.measures.collisions import collisions


def counted(codes):
    """Pairs of images of two classes with one code, by comparing all."""
    found = Counter()
    for i, j in combinations(range(len(codes)), 2):
        labels = sorted((codes.labels[i], codes.labels[j]))
        if labels[0] >= 0 and labels[0] != labels[1] and (codes.packed[i] == codes.packed[j]).all():
            found[tuple(codes.classes[c] for c in labels)] += 1
    return found


@given(st.integers(2, 60), st.integers(1, 4), st.integers(1, 5), st.integers(0, 10**6))
def test_equals_a_count_of_all_pairs(n, bits, classes, seed):
    draw = np.random.default_rng(seed)
    labels = draw.integers(-1, classes, n).astype(np.int32)
    labels[0] = 0
    codes = Codes.from_bits(draw.integers(0, 2, (n, bits)), labels=labels, classes=tuple("abcde"[:classes]))
    frame = shared_codes(codes).to_frame()
    assert {(a, b): p for a, b, p in zip(frame["a"], frame["b"], frame["pairs"], strict=True)} == counted(codes)
    assert frame["pairs"].is_monotonic_decreasing
    if (labels >= 0).all():
        assert frame["pairs"].sum() == collisions(codes).pairs_across


def test_expected_is_the_mean_over_permuted_labels():
    draw = np.random.default_rng(0)
    bits, labels = draw.integers(0, 2, (60, 3)), np.repeat(np.arange(3), (10, 20, 30))
    found = shared_codes(Codes.from_bits(bits, labels=labels, classes=("a", "b", "c")))
    expected = dict(zip(zip(found.a.tolist(), found.b.tolist(), strict=True), found.expected, strict=True))
    sums = Counter()
    for _ in range(400):
        one = shared_codes(Codes.from_bits(bits, labels=draw.permutation(labels), classes=("a", "b", "c")))
        sums.update(dict(zip(zip(one.a.tolist(), one.b.tolist(), strict=True), one.pairs.tolist(), strict=True)))
    for pair, value in expected.items():
        assert sums[pair] / 400 == pytest.approx(value, rel=0.05)


def test_no_labels_and_several_an_image_are_refused():
    for codes in (
        Codes.from_bits(np.eye(4)),
        Codes.from_bits(np.eye(4), labels=np.ones((4, 2), bool), classes=("a", "b")),
    ):
        with pytest.raises(DataError, match="shared_codes: needs one label an image"):
            shared_codes(codes)
