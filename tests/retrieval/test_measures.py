"""Measures of retrieval against their definitions over every order of ties, and against scikit-learn."""

import contextlib
import dataclasses
import hashlib
import json
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score
from sklearn.neighbors import KNeighborsClassifier

from codelab import bit_budget_curve
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.neighbours import hamming as scans
from codelab.neighbours import weighted
from codelab.retrieval import ranking, shorter
from codelab.retrieval.criteria import agreement
from codelab.retrieval.measures import (
    knn_accuracy,
    ndcg,
    precision_at_k,
    precision_recall_curve,
    precision_within_radius,
    recall_at_k,
    retrieval_map,
)
from codelab.retrieval.options import Options
from tests.support.rank_oracles import AWAY, hamming, noisy_codes, orders, relevance, tied_average_precision

QUICK = settings(max_examples=60, deadline=None)
TIES = ("expected", "optimistic", "pessimistic")


@st.composite
def small_sets(draw, *, multilabel=None):
    """Few items of few bits, so that ties are everywhere and all their orders can be listed."""
    n, q, width = draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits = generator.random((n + q, width)) < draw(st.sampled_from([0.0, 0.3]))
    if draw(st.booleans()) if multilabel is None else multilabel:
        labels = generator.random((n + q, 3)) < 0.4
    else:
        labels = generator.integers(-1, 2, n + q)
    codes = Codes.from_bits(bits, labels, classes=["a", "b", "c"])
    return codes[:n], codes[n:]


def by_definition(database: Codes, queries: Codes, value) -> list[Fraction | None]:
    """`value(distances, grades)` of each query that has a relevant item."""
    distances, grades = hamming(queries.to_bits(), database.to_bits()), relevance(queries, database)
    return [value(d, g) if g.any() else None for d, g in zip(distances, grades, strict=True)]


def agree(result, expected: list[Fraction | None]) -> None:
    kept = [float(value) for value in expected if value is not None]
    assert result.skipped == len(expected) - len(kept)
    assert np.isnan(result.per_query).tolist() == [value is None for value in expected]
    assert result.per_query[~np.isnan(result.per_query)] == pytest.approx(kept, abs=1e-12)
    assert result.value == pytest.approx(np.mean(kept), abs=1e-12)


def possible(database: Codes, queries: Codes) -> None:
    assume(database.labelled and queries.labelled and relevance(queries, database).any())


@given(small_sets(), st.sampled_from(TIES), st.sampled_from(["relevant", "min_k", "found"]), st.data())
@settings(max_examples=150, deadline=None)
def test_average_precision_over_every_order_of_ties(sets, ties, normalise, data):
    database, queries = sets
    possible(database, queries)
    k = data.draw(st.one_of(st.none(), st.integers(1, len(database))))
    result = retrieval_map(queries, database, k=k, ties=ties, normalise=normalise, bootstrap=1)

    def value(distances, grades):
        return tied_average_precision(distances, grades > 0, k or len(database), ties, normalise)

    agree(result, by_definition(database, queries, value))


@given(small_sets(), st.sampled_from(TIES), st.data())
@QUICK
def test_precision_and_recall_over_every_order_of_ties(sets, ties, data):
    database, queries = sets
    possible(database, queries)
    k = data.draw(st.integers(1, len(database)))

    def hits(distances, grades):
        counts = [sum(order[:k]) for order in orders(distances, (grades > 0).astype(int))]
        if ties == "expected":
            return Fraction(sum(counts), len(counts))
        return Fraction(max(counts) if ties == "optimistic" else min(counts))

    agree(
        precision_at_k(queries, database, k=k, ties=ties, bootstrap=1),
        by_definition(database, queries, lambda d, g: hits(d, g) / k),
    )
    agree(
        recall_at_k(queries, database, k=k, ties=ties, bootstrap=1),
        by_definition(database, queries, lambda d, g: hits(d, g) / int((g > 0).sum())),
    )


@given(small_sets(), st.sampled_from(TIES), st.sampled_from(["linear", "exponential"]), st.data())
@QUICK
def test_discounted_gain_over_every_order_of_ties(sets, ties, gain, data):
    database, queries = sets
    possible(database, queries)
    k = data.draw(st.one_of(st.none(), st.integers(1, len(database))))

    def value(distances, grades):
        worth = np.asarray(grades) if gain == "linear" else 2**grades - 1
        places = 1 / np.log2(np.arange(2, len(worth) + 2))
        places[k or len(worth) :] = 0
        found = [float(places @ np.array(order)) for order in orders(distances, worth)]
        best = float(places @ np.sort(worth)[::-1])
        return {"expected": np.mean(found), "optimistic": max(found), "pessimistic": min(found)}[ties] / best

    agree(ndcg(queries, database, k=k, ties=ties, gain=gain, bootstrap=1), by_definition(database, queries, value))


@given(small_sets(), st.integers(0, 5))
@QUICK
def test_precision_within_a_radius_and_the_curve(sets, radius):
    database, queries = sets
    possible(database, queries)

    def value(distances, grades):
        near = distances <= radius
        return Fraction(int((grades[near] > 0).sum()), int(near.sum())) if near.any() else Fraction(0)

    agree(
        precision_within_radius(queries, database, radius=radius, bootstrap=1),
        by_definition(database, queries, value),
    )
    curve = precision_recall_curve(queries, database).to_frame().set_index("radius")
    distances, relevant = hamming(queries.to_bits(), database.to_bits()), relevance(queries, database) > 0
    counted = relevant.any(axis=1)
    for r in range(database.bits + 1):
        near = distances[counted] <= r
        finds = near.any(axis=1)
        if not finds.any():
            assert r not in curve.index
            continue
        precision = [row[hit].mean() for row, hit in zip(relevant[counted][finds], near[finds], strict=True)]
        recall = (relevant[counted] & near).sum(axis=1) / relevant[counted].sum(axis=1)
        assert curve.loc[r].tolist() == pytest.approx([np.mean(precision), recall.mean(), finds.sum()])


@given(small_sets(multilabel=False), st.booleans(), st.data())
@QUICK
def test_votes_of_neighbours_are_their_mean_over_every_order_of_ties(sets, weighted, data):
    database, queries = sets
    possible(database, queries)
    named = database.labels >= 0
    assume(named.any())
    k = data.draw(st.integers(1, len(database)))
    result = knn_accuracy(queries, database, k=k, weighted=weighted, temperature=0.5, bootstrap=1)
    distances = hamming(queries.to_bits(), database.to_bits())[:, named]
    for row, mine, value in zip(distances, queries.labels, result.per_query, strict=True):
        if mine < 0:
            assert np.isnan(value)
            continue
        # the expected votes: the mean over all orders of the labels of the first k
        rankings = list(orders(row, database.labels[named] * 10 + row))
        weight = np.exp(-2 * np.arange(10) / (database.bits * 0.5)) if weighted else np.ones(10)
        votes = np.zeros(3)
        for ranking_ in rankings:
            for item in ranking_[:k]:
                votes[item // 10] += weight[item % 10] / len(rankings)
        best = np.isclose(votes, votes.max(), rtol=1e-9)
        assert value == pytest.approx(best[mine] / best.sum())


def test_tied_neighbours_share_the_places():
    """Votes are averaged over orders of ties before the argmax, not after it."""
    database = Codes.from_bits([[0, 0]] * 3, [0, 0, 1])
    query = Codes.from_bits([[0, 0]], [0], classes=["0", "1"])
    result = knn_accuracy(query, database, k=1)
    assert (result.value, result.ties) == (1.0, "shared")
    assert "; ties shared; " in str(result)
    assert "tied neighbours share the places" in str(result)
    answers = [order[0] for order in orders(np.zeros(3), np.array([1, 1, 0]))]
    assert precision_at_k(query, database, k=1).value == pytest.approx(np.mean(answers))
    assert np.mean(answers) == pytest.approx(2 / 3)


@pytest.mark.parametrize("by", ["codes", "features"])
def test_a_small_temperature_leaves_the_vote_to_the_nearest(by):
    codes = features_of(noisy_codes(200, 256, 4, flip=0.4))
    for temperature in (1e-4, 1e-12, 1e-290):
        result = knn_accuracy(codes, k=9, weighted=True, temperature=temperature, by=by)
        assert result.skipped == 0
        if by == "features":
            assert np.array_equal(result.per_query, knn_accuracy(codes, k=1, by=by).per_query)
    half = dataclasses.replace(codes, labels=np.where(np.arange(200) < 10, -1, codes.labels))
    assert "10 queries without a label and a neighbour not counted" in str(knn_accuracy(half, k=3, by=by))
    with pytest.raises(DataError, match="3-NN accuracy: none of the 1 queries has a label and a neighbour in the"):
        knn_accuracy(codes[:1], codes[:3], k=3, groups=(["a"], ["a"] * 3), by=by)


@pytest.mark.parametrize("by", ["codes", "features"])
def test_a_class_only_queries_have_gets_no_vote(by):
    codes = features_of(noisy_codes(40, 16, 3))
    database = dataclasses.replace(codes[:30], classes=("0", "1", "2"))
    queries = dataclasses.replace(codes[30:], labels=np.arange(10) % 5, classes=("0", "1", "2", "3", "4"))
    result = knn_accuracy(queries, database, k=3, by=by)
    assert not result.per_query[np.arange(10) % 5 > 2].any()
    assert result.per_class[3:].tolist() == [0, 0]
    known = np.arange(10) % 5 < 3
    expected = knn_accuracy(dataclasses.replace(queries[known], classes=database.classes), database, k=3, by=by)
    assert np.array_equal(result.per_query[known], expected.per_query)
    if by == "codes":
        assert len(bit_budget_curve(queries, database, budgets=(4,), draws=1).order) == 16
    assert retrieval_map(queries, database, by=by, average="class").skipped == 4


def test_a_better_order_may_score_less_where_only_what_is_found_divides():
    query = Codes.from_bits([[0, 0]], [0], classes=["0", "1"])
    database = Codes.from_bits([[0, 0], [0, 0], [0, 1], [1, 1], [1, 1]], [0, 0, 1, 1, 0])
    best, worst = (
        retrieval_map(query, database, k=4, ties=ties, normalise="found").value
        for ties in ("optimistic", "pessimistic")
    )
    assert (best, worst) == (pytest.approx((1 + 1 + 3 / 4) / 3), 1)


def features_of(codes: Codes, seed: int = 0) -> Codes:
    noise = np.random.default_rng(seed).normal(size=(len(codes), codes.bits))
    return dataclasses.replace(codes, features=codes.to_bits() * 2.0 - 1 + noise)


def test_features_against_scikit_learn():
    codes = features_of(noisy_codes(400, 24, 5, flip=0.35, seed=3))
    database, queries = codes[:320], codes[320:]
    unit = [part.features / np.linalg.norm(part.features, axis=1, keepdims=True) for part in (queries, database)]
    cosine = unit[0].astype(np.float64) @ unit[1].astype(np.float64).T
    relevant = relevance(queries, database)
    expected = [average_precision_score(r, s) for r, s in zip(relevant, cosine, strict=True)]
    result = retrieval_map(queries, database, by="features")
    assert result.per_query == pytest.approx(expected, abs=1e-9)
    assert result.bits is None
    for by_distance in (False, True):
        weights = (lambda d: np.exp(-d / 0.07)) if by_distance else "uniform"
        peer = KNeighborsClassifier(15, metric="cosine", algorithm="brute", weights=weights)
        votes = peer.fit(database.features, database.labels).predict_proba(queries.features)
        mine = votes[np.arange(len(votes)), queries.labels]
        best = np.isclose(votes, votes.max(axis=1, keepdims=True), rtol=1e-6)
        share = np.where(np.isclose(mine, votes.max(axis=1), rtol=1e-6), 1 / best.sum(axis=1), 0)
        result = knn_accuracy(queries, database, k=15, by="features", weighted=by_distance)
        assert result.per_query == pytest.approx(share)


def test_discounted_gain_against_scikit_learn():
    generator = np.random.default_rng(5)
    codes = Codes.from_bits(generator.random((120, 6)) < 0.5, generator.random((120, 8)) < 0.3)
    database, queries = codes[:90], codes[90:]
    grades, scores = relevance(queries, database), -hamming(queries.to_bits(), database.to_bits())
    some = grades.any(axis=1)  # scikit-learn scores a query without a relevant item 0
    for k in (None, 10):
        expected = ndcg_score(grades[some], scores[some], k=k)  # averages over ties as well
        assert ndcg(queries, database, k=k, gain="linear").value == pytest.approx(expected, abs=1e-12)


def test_large_sets_against_scikit_learn_in_the_two_extreme_orders():
    codes = noisy_codes(4000, 128, 40, seed=2)
    database, queries = codes[:3900], codes[3900:]
    distances, relevant = hamming(queries.to_bits(), database.to_bits()), relevance(queries, database)
    for ties, sign in (("optimistic", 1), ("pessimistic", -1)):
        scores = sign * relevant * 5000 - distances * 10_000 - np.arange(3900)  # no two are equal
        expected = [average_precision_score(r, s) for r, s in zip(relevant, scores, strict=True)]
        assert retrieval_map(queries, database, ties=ties).per_query == pytest.approx(expected, abs=1e-12)
    values = [retrieval_map(queries, database, ties=ties).value for ties in ("pessimistic", "expected", "optimistic")]
    assert values == sorted(values)


def test_expected_lies_in_the_middle_of_random_orders():
    codes = noisy_codes(300, 5, 4, seed=7)  # 32 codes for 300 items: almost everything ties
    generator = np.random.default_rng(0)
    distances, relevant = hamming(codes.to_bits(), codes.to_bits()), relevance(codes, codes)
    shuffled = []
    for _ in range(200):
        noise = generator.random(distances.shape) / 2
        ranked = np.take_along_axis(relevant, np.argsort(distances + noise, axis=1), 1)
        precision = np.cumsum(ranked, axis=1) / np.arange(1, 301)
        shuffled.append(np.mean((precision * ranked).sum(axis=1) / ranked.sum(axis=1)))
    result = retrieval_map(codes, codes, exclude_self=False)
    assert abs(result.value - np.mean(shuffled)) < 4 * np.std(shuffled) / np.sqrt(len(shuffled))


@pytest.mark.parametrize("by", ["codes", "features"])
def test_near_copies_are_left_out(by):
    base = features_of(noisy_codes(60, 16, 3, seed=4))
    emoji = [str(i // 3) if i % 7 else "" for i in range(60)]  # an empty name: in no group
    codes = dataclasses.replace(base, items=base.items.append_column("emoji", [emoji]))
    result = retrieval_map(codes, groups="emoji", by=by)
    votes = knn_accuracy(codes, k=5, groups="emoji", by=by)
    assert result.left_out == votes.left_out == "self and same emoji"
    for i in range(60):
        kept = [j for j in range(60) if j != i and not (emoji[i] and emoji[i] == emoji[j])]
        alone = retrieval_map(codes[[i]], codes[kept], by=by, bootstrap=1)
        assert result.per_query[i] == pytest.approx(alone.value, abs=1e-12)
        voted = knn_accuracy(codes[[i]], codes[kept], k=5, by=by, bootstrap=1)
        assert votes.per_query[i] == pytest.approx(voted.value, abs=1e-12)
    same = retrieval_map(codes, groups=np.array(emoji, dtype=object), by=by)
    assert np.array_equal(result.per_query, same.per_query)
    pair = retrieval_map(codes[:20], codes, groups=(emoji[:20], emoji), by=by)
    for i in range(20):
        kept = [j for j in range(60) if not (emoji[i] and emoji[i] == emoji[j])]
        assert pair.per_query[i] == pytest.approx(retrieval_map(codes[[i]], codes[kept], by=by).value, abs=1e-12)


def test_self_is_left_out_in_three_ways():
    codes = noisy_codes(80, 8, 4)
    without = retrieval_map(codes)
    assert without.left_out == "self"
    assert np.array_equal(without.per_query, retrieval_map(codes, codes, exclude_self=True).per_query)
    copy = dataclasses.replace(codes, packed=codes.packed.copy())
    assert np.array_equal(without.per_query, retrieval_map(codes, copy, exclude_self=True).per_query)
    assert np.array_equal(without.per_query, retrieval_map(codes, copy).per_query)
    kept = retrieval_map(codes, codes, exclude_self=False)
    assert kept.left_out == ""
    assert kept.value > without.value
    others = dataclasses.replace(codes, items=codes.items.set_column(0, "id", [[f"x{i}" for i in range(80)]]))
    assert retrieval_map(codes, others).per_query == pytest.approx(kept.per_query)
    distances, same = hamming(codes.to_bits(), codes.to_bits()), relevance(codes, codes) > 0
    distances[np.diag_indices(80)] = AWAY
    first = [np.flatnonzero(row == row.min()) for row in distances]
    expected = [same[i, near].mean() for i, near in enumerate(first)]
    assert precision_at_k(codes, k=1).per_query == pytest.approx(expected)


@pytest.mark.parametrize(
    "measure",
    [
        retrieval_map,
        ndcg,
        precision_recall_curve,
        bit_budget_curve,
        precision_within_radius,
        lambda *sets, **options: knn_accuracy(*sets, k=1, **options),
        lambda *sets, **options: precision_at_k(*sets, k=1, **options),
        lambda *sets, **options: recall_at_k(*sets, k=1, **options),
    ],
)
def test_the_queries_again_as_database_leave_self_out_in_every_measure(measure):
    codes = noisy_codes(80, 8, 4)
    alone, again = measure(codes), measure(codes, dataclasses.replace(codes, packed=codes.packed.copy()))
    assert "left out: self" in str(again)
    assert again.to_dict() == alone.to_dict()
    assert "left out: self" not in str(measure(codes, codes, exclude_self=False))


def test_the_queries_again_with_other_features_are_another_set():
    codes = features_of(noisy_codes(40, 8, 4))
    seen = features_of(codes, seed=1)
    assert knn_accuracy(codes, codes, k=1, by="features").left_out == "self"
    assert knn_accuracy(codes, seen, k=1, by="features").left_out == ""


@pytest.mark.parametrize("by", ["codes", "features"])
def test_the_result_does_not_depend_on_how_the_work_is_cut(by, monkeypatch):
    codes = features_of(noisy_codes(1300, 40, 6, seed=9))
    queries, database = codes[:150], codes

    def measure(threads):
        return [
            retrieval_map(queries, database, k=50, by=by, threads=threads).per_query,
            knn_accuracy(queries, database, by=by, weighted=True, threads=threads).per_query,
            ndcg(queries, database, by=by, threads=threads).per_query,
            precision_recall_curve(queries, database, by=by, threads=threads).precision,
        ]

    expected = measure(1)
    monkeypatch.setattr(scans, "SMALL", -1)
    monkeypatch.setattr(weighted, "KEEP", 0)
    for chunk, threads in ((1, 1), (1 << 17, 2), (1 << 20, 3)):
        monkeypatch.setattr(ranking, "CHUNK", chunk)
        for one, other in zip(measure(threads), expected, strict=True):
            assert np.array_equal(one, other)
    monkeypatch.setattr(ranking, "CHUNK", 1 << 20)
    monkeypatch.setattr(ranking, "LONG", 0)  # under a progress bar
    assert np.array_equal(measure(2)[0], expected[0])
    shuffled = np.random.default_rng(0).permutation(len(codes))
    assert retrieval_map(queries, codes[shuffled], k=50, by=by).per_query == pytest.approx(expected[0], abs=1e-12)
    assert knn_accuracy(queries, codes[shuffled], by=by).value == pytest.approx(
        knn_accuracy(queries, codes, by=by).value, abs=1e-12
    )


@pytest.mark.parametrize("by", ["codes", "features"])
def test_a_long_ranking_has_one_bar_that_moves(by, monkeypatch):
    steps = []

    @contextlib.contextmanager
    def counter(label, total):
        bar = [total]
        steps.append(bar)
        yield bar.append

    codes = features_of(noisy_codes(600, 8, 3))
    for module in (ranking, scans, weighted):
        monkeypatch.setattr(module, "counter", counter)
    monkeypatch.setattr(ranking, "LONG", 600 * 600)
    monkeypatch.setattr(scans, "LONG", 600 * 600)
    retrieval_map(codes, by=by, bootstrap=1)
    assert steps == [[600, 256, 256, 88]]


def test_averages_over_classes_and_their_intervals():
    codes = noisy_codes(500, 12, 5, flip=0.3, seed=1)
    result = retrieval_map(codes, average="class")
    means = [result.per_query[codes.labels == c].mean() for c in range(5)]
    assert result.per_class == pytest.approx(means)
    assert result.value == pytest.approx(np.mean(means))
    assert float(result) == result.value
    assert result.interval[0] < result.value < result.interval[1]
    many = [retrieval_map(codes[: 250 + i], bootstrap=400, seed=i).interval for i in range(5)]
    assert all(0.2 < (high - low) / (4 * result.per_query.std() / np.sqrt(250)) < 2 for low, high in many)
    assert retrieval_map(codes, average="class").interval == result.interval
    assert retrieval_map(codes, average="class", seed=1).interval != result.interval
    tagged = Codes.from_bits(codes.to_bits(), np.eye(6, dtype=bool)[codes.labels])  # the last class has no item
    twin = retrieval_map(tagged, average="class")
    assert twin.value == pytest.approx(result.value)
    assert twin.interval == pytest.approx(result.interval)
    assert np.isnan(twin.per_class[5])
    assert twin.relevance == "share a label"


def test_the_width_of_the_interval_is_that_of_the_mean():
    codes = noisy_codes(440, 12, 2, flip=0.3, seed=1)
    rare = (codes.labels == 1) & (np.arange(440) % 10 > 0)
    queries = codes[~rare]
    result = retrieval_map(queries, codes, bootstrap=20_000)
    low, high = result.interval
    error = result.per_query.std() / np.sqrt(len(queries))
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.04)
    by_class = retrieval_map(queries, codes, average="class", bootstrap=4000)
    parts = [by_class.per_query[queries.labels == c] for c in (0, 1)]
    assert len(parts[0]) > 8 * len(parts[1]) > 80
    error = np.sqrt(sum(part.var() / len(part) for part in parts)) / 2
    low, high = by_class.interval
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.15)
    assert low < by_class.value < high
    assert abs((low + high) / 2 - by_class.value) < error


def test_coverage_of_the_interval():
    """Of intervals from many draws of queries, about the stated share holds the value of the population."""
    codes = noisy_codes(4000, 10, 3, flip=0.35, seed=11)
    database, pool = codes[:300], codes[300:]
    truth = retrieval_map(pool, database, bootstrap=1).value
    held = 0
    for i in range(60):
        low, high = retrieval_map(pool[i * 60 : (i + 1) * 60], database, confidence=0.9, bootstrap=300).interval
        held += low <= truth <= high
    assert 46 <= held <= 60  # 54 expected


def test_a_result_is_a_line_to_quote_a_row_and_json():
    codes = noisy_codes(100, 16, 3)
    half = dataclasses.replace(codes, labels=np.where(np.arange(100) < 10, -1, codes.labels))
    result = retrieval_map(half, k=10, normalise="min_k")
    low, high = result.interval
    assert str(result) == (
        f"mAP@10 = {result.value:.4f} [{low:.4f}, {high:.4f}] (95% interval by jackknife over 20 parts of the items; "
        "100 queries, N = 100, 16 bits, Hamming; "
        "ties expected; divided by min_k; relevant: same label; left out: self; average over queries; "
        "10 queries without a relevant item not counted; seed 0)"
    )
    row = result.to_frame().iloc[0]
    assert (row["n"], row["n_queries"], row["skipped"], row["bits"], row["seed"]) == (100, 100, 10, 16, 0)
    assert json.loads(json.dumps(result.to_dict()))["per_query"][0] is None
    assert result.source.sha256 == result.queries.sha256 == half.sha256
    far = precision_within_radius(codes[:5], codes[5:], radius=0)
    assert "found nothing and count as 0" in str(far)
    assert "weigh exp(cosine / 0.07)" in str(knn_accuracy(codes, weighted=True))


def test_curves_say_what_they_are():
    codes = noisy_codes(90, 8, 3)
    curve = precision_recall_curve(codes)
    assert "at recall 1.0000 (radius 8) (90 queries, N = 90, 8 bits, Hamming; relevant: same label" in str(curve)
    assert str(curve).startswith(f"precision {curve.precision[0]:.4f} at recall {curve.recall[0]:.4f} (radius 0) to ")
    featured = features_of(codes)
    for result in (precision_recall_curve(featured, by="features"), retrieval_map(featured, by="features")):
        assert "features of 8 dimensions, cosine" in str(result)
        assert result.source == result.queries
        assert result.source.dimensions == 8
        assert result.source.features_sha256 == hashlib.sha256(featured.features.tobytes()).hexdigest()
        assert result.source.sha256 == codes.sha256
    resampled = retrieval_map(codes, bootstrap=7)
    assert resampled.bootstrap == 7
    assert "(95% interval by 7 bootstrap resamples of the queries; " in str(resampled)
    budget = str(bit_budget_curve(codes, budgets=(8, 2), draws=3, seed=5))
    assert budget.startswith("mAP@ALL: 8 bits ")
    assert "cut from 8 bits, Hamming; 3 random subsets; ties expected; divided by relevant" in budget
    assert budget.endswith("left out: self; average over queries; seed 5)")


def test_shorter_codes_and_the_best_bits_first():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 600)
    noise = generator.integers(0, 2, (600, 24))
    code = np.array([[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0]])[:, labels].T
    bits = np.concatenate([noise, code ^ (generator.random(code.shape) < 0.1)], axis=1)  # the last four say the class
    codes = Codes.from_bits(bits, labels, items={"id": [str(i) for i in range(600)]})
    curve = bit_budget_curve(codes, budgets=(28, 8, 4), draws=4, seed=3)
    assert sorted(curve.order[:4].tolist()) == [24, 25, 26, 27]
    table = curve.to_frame()
    assert table["bits"].tolist() == [28, 8, 4]
    whole = retrieval_map(codes).value
    assert curve.leading[0] == pytest.approx(whole)
    assert curve.random[0].tolist() == [curve.leading[0]] * 4
    assert curve.best[2] > 0.75 > 0.5 > curve.leading[2]
    assert curve.leading[2] == pytest.approx(retrieval_map(codes.select_bits(range(4))).value)
    assert (table["spread"][1:] > 0).all()
    assert bit_budget_curve(codes, draws=1).budgets == (28, 14, 7, 3)
    again = bit_budget_curve(codes, budgets=(28, 8, 4), draws=4, seed=3)
    assert np.array_equal(again.random, curve.random)
    tagged = Codes.from_bits(bits, np.eye(4, dtype=bool)[labels])
    assert np.array_equal(bit_budget_curve(tagged, budgets=(4,), draws=1, seed=3).order, curve.order)


@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize("apart", [False, True])
def test_no_bit_of_noise_is_best(copies, apart):
    """Chosen on the queries that score, or among their items, bits of noise look better than others."""
    gains = []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        bits, labels = generator.random((60, 48)) < 0.5, generator.integers(0, 3, 60)
        group = np.repeat(np.arange(60), copies)  # near copies: the same code and label
        codes = Codes.from_bits(bits[group], labels[group])
        sets, groups = (codes,), group if copies > 1 else None
        if apart:
            cut = 40 * copies
            sets = codes[:cut], codes[cut:]
            groups = (group[:cut], group[cut:]) if copies > 1 else None
        curve = bit_budget_curve(*sets, budgets=(6,), draws=1, groups=groups, seed=seed)
        gains.append(curve.best[0] - curve.leading_half[0])
    assert abs(np.mean(gains)) < 3 * np.std(gains) / np.sqrt(len(gains) - 1)
    assert abs(np.mean(gains)) < 0.02


def test_a_group_is_in_one_half_and_each_half_needs_relevant_items():
    codes = noisy_codes(60, 16, 2)
    groups = np.arange(60) % 5
    chooser, judge = shorter._halves(ranking.rank(codes, groups=groups), np.random.default_rng(0))
    assert not set(chooser.query_owner) & set(judge.query_owner)
    assert set(chooser.owner) == set(chooser.query_owner)
    assert len(judge.database) == 60
    assert len(chooser.queries) == 24
    with pytest.raises(UsageError, match="at least 2 groups, to choose on one half and score on the other, found 1"):
        bit_budget_curve(codes, groups=["a"] * 60)
    pair = Codes.from_bits([[0, 1], [1, 1]], [0, 0])
    with pytest.raises(DataError, match="on the half of the queries that chooses bits none has a relevant item"):
        bit_budget_curve(pair)


def test_agreement_counts_the_pairs_that_are_ranked():
    for labels in (np.arange(40) % 3 - (np.arange(40) > 35), np.random.default_rng(0).random((40, 3)) < 0.5):
        codes = Codes.from_bits(np.random.default_rng(1).random((40, 10)) < 0.5, labels)
        groups = np.arange(40) // 3
        ours = ranking.rank(codes, groups=groups)
        kept = groups[:, None] != groups
        shared = relevance(codes, codes) * kept
        bits = codes.to_bits()
        agree = bits[:, None] == bits
        expected = np.einsum("ij,ijb->b", shared, agree) / shared.sum() - agree[kept].mean(axis=0)
        assert agreement(ours) == pytest.approx(expected, abs=1e-12)


def test_one_item_and_equal_codes():
    one = Codes.from_bits([[1, 0]], [0])
    assert retrieval_map(one, one, exclude_self=False).value == 1
    with pytest.raises(DataError, match="none of the 1 queries has a relevant item in the database"):
        retrieval_map(one)
    equal = Codes.from_bits(np.zeros((50, 8)), np.arange(50) % 2)
    expected = retrieval_map(equal, equal, exclude_self=False)
    assert expected.value == pytest.approx(_all_tied(50, 25), abs=1e-12)
    assert knn_accuracy(equal, equal, k=3, exclude_self=False).value == 0.5
    with pytest.raises(DataError, match="queries: no codes"):
        retrieval_map(equal[:0], equal)
    with pytest.raises(DataError, match="database: no codes"):
        retrieval_map(equal, equal[:0])


def _all_tied(n: int, relevant: int) -> float:
    """Expected average precision where all n items tie: by the expected precision at a relevant place."""
    places = np.arange(1, n + 1)
    return float(np.mean((1 + (places - 1) * (relevant - 1) / (n - 1)) / places))


LABELLED = noisy_codes(20, 16, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: retrieval_map(c, k=21), UsageError, "k=21: the database has 20 codes, expected 1 to 20"),
        (lambda c: precision_at_k(c, k=0), UsageError, "k=0"),
        (lambda c: retrieval_map(c, ties="random"), UsageError, "ties='random': expected expected, optimistic"),
        (lambda c: retrieval_map(c, normalise="r"), UsageError, "normalise='r': expected relevant, min_k, found"),
        (lambda c: retrieval_map(c, average="item"), UsageError, "average='item': expected query, class"),
        (lambda c: retrieval_map(c, by="pixels"), UsageError, "by='pixels': expected 'codes' or 'features'"),
        (lambda c: retrieval_map(c, bootstrap=0), UsageError, "bootstrap=0: expected 1 or more resamples"),
        (lambda c: retrieval_map(c, confidence=95), UsageError, "confidence=95: expected a share between 0 and 1"),
        (lambda c: retrieval_map(c, groups="tone"), UsageError, "groups='tone': the queries have no attributes"),
        (lambda c: retrieval_map(c, groups=[1, 2]), UsageError, "groups: found 2 values, expected one for each of 20"),
        (lambda c: retrieval_map(c[:5], c, groups=[1] * 5), UsageError, "groups: give an item column, or a pair"),
        (lambda c: retrieval_map(c[:5], c, exclude_self=True), UsageError, "exclude_self: expected the same codes"),
        (lambda c: knn_accuracy(c, k=3, temperature=0), UsageError, "temperature=0: expected more than 0"),
        (lambda c: precision_within_radius(c, radius=-1), UsageError, "radius=-1"),
        (lambda c: ndcg(c, gain="square"), UsageError, "gain='square': expected exponential, linear"),
        (lambda c: bit_budget_curve(c, budgets=(17,)), UsageError, "budgets: found 17, expected 1 to 16 bits"),
        (lambda c: bit_budget_curve(c, budgets=()), UsageError, "budgets: found none, expected 1 or more"),
        (lambda c: bit_budget_curve(c, budgets=(2.5,)), UsageError, "budgets=2.5: expected a whole number"),
        (lambda c: bit_budget_curve(c, draws=2.5), UsageError, "draws=2.5: expected a whole number"),
        (lambda c: bit_budget_curve(c, draws=0), UsageError, "draws=0: expected 1 or more"),
        (lambda c: bit_budget_curve(c, seed=-1), UsageError, "seed=-1: expected 0 or more"),
        (lambda c: retrieval_map(c, seed=-1), UsageError, "seed=-1: expected 0 or more"),
        (lambda c: retrieval_map(c, bootstrap=2.5), UsageError, "bootstrap=2.5: expected a whole number"),
        (lambda c: retrieval_map(c, confidence="95"), UsageError, "confidence='95': expected a number"),
        (lambda c: retrieval_map(c, k=2.5), UsageError, "k=2.5: expected a whole number"),
        (lambda c: precision_at_k(c, k=None), UsageError, "k=None: expected a whole number"),
        (lambda c: precision_within_radius(c, radius="2"), UsageError, "radius='2': expected a number"),
        (
            lambda c: retrieval_map("codes.parquet"),
            UsageError,
            r"load the file first: codelab.load\('codes",
        ),
        (lambda c: retrieval_map(c, c.packed), UsageError, "database: expected Codes, found ndarray"),
        (lambda c: bit_budget_curve(c[:1], c), UsageError, "at least 2 queries"),
        (lambda c: retrieval_map(c, by="features"), DataError, "queries: by='features' needs features"),
        (
            lambda c: retrieval_map(Codes(c.packed, 16), c),
            DataError,
            "queries: none of the 20 codes has a label, and relevance needs them",
        ),
        (
            lambda c: retrieval_map(c, Codes(c.packed, 16)),
            DataError,
            "database: none of the 20 codes has a label",
        ),
        (
            lambda c: retrieval_map(c.select_bits(range(8)), c),
            DataError,
            "queries: found codes of 8 bits, the database has 16",
        ),
        (
            lambda c: retrieval_map(Codes(c.packed, 16, np.ones((20, 2), bool)), c),
            DataError,
            r"both have one label an item, or both bool \[N, C\]",
        ),
        (
            lambda c: retrieval_map(Codes(c.packed, 16, c.labels, ("dog", "cat")), c),
            DataError,
            r"classes: queries have 2 \(dog, cat\), the database has 2 \(0, 1\)",
        ),
        (
            lambda c: retrieval_map(features_of(c), dataclasses.replace(c, features=np.ones((20, 3))), by="features"),
            DataError,
            "queries: found 16 features, the database has 3",
        ),
        (
            lambda c: retrieval_map(dataclasses.replace(c, features=np.eye(20, 3)), by="features"),
            DataError,
            "database: features of row 3 are all 0, and cosine needs a direction",
        ),
        (
            lambda c: retrieval_map(c[c.labels == 0], c[c.labels == 1]),
            DataError,
            "queries has a relevant item in the database",
        ),
        (
            lambda c: precision_recall_curve(c[c.labels == 0], c[c.labels == 1]),
            DataError,
            "queries has a relevant item in the database",
        ),
        (
            lambda c: ndcg(
                dataclasses.replace(features_of(c), labels=np.ones((20, 501), bool), classes=()), by="features"
            ),
            UsageError,
            "501 grades: expected at most 500",
        ),
        (
            lambda c: knn_accuracy(Codes(c.packed, 16, np.ones((20, 2), bool))),
            DataError,
            "needs one label an item, these codes are multi-label",
        ),
    ],
)
def test_calls_that_cannot_be_answered(call, error, message):
    with pytest.raises(error, match=message):
        call(LABELLED)


def test_queries_whose_class_the_database_lacks_are_counted_not_scored():
    codes = noisy_codes(60, 16, 3)
    database = codes[codes.labels != 2]
    for result in (retrieval_map(codes, database), precision_at_k(codes, database, k=3), ndcg(codes, database)):
        assert result.skipped == (codes.labels == 2).sum()
        assert np.isnan(result.per_query[codes.labels == 2]).all()
        assert not np.isnan(result.per_query[codes.labels != 2]).any()


@pytest.mark.parametrize("measure", [retrieval_map, precision_within_radius, ndcg, knn_accuracy])
def test_options_are_explained_once_and_others_are_refused(measure):
    codes = noisy_codes(20, 8, 2)
    for name in Options.__annotations__:
        assert re.search(rf"^ {{8}}(\w+, )*{name}\b.*:", Options.__doc__, re.M), name
    assert "codelab.retrieval.options.Options" in measure.__doc__ or "`retrieval_map`" in measure.__doc__
    with pytest.raises(
        TypeError, match=rf"{measure.__name__}\(\) got an unexpected keyword argument 'grups': .*groups"
    ):
        measure(codes, grups=1)
    with pytest.raises(TypeError, match="'bootstrap': expected exclude_self, groups, by, threads"):
        precision_recall_curve(codes, bootstrap=3)
