"""Formulas: planted ones are found, scores are those of the query itself, selections without meaning give none."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score, precision_score, recall_score

from codelab import Codes, DataError, UsageError, describe
from codelab.semantics.formulas import Formula, Literal, _grown, _joined
from codelab.semantics.targets import targets
from codelab.statistics.splits import held_out_part


def coins(n=600, bits=10, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (n, bits)).astype(bool)


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("4", lambda b: b[:, 4]),
        ("2 & ~5", lambda b: b[:, 2] & ~b[:, 5]),
        ("9 | (3 & 7)", lambda b: b[:, 3] & b[:, 7] | b[:, 9]),
        ("1 & ~2 & 3", lambda b: b[:, 1] & ~b[:, 2] & b[:, 3]),
        ("(0 & 1) | (2 & 3)", lambda b: b[:, 0] & b[:, 1] | b[:, 2] & b[:, 3]),
    ],
)
def test_a_planted_formula_is_found(text, make):
    bits = coins()
    codes = Codes.from_bits(bits)
    found = describe(codes, make(bits))
    assert found.iou == 1
    assert np.array_equal(np.array(codes.where(found.formula).tolist(), bool), make(bits))
    assert len(found.formula) == len(text)
    assert found.p_value < 0.05


def test_scores_are_those_of_the_query_on_the_half_that_did_not_choose():
    bits = coins(seed=1)
    rng = np.random.default_rng(1)
    chosen = (bits[:, 0] & bits[:, 1]) ^ (rng.random(600) < 0.1)
    codes = Codes.from_bits(bits)
    found = describe(codes, chosen, seed=5)
    answers = np.array(codes.where(found.formula).tolist(), bool)
    first, second = held_out_part(chosen.astype(int), share=0.5, seed=5)
    assert found.iou == pytest.approx(jaccard_score(chosen[second], answers[second]))
    assert found.precision == pytest.approx(precision_score(chosen[second], answers[second]))
    assert found.recall == pytest.approx(recall_score(chosen[second], answers[second]))
    assert found.iou_chosen == pytest.approx(jaccard_score(chosen[first], answers[first]))
    assert found.n_scored == len(second)


def heads():
    literal = st.builds(Literal, st.integers(0, 3), st.booleans())
    term = st.lists(literal, min_size=1, max_size=2).map(tuple)
    return st.lists(term, max_size=2).map(tuple).map(Formula)


@given(heads(), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_every_candidate_is_scored_as_the_query_itself(head, seed):
    bits, rng = coins(70, 4, seed), np.random.default_rng(seed)
    chosen = rng.random(70) < 0.3
    codes = Codes.from_bits(bits)
    for place, iou in enumerate(_grown(codes, chosen, head)):
        if np.isfinite(iou):
            answers = _joined(head, place, 4).of(codes)
            either = (answers | chosen).sum()
            assert iou == pytest.approx((answers & chosen).sum() / max(either, 1))


def test_with_a_wide_beam_it_is_the_best_of_all_pairs():
    bits, rng = coins(300, 6, 2), np.random.default_rng(2)
    chosen = rng.random(300) < 0.4
    found = describe(Codes.from_bits(bits), chosen, literals=2, beam=100)
    first, _ = held_out_part(chosen.astype(int), share=0.5)
    literals = [*bits.T, *~bits.T]
    best = max(
        jaccard_score(chosen[first], join(a, b)[first])
        for a, b in itertools.combinations(literals, 2)
        for join in (np.logical_and, np.logical_or)
    )
    assert max(iou for _, iou, _ in found.by_length) == pytest.approx(best)


def test_selections_without_meaning_are_not_described():
    """Five in a hundred reach p < 0.05, with near copies in groups of uneven size."""
    p_values = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        things = np.repeat(np.arange(40), rng.integers(1, 7, 40))
        codes = Codes.from_bits(coins(40, 6, seed)[things])
        chosen = (rng.random(40) < 0.4)[things]
        p_values.append(describe(codes, chosen, literals=2, groups=things, permutations=19, seed=seed).p_value)
    assert np.mean(np.array(p_values) <= 0.05) < 0.2


def test_what_can_be_selected():
    bits = coins(100)
    codes = Codes.from_bits(bits, items={"tone": np.where(bits[:, 3], "dark", "light")})
    wanted = describe(codes, bits[:, 3]).formula
    for selection in (np.flatnonzero(bits[:, 3]), codes.where("3"), "tone = dark"):
        assert describe(codes, selection).formula == wanted == "3"


def test_what_cannot_is_one_line():
    codes = Codes.from_bits(coins(50), items={"tone": ["a", "b"] * 25})
    with pytest.raises(DataError, match="the selection is empty"):
        describe(codes, np.zeros(50, bool))
    with pytest.raises(DataError, match="the selection is everything"):
        describe(codes, np.arange(50))
    with pytest.raises(UsageError, match=r"expected bool \[50\] or row numbers"):
        describe(codes, np.zeros(49, bool))
    with pytest.raises(UsageError, match="not one of 0 to 49"):
        describe(codes, [3, 50])
    with pytest.raises(UsageError, match="tone has no value 'c'"):
        describe(codes, "tone = c")


def test_a_number_is_asked_by_the_quartile_that_alignment_names():
    draw = np.random.default_rng(0)
    size = draw.normal(size=300)
    codes = Codes.from_bits(np.column_stack([size > np.median(size), draw.integers(0, 2, 300)]), items={"size": size})
    name = f"size above {np.median(size):.3g}"
    assert name in targets(codes).names
    assert describe(codes, name).formula == "0"
    with pytest.raises(UsageError, match="no number column 'width' with such a quartile"):
        describe(codes, "width above 3")
