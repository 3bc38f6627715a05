"""The paired difference of two codes: a planted one is found, one of chance is not, other images are refused."""

import dataclasses

import numpy as np
import pytest

from codelab import compare_retrieval, knn_accuracy, retrieval_map
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError


def two_codes(seed, n=150, flips=(0.25, 0.25)):
    """Two codes of one sample, equally good where their bits flip alike; what makes an item hard is in both."""
    centres = np.random.default_rng(99).random((8, 24)) < 0.5
    generator = np.random.default_rng(seed)
    labels, hard = generator.integers(0, 8, n), 0.2 * generator.random((n, 1))
    bits = [centres[labels] ^ (generator.random((n, 24)) < flip + hard) for flip in flips]
    return [Codes.from_bits(b, labels, classes=list("abcdefgh")) for b in bits]


@pytest.mark.parametrize(("measure", "options"), [("knn_accuracy", {"k": 5}), (retrieval_map, {}), ("ndcg", {"k": 9})])
def test_a_planted_difference_is_found(measure, options):
    good, poor = two_codes(0, flips=(0.1, 0.25))
    found = compare_retrieval(good, poor, measure=measure, **options)
    assert 0 < found.low < found.value < found.high
    assert found.p_value < 1e-3
    assert found.value == found.a - found.b
    turned = compare_retrieval(poor, good, measure=measure, **options)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    assert turned.p_value == pytest.approx(found.p_value)


def test_the_difference_is_that_of_the_two_measures():
    a, b = two_codes(0)
    found = compare_retrieval(a, b, measure="knn_accuracy", k=3, average="class", seed=2)
    one, two = (knn_accuracy(codes, k=3, average="class", seed=2) for codes in (a, b))
    assert (found.a, found.b) == (one.value, two.value)
    difference = one.deleted - two.deleted
    error = np.sqrt(15 / 16 * ((difference - difference.mean()) ** 2).sum())
    assert (found.high - found.low) / 2 == pytest.approx(2.131450 * error, rel=1e-6)


def test_codes_equally_good_differ_in_few_samples_only():
    p = np.array([compare_retrieval(*two_codes(seed, flips=(0.2, 0.2)), seed=seed).p_value for seed in range(120)])
    assert 0 < (p < 0.05).mean() < 0.12
    assert 0.3 < (p < 0.5).mean() < 0.7


def test_a_code_does_not_differ_from_itself():
    a, _ = two_codes(0)
    found = compare_retrieval(a, a)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_it_is_a_line_to_quote_and_a_row():
    a, b = two_codes(0, flips=(0.1, 0.25))
    found = compare_retrieval(a, b)
    assert found.headline().startswith("mAP@ALL difference 0.")
    assert "p < 0.001" in found.headline()
    row = found.to_frame().iloc[0]
    assert (row["value"], row["low"], row["p_value"]) == (found.value, found.low, found.p_value)
    assert found.source.sha256 == a.sha256
    assert found.other.sha256 == b.sha256
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.value = 0


def grouped(codes, names):
    return dataclasses.replace(codes, items=codes.items.append_column("group", [names]))


def named(codes, names):
    return dataclasses.replace(codes, items=codes.items.set_column(0, "id", [names]))


A, B = two_codes(0, n=20)
ABC = [chr(97 + i) for i in range(20)]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: compare_retrieval(named(A, ABC), named(B, ["b", "a", *ABC[2:]])),
            DataError,
            "compare_retrieval: b has the same images in another order: row 0 is 'a' in a and 'b' in b",
        ),
        (
            lambda: compare_retrieval(named(A, ABC), named(B, [*ABC[:19], "z"])),
            DataError,
            "compare_retrieval: b has other images: row 19 is 't' in a and 'z' in b",
        ),
        (
            lambda: compare_retrieval(A, B[:19]),
            DataError,
            "compare_retrieval: a has 20 images and b has 19, expected the same images",
        ),
        (
            lambda: compare_retrieval(A, dataclasses.replace(B, labels=B.labels[::-1])),
            DataError,
            "compare_retrieval: a and b have different labels, expected the same label for each image",
        ),
        (
            lambda: compare_retrieval(grouped(A, ABC), grouped(B, ABC[::-1]), groups="group"),
            DataError,
            "compare_retrieval: groups='group' differs between a and b, expected the same values",
        ),
        (lambda: compare_retrieval(A, B, measure="map"), UsageError, "measure='map': expected retrieval_map, knn_"),
        (lambda: compare_retrieval(A, B, bootstrap=9), UsageError, "bootstrap is not an option"),
        (lambda: compare_retrieval(A, "b"), UsageError, "b: expected Codes, found a path; load the file first"),
    ],
)
def test_calls_that_cannot_be_answered(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_groups_with_missing_values_are_the_same_where_they_are_equal():
    missing = [float("nan") if i % 5 == 0 else float(i // 2) for i in range(20)]
    found = compare_retrieval(grouped(A, missing), grouped(B, missing), groups="group")
    assert found.value == compare_retrieval(A, B, groups=missing).value
