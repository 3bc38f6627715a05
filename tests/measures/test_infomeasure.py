"""Entropies and information against the package infomeasure, an implementation independent of ours."""

import infomeasure as im
import numpy as np
import pytest

from codelab import Codes, class_information
from codelab.statistics.estimators import entropy_of_counts


@pytest.fixture
def draws():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 800)
    bits = rng.random((800, 5)) < 0.2 + 0.08 * labels[:, None]
    return bits, labels


def test_plug_in_information(draws):
    bits, labels = draws
    ours = class_information(Codes.from_bits(bits, labels=labels), permutations=10).plugin
    theirs = [im.mutual_information(b.astype(int), labels, approach="discrete", base=2) for b in bits.T]
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), [("plugin", "discrete"), ("miller-madow", "miller_madow")])
def test_entropy(draws, ours, theirs):
    cells = draws[0] @ (1 << np.arange(5))
    counts = np.bincount(cells, minlength=32)
    expected = im.entropy(cells, approach=theirs, base=2)
    assert float(entropy_of_counts(counts, ours)) == pytest.approx(expected, abs=1e-9)
