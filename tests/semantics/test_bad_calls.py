"""Calls that cannot work end in one line that names the argument."""

import warnings

import numpy as np
import pytest

from codelab import (
    CodelabError,
    Codes,
    align_attributes,
    attribute_pairs,
    class_signatures,
    compare_codes,
    decodable_bits,
    describe,
    exemplars,
    minimal_pairs,
    monosemanticity,
    name_bits,
    probe_curve,
    score_name,
)

LABELS = np.arange(60) % 3
BITS = np.random.default_rng(0).integers(0, 2, (60, 4))
CODES = Codes.from_bits(BITS, LABELS, items={"tone": list("ab") * 30, "name": [f"n{i}" for i in range(60)]})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: align_attributes(CODES, "tone"), "attributes='tone': expected a list of columns"),
        (lambda: align_attributes(CODES, 3), "attributes=3: expected a list of columns"),
        (lambda: attribute_pairs(CODES, "tone", equal="class"), "equal='class': expected a list of columns"),
        (lambda: probe_curve(CODES, None), "target=None: expected the name of a column"),
        (lambda: probe_curve(CODES, k=3), "k=3: expected a list of numbers of bits"),
        (lambda: probe_curve(CODES, k=[[3]]), "k=\\[3\\]: expected a whole number"),
        (lambda: probe_curve(CODES, k=[2, 9]), "k=9: the code has 4 bits"),
        (lambda: class_signatures(CODES, seed=-1), "seed -1: expected a whole number"),
        (lambda: name_bits(CODES, propose=3), "propose: expected a function"),
        (lambda: name_bits(CODES, propose=lambda codes: None), "propose: expected a function"),
        (lambda: monosemanticity(CODES, np.full((60, 3), 1e300)), "a finite length above 0"),
        (lambda: compare_codes(CODES[:0], CODES[:0]), "compare: found 0 codes, expected at least 2"),
        (lambda: compare_codes(CODES[:1], CODES[:1]), "compare: found 1 codes, expected at least 2"),
        (lambda: decodable_bits(CODES, CODES[::-1]), "after has the same images in another order: .*'0' in before"),
        (lambda: decodable_bits(CODES, "x.parquet"), "after: expected Codes, found a path"),
        (lambda: probe_curve(CODES, "name"), "probe_curve: name has 60 values in 60 images"),
        (lambda: describe(CODES[:2], [0]), "^describe: none of 2 classes has 2 images"),
        (lambda: describe(CODES, []), "describe: the selection is empty"),
        (lambda: describe(CODES, BITS[:, 0]), "selection: a row number is there twice"),
        (lambda: class_signatures(CODES[:3]), "^class_signatures: none of 3 classes has 2 images"),
        (lambda: minimal_pairs(CODES.select_bits([0]), 0), "minimal_pairs: the code has one bit"),
        (lambda: minimal_pairs(CODES[:0], 0), "minimal_pairs: found 0 codes, expected at least 2"),
        (lambda: exemplars(CODES, 0, count=1.5), "count=1.5: expected a whole number"),
        (lambda: exemplars(CODES, 0, classes=-1), "classes=-1: expected 0 or more"),
        (lambda: score_name(CODES, 0, 5), "name 5: no class, attribute value or statistic"),
        (lambda: name_bits(CODES, propose=lambda codes: {"x": ["a"] * 60}), "propose: 'x' has values of <U1"),
        (lambda: name_bits(CODES, propose=lambda codes: {"x": [None] * 60}), "propose: 'x' has values of object"),
        (lambda: name_bits(CODES, propose=lambda codes: {"x": [np.nan] * 60}), "expected bool or finite numbers"),
    ],
)
def test_one_line(call, words):
    with pytest.raises(CodelabError, match=words) as found:
        call()
    assert "\n" not in str(found.value)


def test_constant_bits_have_no_monosemanticity_and_no_warning():
    constant = Codes.from_bits(np.zeros((60, 4), bool), LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "mean –" in str(
            monosemanticity(constant, np.random.default_rng(0).normal(size=(60, 3)), permutations=5)
        )
