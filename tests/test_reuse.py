"""Reuse across classes on planted factors."""

import numpy as np
import pytest
import synthetic

from codelab.codes import Codes
from codelab.errors import DataError
from codelab.reuse import bit_reuse


def test_a_shared_bit_splits_all_classes_and_a_class_bit_none():
    labels = np.repeat(np.arange(8), 100)
    generator = np.random.default_rng(0)
    coin = generator.integers(0, 2, 800)
    one_class = np.where(labels == 3, coin, 0)
    half = np.where(labels < 4, coin, 0)
    reuse = bit_reuse(Codes.from_bits(np.stack([coin, one_class, half, labels == 2], axis=1), labels))
    assert reuse.classes == 8
    assert reuse.split.tolist() == reuse.split_sure.tolist() == [8, 1, 4, 0]
    assert reuse.perplexity == pytest.approx([8, 1, 4, 0], abs=0.05)
    assert reuse.on_perplexity == pytest.approx([8, 1, 4, 1], abs=0.1)
    assert reuse.within_entropy == pytest.approx([1, 1 / 8, 1 / 2, 0], abs=0.02)
    assert list(reuse.to_frame().columns)[:3] == ["bit", "within_entropy", "within_plugin"]


def test_few_images_cannot_make_a_split_sure():
    bits = synthetic.fair_bits(40, 16).to_bits()
    reuse = bit_reuse(Codes.from_bits(bits, np.repeat(np.arange(8), 5)))
    assert (reuse.split_sure == 0).all()
    assert (reuse.within_plugin < 0.95).all()
    assert reuse.within_entropy.mean() == pytest.approx(1, abs=0.06)  # the plug-in value is far too low at 5 a class


def test_unlabelled_codes_are_refused():
    with pytest.raises(DataError, match="bit_reuse: needs labels"):
        bit_reuse(synthetic.fair_bits(40, 16))
