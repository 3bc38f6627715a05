"""Thresholds at 0 and at the medians, on logits whose best threshold is known."""

import numpy as np
import pytest

from codelab import Codes, DataError, UsageError, analyze, retrieval_map, thresholds


def shifted(shift, n=600, bits=24, seed=0):
    """Logits of three classes, all moved by `shift`, which hides the classes from bits cut at 0."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    logits = rng.normal(size=(3, bits))[labels] + 0.8 * rng.normal(size=(n, bits)) + shift
    return Codes.from_logits(logits, labels=labels, items={"thing": (np.arange(n) // 6).astype(str)})


def test_medians_balance_and_pay_where_the_logits_are_shifted():
    codes = shifted(2.0)
    found = thresholds(codes)
    assert found.entropy[0] < 0.6 < 0.999 < found.entropy[1]
    balanced = Codes.from_bits(codes.logits > np.quantile(codes.logits, 0.5, axis=0, method="lower"), codes.labels)
    assert found.retrieval_map[0] == pytest.approx(retrieval_map(codes).value)
    assert found.retrieval_map[1] == pytest.approx(retrieval_map(balanced).value)
    assert found.difference.low > 0.05
    assert "at the medians; mAP" in found.headline()
    assert found.to_frame().threshold.tolist() == ["0", "median"]


def test_medians_change_nothing_where_0_is_the_median():
    codes = shifted(0.0)
    logits = codes.logits - np.quantile(codes.logits, 0.5, axis=0, method="lower")
    same = thresholds(Codes.from_logits(logits, labels=codes.labels))
    assert same.entropy[0] == same.entropy[1]
    assert same.difference.value == 0


def test_two_codes_equal_in_expectation_rarely_differ_with_near_copies():
    """Bits drawn at random of near copies: neither threshold knows the class, whatever the groups."""
    differ = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        things = np.repeat(np.arange(80), 3)
        logits = rng.normal(size=(80, 16))[things] + 0.1 * rng.normal(size=(240, 16)) + 0.4
        codes = Codes.from_logits(logits, labels=rng.integers(0, 4, 80)[things], items={"thing": things.astype(str)})
        differ += thresholds(codes, groups="thing").difference.p_value < 0.05
    assert differ <= 6


def test_it_is_a_section_and_says_what_is_missing():
    codes = shifted(1.0)
    found = analyze(codes, sections=["thresholds"], groups="thing")["thresholds"]
    assert found.difference.left_out == "self and same group"
    bare = Codes(codes.packed, codes.bits)
    skipped = analyze(bare, sections=["thresholds"])["thresholds"]
    assert skipped.reason == "thresholds: these codes have no logits; export them with --logits"
    with pytest.raises(DataError, match="these codes have no logits"):
        thresholds(bare)
    unlabelled = thresholds(Codes.from_logits(np.array(codes.logits)))
    assert np.isnan(unlabelled.retrieval_map).all()
    assert "retrieval not compared" in unlabelled.headline()
    with pytest.raises(UsageError, match="images"):
        thresholds(codes, images=1)
