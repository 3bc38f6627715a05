"""The oversampling curve against all orders of ties, FAISS, and codes whose curve is known."""

from itertools import permutations

import faiss
import numpy as np
import pytest

from codelab import Codes, DataError, UsageError, oversampling_curve, search
from codelab.retrieval.oversampling import _crossed


def around_a_circle(points, lines):
    """Points at equal angles, and bits that say on which side of lines through the centre they are."""
    angle = np.arange(points) * 2 * np.pi / points
    line = (np.arange(lines) + 0.5 * lines / points) * np.pi / lines
    features = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Codes.from_bits(np.cos(angle[:, None] - line) > 0, features=features)


def test_every_order_of_ties_has_the_mean_that_the_closed_form_gives():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(7, 3))
    codes = Codes.from_bits(features[:, :2] > 0, features=features)
    found = oversampling_curve(codes, k=2, factors=[1, 1.5, 2, 2.5], draws=0)
    unit, bits = features / np.linalg.norm(features, axis=1, keepdims=True), codes.to_bits()
    recall = np.zeros((7, 4))
    for q in range(7):
        others = [i for i in range(7) if i != q]
        true = sorted(others, key=lambda i: -float(unit[i] @ unit[q]))[:2]
        orders = list(permutations(others))
        for order in orders:
            ranked = sorted(order, key=lambda i: int((bits[i] ^ bits[q]).sum()))  # stable: ties stay in this order
            recall[q] += [len(set(ranked[:m]) & set(true)) / 2 / len(orders) for m in (2, 3, 4, 5)]
    assert np.allclose(found.recall, recall.mean(axis=0))


def test_codes_in_the_order_of_their_angles_need_no_oversampling():
    found = oversampling_curve(around_a_circle(64, 32), k=4, draws=0)
    assert found.recall[0] == 1
    assert found.needed.tolist() == [1, 1]


@pytest.mark.parametrize("arc", [2, 4, 8])
def test_arcs_that_share_a_code_have_the_curve_that_counting_gives(arc):
    """With k = 2, points inside an arc have both neighbours in it; the two at its ends have one in the next arc, which
    comes with the one on the other side: 2 arc codes at distance 1."""
    points = 16 * arc
    found = oversampling_curve(around_a_circle(points, points // arc // 2), k=2, targets=[1], draws=0)
    for factor, recall in zip(found.factors, found.recall, strict=True):
        own = min(2 * factor / (arc - 1), 1)
        other = min(max(2 * factor - (arc - 1), 0) / (2 * arc), 1)
        ends = (own + other) / 2
        assert recall == pytest.approx(((arc - 2) * own + 2 * ends) / arc)
    assert found.needed[0] == pytest.approx((arc - 1 + 2 * arc) / 2)


def test_recall_is_that_of_faiss_neighbours_and_needed_is_where_the_curve_crosses():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 16)).astype(np.float32)
    codes = Codes.from_bits(features @ rng.normal(size=(16, 64)) > 0, features=features)
    found = oversampling_curve(codes, k=5, queries=500, factors=[1, 3, 10], targets=[0.8], draws=0)
    faiss.normalize_L2(features)
    index = faiss.IndexFlatIP(16)
    index.add(features)
    true = [set(row) - {q} for q, row in enumerate(index.search(features, 6)[1])]
    ranked = search(codes, codes, k=500)
    for factor, recall in zip(found.factors, found.recall, strict=True):
        m, drawn = int(5 * factor), []
        for _ in range(20):  # ties in random order
            share = []
            for q in range(0, 500, 5):
                rows = np.array([i for i in ranked.indices[q] if i != q])
                far = np.delete(ranked.distances[q], np.flatnonzero(ranked.indices[q] == q))
                order = np.lexsort((rng.random(len(rows)), far))[:m]
                share.append(len(set(rows[order]) & true[q]) / 5)
            drawn.append(np.mean(share))
        assert abs(np.mean(drawn) - recall) < 0.06
    at = oversampling_curve(codes, k=5, queries=500, factors=[found.needed[0] - 0.2, found.needed[0]], draws=0)
    assert at.recall[0] < 0.8 <= at.recall[1] + 1e-9
    assert found.needed_low[0] <= found.needed[0] <= found.needed_high[0]


def test_near_copies_are_not_ranked_and_widen_the_interval():
    rng = np.random.default_rng(0)
    things = np.repeat(np.arange(150), 6)
    features = rng.normal(size=(150, 8))[things] + 0.01 * rng.normal(size=(900, 8))
    codes = Codes.from_bits(features @ rng.normal(size=(8, 24)) > 0, features=features, items={"thing": things})
    alone, grouped = (oversampling_curve(codes, k=5, groups=g, draws=0) for g in (None, "thing"))
    assert alone.recall[0] > 0.8 > grouped.recall[0]  # its own copies are easy to find
    once = oversampling_curve(codes, k=5, groups="thing", draws=0, factors=[4])
    apart = oversampling_curve(codes, k=5, groups="thing", draws=0, factors=[4], seed=1)
    assert grouped.groups == 150
    naive = 1.96 * 2 * np.sqrt(once.recall[0] * (1 - once.recall[0]) / 900)
    assert once.high[0] - once.low[0] > 1.1 * naive / np.sqrt(5)
    assert abs(once.recall[0] - apart.recall[0]) < 1e-9  # all codes are queries: the seed changes the interval alone


def test_intervals_hold_the_truth():
    """The truth: the recall of all 1,500 codes. Samples of 100 queries miss it in about 5 %."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1500, 6))
    codes = Codes.from_bits(features @ rng.normal(size=(6, 16)) > 0, features=features)
    options = {"k": 5, "factors": [4], "targets": [0.8], "draws": 0}
    truth = oversampling_curve(codes, queries=1500, **options)
    missed = needed = 0
    for seed in range(60):
        found = oversampling_curve(codes, queries=100, seed=seed, **options)
        missed += not found.low[0] <= truth.recall[0] <= found.high[0]
        needed += not found.needed_low[0] <= truth.needed[0] <= found.needed_high[0]
    assert missed <= 8
    assert needed <= 8


def test_random_directions_stand_beside_and_equal_codes_that_are_random_directions():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 12))
    codes = Codes.from_bits(features @ rng.normal(size=(12, 48)) > 0, features=features)
    found = oversampling_curve(codes, k=5)
    assert found.random.shape == (5, len(found.factors))
    assert np.abs(found.random.mean(axis=0) - found.recall).max() < 0.08
    noise = oversampling_curve(Codes.from_bits(rng.random((600, 48)) < 0.5, features=features), k=5)
    assert noise.recall[0] < 0.05 < noise.random[:, 0].min()
    assert list(found.to_frame().columns)[:4] == ["oversampling", "recall", "low", "high"]
    assert len(found.plot().data) == 6


def test_a_curve_is_interpolated_between_numbers():
    assert _crossed(np.array([10, 20, 40]), np.array([0.5, 0.9, 1.0]), 0.95) == pytest.approx(30)
    assert _crossed(np.array([10, 20]), np.array([0.5, 0.9]), 0.95) == 20
    assert _crossed(np.array([10, 20]), np.array([0.96, 1.0]), 0.95) == 10


def test_one_line_for_bad_input():
    codes = around_a_circle(16, 8)
    for error, words, options in (
        (DataError, "a query has 15 codes to rank, expected k=20 or more", {"k": 20}),
        (DataError, "needs their logits", {"by": "logits", "k": 2}),
        (UsageError, "by='pixels'", {"by": "pixels"}),
        (UsageError, "targets: found 1.5, expected recalls", {"k": 2, "targets": [1.5]}),
        (UsageError, "targets='a': expected a number", {"k": 2, "targets": ["a"]}),
        (UsageError, "targets=0.9: expected a list of numbers", {"k": 2, "targets": 0.9}),
        (UsageError, "factors=2: expected a list of numbers", {"k": 2, "factors": 2}),
        (UsageError, "oversample=0.2: expected 1 or more", {"k": 2, "factors": [0.2]}),
        (UsageError, "these codes have no attributes", {"k": 2, "groups": "thing"}),
    ):
        with pytest.raises(error, match=words):
            oversampling_curve(codes, **options)
