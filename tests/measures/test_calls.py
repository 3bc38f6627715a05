"""Calls that are wrong are refused in one line."""

import numpy as np
import pytest

import codelab
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.measures.class_information import attribute_information
from codelab.measures.class_log_odds import class_log_odds
from codelab.measures.contrast_consistency import contrast_consistency
from codelab.measures.disentanglement import factors
from codelab.measures.joint_information import joint_information
from codelab.retrieval.shorter import smaller_code

LABELS = np.arange(200) % 4
CODES = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (200, 8)), LABELS, items={"tone": LABELS.astype(str)})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: codelab.code_length(CODES, "logistic", items=0), "items 0: expected at least 64"),
        (lambda: codelab.code_length(CODES, "logistic", items=2), "items 2: expected at least 64"),
        (lambda: class_log_odds(CODES, confidence=1.5), "confidence 1.5: expected between 0 and 1"),
        (lambda: class_log_odds(CODES, confidence=0.0), "confidence 0.0: expected between 0 and 1"),
        (lambda: smaller_code(CODES, 2, groups="nope"), "groups='nope': these codes have tone"),
        (
            lambda: smaller_code(CODES, 2, groups=[1, 2]),
            "groups: found 2 values, expected one for each of 200 codes",
        ),
        (lambda: codelab.block_entropy(CODES, 2.5), "width 2.5: expected 1 to 8 for codes of 8 bits"),
        (lambda: codelab.block_entropy(np.ones((300, 3)), 2), "expected Codes or CellCounts, found ndarray"),
        (lambda: codelab.bit_reuse(CODES, permutations=0), "permutations 0: expected at least 1"),
        (lambda: codelab.class_information(CODES, permutations=2.5), "permutations 2.5: expected at least 1"),
    ],
)
def test_a_wrong_call_is_one_line(call, message):
    with pytest.raises(UsageError) as found:
        call()
    assert str(found.value) == message


@pytest.mark.parametrize(
    "measure",
    [
        codelab.class_information,
        codelab.bit_reuse,
        codelab.block_entropy,
        joint_information,
        lambda codes, seed: codelab.code_length(codes, "logistic", seed=seed),
        lambda codes, seed: smaller_code(codes, 2, seed=seed),
        lambda codes, seed: factors(codes, ["class", "tone"], seed=seed),
        lambda codes, seed: contrast_consistency(codes, np.ones((200, 3)), seed=seed),
        lambda codes, seed: codelab.channel(codes, codes, seed=seed),
        lambda codes, seed: attribute_information(codes, "tone", seed=seed),
    ],
)
def test_a_seed_below_zero_is_one_line(measure):
    with pytest.raises(UsageError, match=r"^seed -1: expected a whole number, 0 or more$"):
        measure(CODES, seed=-1)
