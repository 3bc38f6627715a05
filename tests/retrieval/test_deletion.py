"""Averages without each part: the fast way equals a new measurement of the items that are left."""

import dataclasses
import warnings

import numpy as np
import pytest
from scipy import special

from codelab.core.codes import Codes
from codelab.retrieval import deletion, ranking
from codelab.retrieval.compare import compare_retrieval
from codelab.retrieval.deletion import SKEW_HOW, TIED_HOW, Design, Parts, hadamard
from codelab.retrieval.measures import (
    knn_accuracy,
    ndcg,
    precision_at_k,
    precision_within_radius,
    recall_at_k,
    retrieval_map,
)
from codelab.retrieval.ranking import rank
from codelab.retrieval.summary import Averaging
from codelab.statistics.jackknife import PARTS, each_pair_once, standard_error
from tests.support.rank_oracles import noisy_codes

CALLS = {
    "map found": lambda *sets, **rest: retrieval_map(*sets, k=7, normalise="found", **rest),
    "map pessimistic": lambda *sets, **rest: retrieval_map(*sets, k=7, ties="pessimistic", **rest),
    "precision": lambda *sets, **rest: precision_at_k(*sets, k=5, **rest),
    "recall": lambda *sets, **rest: recall_at_k(*sets, k=5, **rest),
    "radius": lambda *sets, **rest: precision_within_radius(*sets, radius=3, **rest),
    "radius beyond": lambda *sets, **rest: precision_within_radius(*sets, radius=99.5, **rest),
    "ndcg": lambda *sets, **rest: ndcg(*sets, k=9, **rest),
}
VOTES = {
    "knn": lambda *sets, **rest: knn_accuracy(*sets, k=5, **rest),
    "knn weighted": lambda *sets, **rest: knn_accuracy(*sets, k=5, weighted=True, **rest),
}


def sample(n=90, seed=0, multilabel=False):
    codes = noisy_codes(n, 10, 4, flip=0.3, seed=seed)
    generator = np.random.default_rng(seed)
    labels = generator.random((n, 4)) < 0.4 if multilabel else np.where(generator.random(n) < 0.1, -1, codes.labels)
    features = generator.normal(size=(n, 3)) + codes.to_bits()[:, :3]
    made = Codes.from_bits(codes.to_bits(), labels, classes=list("abcd"), features=features.astype(np.float32))
    groups = [f"g{i // 3}" if i % 7 else "" for i in range(n)]
    return dataclasses.replace(made, items=made.items.append_column("group", [groups]))


@pytest.mark.parametrize("average", ["query", "class"])
@pytest.mark.parametrize("groups", [None, "group"])
@pytest.mark.parametrize(
    ("name", "how"),
    [(name, how) for name in CALLS for how in ("codes", "features", "tags")],
)
def test_without_a_part_is_the_measure_of_what_is_left(name, how, groups, average):
    codes = sample(multilabel=how == "tags")
    options = {"groups": groups, "average": average, "by": "features" if how == "features" else "codes"}
    result = CALLS[name](codes, seed=3, **options)
    parts = Parts.of(rank(codes, groups=groups), Averaging(average=average, seed=3))
    expected = [CALLS[name](codes[parts.queries != part], bootstrap=1, **options).value for part in range(20)]
    assert np.array_equal(parts.queries, parts.database)
    assert result.deleted == pytest.approx(expected, abs=1e-12)
    assert result.value == CALLS[name](codes, bootstrap=1, **options).value


@pytest.mark.parametrize("name", CALLS)
def test_of_two_sets_both_lose_a_part(name):
    queries, database = sample(50, seed=1), sample(120, seed=2)
    result = CALLS[name](queries, database)
    parts = Parts.of(rank(queries, database), Averaging())
    expected = [
        CALLS[name](queries[parts.queries != part], database[parts.database != part], bootstrap=1).value
        for part in range(20)
    ]
    assert result.deleted == pytest.approx(expected, abs=1e-12)
    assert np.bincount(parts.queries).tolist() == [3] * 10 + [2] * 10
    assert np.bincount(parts.database).tolist() == [6] * 20


def of_subset(measure, sets, dealt, kept, options):
    """The measure of the items in some parts."""
    left = (codes[np.isin(part, kept)] for codes, part in zip(sets, dealt, strict=False))
    return measure(*left, bootstrap=1, **options).value


@pytest.mark.parametrize("average", ["query", "class"])
@pytest.mark.parametrize("name", VOTES)
@pytest.mark.parametrize("how", ["one set", "features", "two sets"])
def test_the_variance_of_votes_is_that_of_halves(name, how, average):
    sets = (sample(90), sample(120, seed=2)) if how == "two sets" else (sample(90),)
    options = {"average": average, "groups": "group", "by": "features" if how == "features" else "codes"}
    result = VOTES[name](*sets, seed=3, **options)
    parts = Parts.of(rank(*sets, groups="group"), Averaging(average=average, seed=3), "halves")
    squares = []
    for row in hadamard(16)[1:]:
        sides = (np.flatnonzero(row == sign) for sign in (1, -1))
        first, second = (of_subset(VOTES[name], sets, (parts.queries, parts.database), s, options) for s in sides)
        squares.append(((first - second) / 2) ** 2)
    assert standard_error(result.deleted) == pytest.approx(np.sqrt(np.mean(squares)), abs=1e-12)
    assert result.deleted.mean() == pytest.approx(result.value, abs=1e-12)
    assert result.interval_by == "halves made of 16 parts of the items"


@pytest.mark.parametrize("measure", [retrieval_map, ndcg])
@pytest.mark.parametrize("how", ["one set", "features", "two sets", "tags"])
def test_whole_rankings_count_the_effect_of_two_parts_once(measure, how):
    tags = how == "tags"
    sets = (sample(90, multilabel=tags),) if how != "two sets" else (sample(90), sample(120, seed=2))
    options = {"groups": "group", "by": "features" if how == "features" else "codes"}
    result = measure(*sets, seed=3, **options)
    parts = Parts.of(rank(*sets, groups="group"), Averaging(seed=3))
    counted = ~np.isnan(result.per_query)
    effects, deleted = np.zeros((20, 20)), []
    for i in range(20):
        kept = parts.queries != i
        left = (codes[part != i] for codes, part in zip(sets, (parts.queries, parts.database), strict=False))
        without = measure(*left, bootstrap=1, **options)
        deleted.append(without.value)
        values = np.where(np.isnan(without.per_query), result.value, without.per_query)  # its last relevant item gone
        for part, now, before in zip(parts.queries[kept], values, result.per_query[kept], strict=True):
            effects[i, part] += 0 if np.isnan(before) else (before - now) / counted.sum()
    assert result.of_subsets == pytest.approx(deleted, abs=1e-12)
    assert result.deleted == pytest.approx(each_pair_once(np.array(deleted), effects), abs=1e-12)
    assert standard_error(result.deleted) < standard_error(np.array(deleted))
    assert result.interval_by == "jackknife over 20 parts of the items, each pair once"


@pytest.mark.parametrize("order", [1, 2, 4, 8, 12, 16])
def test_halves_are_orthogonal(order):
    matrix = hadamard(order)
    assert np.array_equal(matrix @ matrix.T, order * np.eye(order))
    assert (matrix[0] == 1).all()


def test_twelve_objects_are_halved_as_twelve_parts():
    generator = np.random.default_rng(0)
    thing = np.repeat(np.arange(12), 5)
    codes = Codes.from_bits(generator.random((60, 20)) < 0.5, thing % 2)
    assert knn_accuracy(codes, k=5, groups=thing).interval_by == "halves made of 12 parts of the items"


@pytest.mark.parametrize("sizes", [(40, 40, 40, 40), (70, 40, 20, 10, 6, 4)])
def test_the_paired_test_of_two_codes_without_meaning_is_not_too_rare(sizes):
    """Their difference has no term of single images: the jackknife's variance is twice the true one."""
    errors, values = [], []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        labels = np.repeat(np.arange(len(sizes)), sizes)
        a, b = (Codes.from_bits(generator.random((len(labels), 20)) < 0.5, labels) for _ in range(2))
        found = compare_retrieval(a, b)
        errors.append((found.high - found.low) / (2 * special.stdtrit(found.parts - 1, 0.975)))
        values.append(found.value)
    assert 0.8 < np.sqrt(np.mean(np.square(errors))) / np.std(values) < 1.25


def test_votes_that_equal_codes_decide_have_no_interval():
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    rare, plain = (Codes.from_bits(generator.random((120, 12)) < share, labels) for share in (0.04, 0.5))
    found = knn_accuracy(rare, k=5)
    assert (found.interval, found.interval_by) == ((0.0, 1.0), TIED_HOW)
    for pair in ((rare, plain), (plain, rare)):
        compared = compare_retrieval(*pair, measure="knn_accuracy", k=5)
        assert (compared.low, compared.high) == (-1.0, 1.0)
        assert np.isnan(compared.p_value)
        assert compared.note == f"no p-value; the interval is {TIED_HOW}"
    one_code_a_class = Codes.from_bits(np.eye(3, dtype=bool)[labels], labels)  # equal, but of one class
    assert knn_accuracy(one_code_a_class, k=5).interval == (1.0, 1.0)


@pytest.mark.parametrize(("n", "rare", "held"), [(60, 5, False), (60, 9, True), (300, 15, True)])
def test_whole_rankings_of_nearly_one_class_have_no_interval(n, rare, held):
    generator = np.random.default_rng(0)
    labels = (np.arange(n) < rare).astype(int)
    a, b = (Codes.from_bits(generator.random((n, 20)) < 0.5, labels) for _ in range(2))
    found = retrieval_map(a)
    assert (found.interval != (0.0, 1.0), found.interval_by != SKEW_HOW) == (held, held)
    copies = np.repeat(np.arange(n), 2)
    assert retrieval_map(a[copies], groups=copies).interval_by == found.interval_by
    assert 0 < compare_retrieval(a, b).p_value < 1  # the shares are the same in both


def test_a_class_average_of_small_classes_is_not_halved():
    codes = sample(90)
    small = Codes.from_bits(codes.to_bits(), np.arange(90) // 4)
    result = knn_accuracy(small, k=5, average="class")
    parts = Parts.of(rank(small), Averaging(average="class"))
    expected = [knn_accuracy(small[parts.queries != i], k=5, average="class", bootstrap=1).value for i in range(20)]
    assert result.deleted == pytest.approx(expected, abs=1e-12)
    assert result.interval_by == "jackknife over 20 parts of the items"


def test_intervals_of_votes_are_not_too_wide():
    """The jackknife's interval of 10-NN accuracy is as wide as 2.3 times the spread between samples, and more."""
    centres = np.random.default_rng(0).random((10, 32)) < 0.5
    values, widths = [], []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 10, 120)
        found = knn_accuracy(Codes.from_bits(centres[labels] ^ (generator.random((120, 32)) < 0.3), labels), k=10)
        values.append(found.value)
        widths.append(standard_error(found.deleted))
    assert 0.8 < np.sqrt(np.mean(np.square(widths))) / np.std(values) < 1.25


def test_groups_that_both_sets_have_are_in_one_part():
    queries, database = sample(50, seed=1), sample(120, seed=2)
    parts = Parts.of(rank(queries, database, groups="group"), Averaging())
    names = zip(
        [*queries.items["group"].to_pylist(), *database.items["group"].to_pylist()],
        [*parts.queries, *parts.database],
        strict=True,
    )
    assert len({pair for pair in names if pair[0]}) == len(set(database.items["group"].to_pylist()) - {""})


def test_the_same_codes_given_twice_are_the_same_items():
    codes = sample()
    parts = Parts.of(rank(codes, codes), Averaging())
    assert np.array_equal(parts.queries, parts.database)


def test_few_queries_and_few_in_a_class_are_said():
    codes = noisy_codes(40, 8, 2)
    labels = np.where(np.arange(40) < 3, 2, codes.labels)
    result = retrieval_map(Codes.from_bits(codes.to_bits(), labels), average="class")
    assert result.small_classes == 1
    assert "1 classes have fewer than 5 queries" in str(result)
    assert result.to_frame()["small_classes"].tolist() == [1]
    assert result.to_frame()["interval_by"].tolist() == ["jackknife over 20 parts of the items"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = retrieval_map(codes[:1], codes)
        pair = knn_accuracy(Codes.from_bits([[0, 1], [0, 1]], [0, 0]), k=1)
    assert alone.interval == pair.interval == (0.0, 1.0)  # one part, or nothing left to rank: nothing is known


def test_coverage_where_the_queries_are_the_database():
    """The old interval holds the expectation in about 70 % of samples, the jackknife's in about 95 %."""
    centres = np.random.default_rng(0).random((10, 16)) < 0.5

    def draw(seed):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 10, 150)
        hard = 0.1 + 0.35 * generator.random((150, 1))
        return Codes.from_bits(centres[labels] ^ (generator.random((150, 16)) < hard), labels)

    draws = [draw(seed) for seed in range(160)]
    found = [retrieval_map(codes) for codes in draws]
    truth = np.mean([result.value for result in found])
    held = np.mean([low <= truth <= high for low, high in (result.interval for result in found)])
    old = [retrieval_map(codes, bootstrap=200).interval for codes in draws]
    assert held > 0.9
    assert np.mean([low <= truth <= high for low, high in old]) < held


def test_averages_do_not_depend_on_how_the_queries_are_cut(monkeypatch):
    codes = sample(200)
    whole = retrieval_map(codes, groups="group").deleted
    monkeypatch.setattr(ranking, "CACHE", 7 * 8 * PARTS * 2 * 11)  # blocks of 7 queries
    assert np.array_equal(retrieval_map(codes, groups="group").deleted, whole)


def test_many_features_are_not_ranked_again_unasked(monkeypatch):
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 4
    features = generator.normal(size=(40, 3)).astype(np.float32)
    codes = Codes.from_bits(generator.random((40, 8)) < 0.5, labels, features=features)
    monkeypatch.setattr("codelab.retrieval.options.MOST_PAIRS", 40 * 40 - 1)
    assert retrieval_map(codes, by="features").interval_by == "1,000 bootstrap resamples of the queries"
    assert "each pair once" in retrieval_map(codes, by="features", bootstrap=None).interval_by
    assert "each pair once" in retrieval_map(codes).interval_by


@pytest.mark.parametrize("hidden", [False, True])
def test_halves_of_large_sets_are_measured_on_the_items_that_may_vote(monkeypatch, hidden):
    """The same averages as on all items of each half, from a small share of them."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 40, 30_000)
    centres = generator.random((40, 64)) < 0.5
    bits = centres[labels] ^ (generator.random((30_000, 64)) < 0.25)
    codes = Codes.from_bits(bits, np.where(hidden & (generator.random(30_000) < 0.3), -1, labels))
    queries = codes[np.flatnonzero(codes.labels >= 0)[:60]]
    looked_at, found = deletion._looked_at, []

    def kept(*given):
        found.append(looked_at(*given))
        return found[-1]

    monkeypatch.setattr(deletion, "_looked_at", kept)
    quick = knn_accuracy(queries, codes, k=10)
    assert 60 < len(found[0]) < 5000
    monkeypatch.setattr(deletion, "_looked_at", lambda *given: None)
    assert np.array_equal(quick.deleted, knn_accuracy(queries, codes, k=10).deleted)


def test_voters_are_not_looked_for_where_ties_or_few_items_may_hide_them():
    generator = np.random.default_rng(0)
    tied = Codes.from_bits(generator.random((5000, 3)) < 0.5, generator.integers(0, 4, 5000))
    halves = Design("halves", 16).subsets()
    dealt = np.arange(5000) % 16
    assert deletion._looked_at(rank(tied[:20], tied), dealt, halves, 5) is None  # hundreds at one distance
    assert deletion._looked_at(rank(tied[:80], tied), dealt, halves, 5) is None  # 80 queries of 80 items each
