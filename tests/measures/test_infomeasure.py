"""Entropies and information against the package infomeasure, an implementation independent of ours."""

import infomeasure as im
import numpy as np
import pytest

from codelab import Codes, class_information
from codelab.statistics.estimators import entropy_of_counts, xlog2x


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


@pytest.mark.parametrize("most", [30, 10**6])
@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float64])
def test_n_log_n_of_many_counts(most, kind):
    counts = np.random.default_rng(0).integers(0, most, (40, 50)).astype(kind)
    expected = [n * np.log2(n) if n else 0.0 for n in counts.ravel().tolist()]
    assert xlog2x(counts).ravel() == pytest.approx(expected, rel=1e-12)
