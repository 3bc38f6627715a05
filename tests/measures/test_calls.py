"""Calls that are wrong are refused in one line."""

import json

import numpy as np
import pytest

import codelab
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.measures.attribute_information import attribute_information
from codelab.measures.attribute_reuse import attribute_reuse
from codelab.measures.bit_reuse import bit_reuse
from codelab.measures.channel import channel
from codelab.measures.class_log_odds import class_log_odds
from codelab.measures.contrast_consistency import contrast_consistency
from codelab.measures.disentanglement import factors
from codelab.measures.joint_information import joint_information
from codelab.retrieval.sampled import sampled_retrieval
from codelab.retrieval.shorter import smaller_code
from codelab.statistics.counts import ClassCounts

LABELS = np.arange(200) % 4
CODES = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (200, 8)), LABELS, items={"tone": LABELS.astype(str)})
MORE = Codes.from_bits(
    *(CODES.to_bits(), LABELS),
    items={"tone": np.random.default_rng(1).integers(0, 2, 200).astype(str)},
    features=np.random.default_rng(2).normal(size=(200, 3)),
)


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
        (lambda: codelab.class_information(CODES, permutations=True), "permutations True: expected at least 1"),
        (lambda: codelab.bit_reuse(CODES, permutations=True), "permutations True: expected at least 1"),
        (lambda: joint_information(CODES, 2, permutations=2.5), "permutations 2.5: expected at least 1"),
        (lambda: joint_information(CODES, 2.5), "size 2.5: expected 1 to 8 for codes of 8 bits"),
        (lambda: factors(CODES, ["tone", "class"], permutations=2.5), "permutations 2.5: expected at least 1"),
        (lambda: factors(CODES, "tone"), "attributes='tone': expected a list of two or more item columns"),
        (
            lambda: contrast_consistency(CODES, np.ones((200, 3)), permutations=2.5),
            "permutations 2.5: expected at least 1",
        ),
    ],
)
def test_a_wrong_call_is_one_line(call, message):
    with pytest.raises(UsageError) as found:
        call()
    assert str(found.value) == message


PATH = "codes.parquet"
NOT_LOADED = {
    "bit_usage": lambda: codelab.bit_usage(PATH),
    "bit_dependence": lambda: codelab.bit_dependence(PATH),
    "bit_reuse": lambda: codelab.bit_reuse(PATH),
    "attribute_reuse": lambda: codelab.attribute_reuse(PATH, "tone"),
    "block_entropy": lambda: codelab.block_entropy(PATH),
    "class_information": lambda: codelab.class_information(PATH),
    "attribute_information": lambda: attribute_information(PATH, "tone"),
    "class_log_odds": lambda: class_log_odds(PATH),
    "code_length": lambda: codelab.code_length(PATH),
    "total_correlation": lambda: codelab.total_correlation(PATH),
    "collisions": lambda: codelab.collisions(PATH),
    "degrees_of_freedom": lambda: codelab.degrees_of_freedom(PATH),
    "pair_distances": lambda: codelab.pair_distances(PATH),
    "joint_information": lambda: joint_information(PATH, 2),
    "contrast_consistency": lambda: contrast_consistency(PATH, np.ones((200, 3))),
    "factors": lambda: factors(PATH, ["class", "tone"]),
    "channel": lambda: codelab.channel(PATH, CODES),
    "channel, second": lambda: codelab.channel(CODES, PATH),
    "view_channels": lambda: codelab.view_channels(PATH, {"blur": CODES}),
    "view_channels, a view": lambda: codelab.view_channels(CODES, {"blur": PATH}),
    "channel_of_views": lambda: codelab.channel_of_views([CODES, PATH]),
    "geometry": lambda: codelab.geometry(PATH),
    "project": lambda: codelab.project(PATH),
    "search": lambda: codelab.search(PATH, CODES, k=1),
    "search, queries": lambda: codelab.search(CODES, PATH, k=1),
    "retrieval_map": lambda: codelab.retrieval_map(CODES, PATH),
    "knn_accuracy": lambda: codelab.knn_accuracy(PATH),
    "bit_budget_curve": lambda: codelab.bit_budget_curve(PATH),
    "smaller_code": lambda: smaller_code(PATH, 2),
    "describe_bit": lambda: codelab.describe_bit(PATH, 0),
    "exemplars": lambda: codelab.exemplars(PATH, 0),
    "class_shares": lambda: codelab.class_shares(PATH, 0),
    "analyze": lambda: codelab.analyze(PATH),
    "analyze_parts": lambda: codelab.analyze_parts(PATH),
    "write_report": lambda: codelab.write_report(PATH, "report.html"),
}


@pytest.mark.parametrize("call", NOT_LOADED.values(), ids=NOT_LOADED)
def test_a_path_instead_of_codes_is_one_line_that_says_how_to_load_it(call):
    with pytest.raises(UsageError, match=r"expected Codes, found a path; load the file first: codelab.load\('codes"):
        call()


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
        codelab.analyze,
        codelab.collisions,
        codelab.pair_distances,
        lambda codes, seed: codelab.compare_codes(codes, codes, seed=seed),
        lambda codes, seed: codelab.exemplars(codes, 1, seed=seed),
        lambda codes, seed: codelab.binarize(codes.to_bits().astype(np.float32), 2, seed=seed),
    ],
)
def test_a_seed_that_is_no_whole_number_from_zero_is_one_line(measure):
    for seed in (-1, True, np.True_, 1.5):
        with pytest.raises(UsageError, match=rf"^seed {seed}: expected a whole number, 0 or more$"):
            measure(CODES, seed=seed)


@pytest.mark.parametrize("measure", [codelab.analyze, codelab.class_information, codelab.align_attributes])
def test_permutations_that_are_true_are_one_line(measure):
    with pytest.raises(UsageError, match=r"^permutations True: expected at least 1$"):
        measure(CODES, permutations=True)


@pytest.mark.parametrize(
    "measure",
    [
        lambda **how: codelab.bit_usage(CODES, **how),
        lambda **how: codelab.class_information(CODES, permutations=20, **how),
        lambda **how: codelab.class_information(ClassCounts.of(CODES), permutations=20, **how),
        lambda **how: attribute_reuse(MORE, "tone", permutations=20, **how),
        lambda **how: bit_reuse(MORE, permutations=20, **how),
        lambda **how: factors(MORE, ["tone", "class"], permutations=5, **how),
        lambda **how: channel(CODES, MORE, **how),
        lambda **how: smaller_code(CODES, 2, draws=5, **how),
        lambda **how: codelab.retrieval_map(CODES, bootstrap=5, **how),
        lambda **how: codelab.retrieval_map(CODES[:50], CODES[50:], bootstrap=5, **how),
        lambda **how: sampled_retrieval(CODES, queries=60, **how),
    ],
)
def test_the_groups_none_are_no_groups_in_every_measure(measure):
    assert json.dumps(measure(groups="none").to_dict()) == json.dumps(measure(groups=None).to_dict())
