"""Code lengths, total correlation and collisions on known truth."""

import numpy as np
import pytest

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.kernels.counting import distinct_codes
from codelab.measures.code_length import chow_liu_tree, code_length, total_correlation
from codelab.measures.collisions import collisions
from codelab.statistics.counts import PairCounts, total
from codelab.statistics.estimators import pair_information
from tests.support import synthetic


@pytest.mark.parametrize(
    ("codes", "truth"),
    [
        (synthetic.fair_bits(4000, 64), 64),
        (synthetic.copied_bits(4000, 16, 4), 16),
        (synthetic.complements(4000, 16), 16),
        (synthetic.biased_bits(4000, np.full(32, 0.1)), 32 * 0.469),
        (synthetic.xor_triples(4000, 8), 24),  # no pair tells of the third bit: 16 is out of reach of both models
    ],
)
@pytest.mark.parametrize("model", ["chow-liu", "logistic"])
def test_lengths_of_known_codes(codes, truth, model):
    length = code_length(codes, model)
    assert length.value == pytest.approx(truth, rel=0.02)
    assert length.per_bit.sum() == pytest.approx(length.value, rel=1e-3)
    assert length.low <= length.value <= length.high or model == "logistic"
    assert np.isnan(length.low) == (model == "logistic")


def test_prototype_codes_are_worth_far_less_than_their_bits():
    codes = synthetic.prototypes(3000, bits=48)
    tree, logistic = code_length(codes), code_length(codes, "logistic")
    truth = np.log2(10) + 48 * 0.61  # the class, and a 15 % flip a bit: at most this
    assert truth < logistic.value < tree.value < tree.independent < 48
    assert logistic.value < 1.3 * truth


def test_held_out_length_is_above_the_entropy_of_a_markov_chain():
    generator = np.random.default_rng(0)
    bits = np.zeros((6000, 20), dtype=int)
    bits[:, 0] = generator.integers(0, 2, 6000)
    for b in range(1, 20):
        bits[:, b] = bits[:, b - 1] ^ (generator.random(6000) < 0.1)
    length = code_length(Codes.from_bits(bits[:, ::-1]))
    assert length.value == pytest.approx(1 + 19 * 0.469, abs=0.15)
    assert sorted(length.parent.tolist()) == [-1, *range(19)]


def test_the_tree_holds_most_information_of_all_trees():
    from itertools import product

    codes = synthetic.prototypes(300, bits=5, classes=3)
    pairs = PairCounts.of(codes).pairs
    shared = pair_information(pairs, 300)
    parent = chow_liu_tree(pairs, 300)
    found = sum(shared[b, p] for b, p in enumerate(parent) if p >= 0)
    best = 0.0
    for parents in product(range(5), repeat=4):  # parents of bits 1 to 4; those that all reach bit 0 are the trees
        reach = {0}
        for _ in range(4):
            reach |= {b for b in range(1, 5) if parents[b - 1] in reach}
        if len(reach) == 5:
            best = max(best, sum(shared[b, parents[b - 1]] for b in range(1, 5)))
    assert found == pytest.approx(best)


def test_length_of_summed_counts():
    codes = synthetic.prototypes(1000, bits=16)
    parts = [PairCounts.of(codes[:300]), PairCounts.of(codes[300:], 300)]
    assert code_length(total(parts)).value == code_length(codes).value


def test_total_correlation_brackets_the_truth():
    found = total_correlation(synthetic.copied_bits(4000, 6, 4))
    assert found.low <= 18.1
    assert found.high >= 17.9
    assert found.high - found.low < 0.3
    independent = total_correlation(synthetic.fair_bits(4000, 32))
    assert independent.low < 0.1
    assert independent.high == pytest.approx(32 - np.log2(4000), abs=0.1)


def test_lengths_refuse():
    with pytest.raises(DataError, match="found 63 codes, expected at least 64"):
        code_length(synthetic.fair_bits(63, 4))
    with pytest.raises(UsageError, match="'zip': expected one of chow-liu, logistic"):
        code_length(synthetic.fair_bits(100, 4), "zip")
    with pytest.raises(UsageError, match="needs the codes themselves"):
        code_length(PairCounts.of(synthetic.fair_bits(100, 4)), "logistic")
    dead = code_length(Codes.from_bits(np.zeros((200, 3))))
    assert dead.value == pytest.approx(0, abs=0.1)


def test_collisions_are_what_a_loop_finds():
    codes = synthetic.fair_bits(200, 6, classes=3)
    bits, labels = codes.to_bits(), codes.labels
    same = [(i, j) for i in range(200) for j in range(i) if (bits[i] == bits[j]).all()]
    found = collisions(codes, radius=1)
    assert found.pairs == len(same)
    assert found.pairs_within == sum(labels[i] == labels[j] for i, j in same)
    assert found.pairs_across == sum(labels[i] != labels[j] for i, j in same)
    assert found.distinct == len({tuple(row) for row in bits.tolist()})
    assert found.repeated == len({i for pair in same for i in pair})
    assert found.expected_pairs == pytest.approx(200 * 199 / 2 / 64, rel=0.1)
    nearest = [min((bits[i] != bits[j]).sum() for j in range(200) if j != i) for i in range(200)]
    assert found.nearest.tolist() == np.bincount(nearest, minlength=7).tolist()
    assert found.near_duplicates == np.mean(np.array(nearest) <= 1)


def test_collisions_of_wide_multilabel_and_tiny_sets():
    codes = synthetic.prototypes(300, bits=200, flip=0.0)
    found = collisions(codes)
    assert (found.distinct, found.pairs_across, found.radius) == (10, 0, 4)
    labels = np.eye(2, dtype=bool)[[0, 1, 0]]
    assert collisions(Codes.from_bits(np.ones((3, 9)), labels)).pairs_within == 1
    assert collisions(Codes.from_bits(np.ones((3, 9)))).pairs_within is None
    with pytest.raises(DataError, match="found 1 codes, expected at least 2"):
        collisions(Codes.from_bits(np.ones((1, 9))))
    with pytest.raises(UsageError, match="radius 10: expected 0 to 9"):
        collisions(Codes.from_bits(np.ones((3, 9))), radius=10)


def test_distinct_codes_of_any_width():
    generator = np.random.default_rng(0)
    for width in (1, 8, 9, 33):
        packed = generator.integers(0, 2, (500, width), dtype=np.uint8)
        number, times = distinct_codes(packed)
        _, expected, counts = np.unique(packed, axis=0, return_inverse=True, return_counts=True)
        assert sorted(times.tolist()) == sorted(counts.tolist())
        pairs = {(a, b) for a, b in zip(number.tolist(), expected.reshape(-1).tolist(), strict=True)}
        assert len(pairs) == len(times)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_total_correlation_bounds_are_in_order(share):
    for seed in range(5):
        for n in (64, 200, 1000):
            rare = np.random.default_rng(seed).random((n, 1)) < share
            found = total_correlation(Codes.from_bits(np.repeat(rare, 64, axis=1)))
            assert 0 <= found.low <= found.high


@pytest.mark.parametrize(("n", "p"), [(64, 0.5), (300, 0.5), (300, 0.05)])
def test_the_interval_of_a_length_holds_its_mean_over_samples(n, p):
    found = [code_length(synthetic.biased_bits(n, np.full(16, p), seed=seed)) for seed in range(80)]
    mean = np.mean([length.value for length in found])
    assert 0.9 <= np.mean([length.low <= mean <= length.high for length in found]) <= 0.99


@pytest.mark.parametrize("model", ["chow-liu", "logistic"])
def test_near_copies_are_in_one_half(model):
    """Copies in both halves are learned by heart: the length falls below what new objects cost."""
    codes = synthetic.near_copies(80, 8, np.full(8, 0.5), renewed=0.0)
    other = synthetic.near_copies(4000, 1, np.full(8, 0.5), seed=1)
    grouped, plain = code_length(codes, model, groups="object"), code_length(codes, model)
    assert code_length(other, model).value == pytest.approx(8, abs=0.05)
    assert grouped.value > 8
    assert grouped.groups == 80
    assert plain.value < grouped.value - 0.1
    with pytest.raises(DataError, match="found 63 groups of images, expected at least 64"):
        code_length(codes[: 63 * 8], model, groups="object")


def test_total_correlation_by_groups():
    codes = synthetic.near_copies(100, 5, np.full(8, 0.5))
    plain, grouped = total_correlation(codes), total_correlation(codes, groups="object")
    assert grouped.low < plain.low
    assert grouped.groups == 100
    with pytest.raises(UsageError, match="groups need the codes themselves"):
        total_correlation(codes, pairs=PairCounts.of(codes), groups="object")
