"""Counts against brute force, and that parts add up to the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.bit_usage import bit_usage
from codelab.measures.class_information import class_information
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.statistics.counts import BitCounts, CellCounts, ClassCounts, PairCounts, total
from tests.support import synthetic


@st.composite
def coded(draw):
    n = draw(st.integers(1, 200))
    bits = draw(st.integers(1, 20))
    classes = draw(st.integers(1, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    labels = generator.integers(-1, classes, n)
    names = [f"c{i}" for i in range(classes)]
    return Codes.from_bits(generator.random((n, bits)) < generator.random(bits), labels, names)


@settings(max_examples=40, deadline=None)
@given(coded())
def test_counts_are_what_a_loop_finds(codes):
    bits = codes.to_bits().astype(int)
    assert BitCounts.of(codes).ones.tolist() == bits.sum(axis=0).tolist()
    assert PairCounts.of(codes).pairs.tolist() == (bits.T @ bits).tolist()
    counts = ClassCounts.of(codes)
    assert counts.n == (codes.labels >= 0).sum()
    for c in range(len(codes.classes)):
        assert counts.class_n[c] == (codes.labels == c).sum()
        assert counts.ones[c].tolist() == bits[codes.labels == c].sum(axis=0).tolist()
    blocks = np.array([[0], [codes.bits - 1]])
    cells = CellCounts.of(codes, blocks).cells
    assert cells[1].tolist() == [(bits[:, -1] == 0).sum(), (bits[:, -1] == 1).sum()]


@settings(max_examples=20, deadline=None)
@given(coded(), st.integers(1, 199))
def test_parts_add_up(codes, cut):
    cut = min(cut, len(codes))
    parts = [codes[:cut], codes[cut:]]
    for kind, names in (
        (BitCounts, ["ones"]),
        (ClassCounts, ["class_n", "ones", "bit_ones"]),
        (PairCounts, ["pairs"]),
    ):
        whole, summed = kind.of(codes), total(kind.of(part) for part in parts)
        assert summed.n == whole.n
        for name in names:
            assert np.array_equal(getattr(whole, name), getattr(summed, name)), (kind, name)


def test_a_cell_value_reads_its_bits_from_the_left():
    codes = Codes.from_bits([[1, 0, 1], [1, 1, 0], [1, 0, 1]])
    assert CellCounts.of(codes, [[0, 1, 2], [2, 1, 0]]).cells.tolist() == [
        [0, 0, 0, 0, 0, 2, 1, 0],
        [0, 0, 0, 1, 0, 2, 0, 0],
    ]


def test_multilabel_items_count_in_each_of_their_classes():
    labels = np.array([[1, 1], [0, 1], [0, 0]], dtype=bool)
    counts = ClassCounts.of(Codes.from_bits([[1, 0], [1, 1], [0, 1]], labels))
    assert (counts.n, counts.class_n.tolist(), counts.ones.tolist()) == (3, [1, 2], [[1, 0], [2, 1]])
    assert counts.bit_ones.tolist() == [2, 2]


def test_measures_of_summed_counts_are_measures_of_the_whole():
    codes = synthetic.prototypes(1920, bits=24)
    starts = (0, 700, 1900)
    parts = [codes[a:b] for a, b in zip(starts, (700, 1900, 1920), strict=True)]
    assert np.array_equal(bit_usage(total(BitCounts.of(p) for p in parts)).p, bit_usage(codes).p)
    summed_pairs = total(PairCounts.of(p, start) for p, start in zip(parts, starts, strict=True))
    whole, summed = degrees_of_freedom(codes), degrees_of_freedom(summed_pairs)
    assert (whole.value, whole.low, whole.high) == (summed.value, summed.low, summed.high)
    whole, summed = class_information(codes), class_information(total(ClassCounts.of(p) for p in parts))
    assert np.array_equal(whole.p_value, summed.p_value)
    assert summed.source.n == 1920
    assert summed.source.sha256 != whole.source.sha256


def test_what_does_not_add_is_refused():
    a, b = synthetic.fair_bits(10, 4), synthetic.fair_bits(10, 5)
    with pytest.raises(DataError, match="different bits do not add"):
        total([BitCounts.of(a), BitCounts.of(b)])
    with pytest.raises(DataError, match="no part"):
        total([])
    with pytest.raises(UsageError, match="expected Codes or BitCounts, found ndarray"):
        bit_usage(np.eye(3))
    cat, dog = Codes.from_bits([[1]], ["cat"]), Codes.from_bits([[1]], ["dog"])
    with pytest.raises(DataError, match="different classes do not add"):
        total([ClassCounts.of(cat), ClassCounts.of(dog)])
