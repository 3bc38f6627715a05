"""Search against all distances, FAISS and SciPy; and what it says to a call that cannot be answered."""

import contextlib
import dataclasses
import tracemalloc

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from codelab import search
from codelab.core.codes import Codes, pack_bits
from codelab.core.errors import DataError, UsageError
from codelab.neighbours import gpu, weighted
from codelab.neighbours import hamming as scans
from tests.support.rank_oracles import noisy_codes, ordered

QUICK = settings(max_examples=50, deadline=None)


@pytest.fixture
def small_blocks(monkeypatch):
    """Work is cut into parts however small it is."""
    monkeypatch.setattr(scans, "SMALL", -1)
    monkeypatch.setattr(weighted, "ITEMS", 100)
    monkeypatch.setattr(gpu, "PAIRS", 1000)
    monkeypatch.setattr(gpu, "QUERIES", 5)


@st.composite
def search_cases(draw):
    """A database, queries, and options with the distances they stand for."""
    width, n, q = draw(st.integers(1, 300)), draw(st.integers(1, 400)), draw(st.integers(0, 12))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.0, 0.03, 0.5]))
    database, bits = generator.random((n, width)) < share, generator.random((q, width)) < share
    logits = generator.integers(-3, 4, (q, width)).astype(np.float32)  # whole numbers: their sums are exact
    cost, options = np.ones(width), {}
    if draw(st.booleans()):
        options["mask"] = generator.random(width) < 0.5
        options["mask"][generator.integers(width)] = True
        cost = cost * options["mask"]
    if draw(st.booleans()):
        options["weights"] = generator.integers(0, 4, width)
        cost = cost * options["weights"]
    size = np.broadcast_to(cost, bits.shape)
    queries = np.packbits(bits, axis=1).reshape(q, (width + 7) // 8)
    if draw(st.booleans()):
        options["asymmetric"] = True
        queries, bits, size = logits, logits > 0, np.abs(logits) * cost
    distances = (size * bits) @ (~database).T + (size * ~bits) @ database.T
    options["device"] = draw(st.sampled_from(["cpu", "cpu:0"]))  # the second is torch's name for the processor
    options["threads"] = draw(st.sampled_from([1, 2]))
    return Codes.from_bits(database), queries, distances, options, draw(st.integers(1, n)), draw(st.integers(0, width))


@given(search_cases())
@QUICK
@pytest.mark.usefixtures("small_blocks")
def test_every_kind_of_search_against_all_distances(case):
    codes, queries, distances, options, k, radius = case
    found = search(codes, queries, k=k, **options)
    first = ordered(distances, k)
    assert np.array_equal(found.indices, first)
    assert np.array_equal(found.distances, np.take_along_axis(distances, first, 1))
    tied = search(codes, queries, k=k, include_ties=True, **options)
    near = search(codes, queries, radius=radius, **options)
    for i in range(len(queries)):
        for result, limit in ((tied, distances[i, first[i, -1]]), (near, radius)):
            rows = [row for row in ordered(distances[i]) if distances[i, row] <= limit]
            assert result[i][1].tolist() == rows
            assert result[i][0].tolist() == distances[i, rows].tolist()


def test_distances_of_faiss_and_scipy():
    codes, queries = noisy_codes(5000, 256, 20, seed=1), noisy_codes(40, 256, 20, seed=1)
    index = faiss.IndexBinaryFlat(256)
    index.add(codes.packed)
    expected, _ = index.search(queries.packed, 25)
    found = search(codes, queries, k=25)
    assert np.array_equal(found.distances, expected)
    pairs = cdist(queries.to_bits(), codes.to_bits(), "hamming") * 256
    assert np.array_equal(np.take_along_axis(pairs.round().astype(int), found.indices, 1), expected)
    limits, _, rows = index.range_search(queries.packed, 101)  # FAISS: strictly nearer than 101
    near = search(codes, queries, radius=100)
    assert np.array_equal(near.offsets, limits)
    for i in range(len(queries)):
        assert sorted(near[i][1].tolist()) == sorted(rows[limits[i] : limits[i + 1]].tolist())


def test_codes_that_are_all_equal_come_in_row_order():
    codes = Codes.from_bits(np.ones((3000, 40)))
    found = search(codes, codes[[7]], k=1200, threads=2)
    assert found.indices.tolist() == [list(range(1200))]
    assert not found.distances.any()
    assert len(search(codes, codes[[7]], k=1, include_ties=True)[0][1]) == 3000


def test_parts_of_the_database_are_joined_in_row_order(monkeypatch):
    monkeypatch.setattr(scans, "SMALL", -1)
    codes = Codes.from_bits(np.arange(4000)[:, None] % 3 > np.arange(2))
    expected = ordered((np.arange(4000) % 3)[None], 2500)
    for threads in (1, 2, 3):
        assert np.array_equal(search(codes, np.zeros((1, 1), np.uint8), k=2500, threads=threads).indices, expected)


def test_a_list_that_is_full_keeps_the_first_rows_of_a_tie():
    """48 near codes, then 52 and more at each smaller distance: a list of 2,248 places fills up and is cut back."""
    far = np.concatenate([np.full(48, 5), np.repeat(np.arange(120, 20, -1), 60)])
    codes = Codes.from_bits(np.arange(128) < far[:, None])
    query = np.zeros((1, 16), np.uint8)
    for n in range(2300, 2900, 9):
        assert np.array_equal(search(codes[:n], query, k=100, threads=1).indices, ordered(far[None, :n], 100))


def test_every_code_is_its_own_neighbour_and_all_are_found():
    codes = noisy_codes(700, 100, 5)
    found = search(codes, codes, k=700)
    assert not found.distances[:, 0].any()
    assert (np.sort(found.indices, axis=1) == np.arange(700)).all()


def test_queries_with_logits_and_their_default():
    codes = Codes.from_logits(np.array([[3.0, -1.0], [-3.0, 1.0], [3.0, 1.0]]))
    found = search(codes, codes[[0]], k=3, asymmetric=True)
    assert found.indices.tolist() == [[0, 2, 1]]
    assert found.distances.tolist() == [[0, 1, 4]]
    assert search(noisy_codes(30, 8, 2), np.zeros((1, 1), np.uint8)).k == 10


def test_features_are_searched_by_cosine(monkeypatch):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(500, 12)).astype(np.float32)
    features[1::2] = features[::2] * 2  # every direction twice: exact ties
    codes = dataclasses.replace(noisy_codes(500, 8, 2), features=features)
    expected = cdist(features[:40], features, "cosine")
    monkeypatch.setattr(weighted, "ITEMS", 77)
    monkeypatch.setattr(weighted, "KEEP", 0)
    found = search(codes, codes[:40], k=9, by="features", threads=2)
    assert found.distances == pytest.approx(np.sort(expected, axis=1)[:, :9], abs=1e-6)
    pairs = np.sort(found.indices[:, :8].reshape(40, 4, 2), axis=2)
    assert (pairs[:, :, 0] + 1 == pairs[:, :, 1]).all()
    assert np.array_equal(pairs.reshape(40, 8), found.indices[:, :8])  # of two equal ones the lower row is first
    near = search(codes, features[:40].astype(np.float64), radius=0.5, by="features")
    assert np.array_equal(np.diff(near.offsets), (expected <= 0.5).sum(axis=1))
    assert str(found).startswith("top 9 of 40 queries among N = 500 features of 12 dimensions, cosine distance, exact")
    for bad, error, message in (
        ({"by": "pixels"}, UsageError, "by='pixels': expected 'codes' or 'features'"),
        ({"by": "features", "mask": [1]}, UsageError, "goes without mask, weights, asymmetric and device"),
    ):
        with pytest.raises(error, match=message):
            search(codes, codes[:2], k=1, **bad)
    for queries, message in (
        (noisy_codes(3, 8, 2), "queries: by='features' needs features, and these codes have none"),
        (np.ones((2, 3)), r"queries: expected features \[Q, 12\], found float64 \[2, 3\]"),
        (np.full((2, 12), np.inf), "queries: a feature is NaN or infinite"),
        (np.zeros((2, 12)), "queries: features of row 0 are all 0"),
    ):
        with pytest.raises(DataError, match=message):
            search(codes, queries, k=1, by="features")
    with pytest.raises(DataError, match="database: by='features' needs features"):
        search(noisy_codes(3, 8, 2), np.ones((2, 12)), k=1, by="features")


def test_long_work_is_done_under_a_progress_bar(monkeypatch):
    codes = noisy_codes(300, 64, 4)
    expected = search(codes, codes, k=5)
    monkeypatch.setattr(scans, "LONG", 0)
    assert np.array_equal(search(codes, codes, k=5).indices, expected.indices)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
@pytest.mark.parametrize("weight", [0.1, 0.3, 1 / 3, 0.01, 7, 1e-300, 1e39, 1e300])
def test_equal_weights_of_any_size_rank_as_hamming_does(weight, device):
    codes, queries = noisy_codes(800, 100, 8, seed=1), noisy_codes(6, 100, 8, seed=5)
    options = {"weights": np.full(100, weight), "device": device}
    for more in ({"k": 60}, {"k": 10, "include_ties": True}, {"radius": 38}, {"radius": 45}):
        plain = search(codes, queries, **more)
        if "radius" in more:
            more = {"radius": more["radius"] * weight}
        found = search(codes, queries, **more, **options)
        assert np.array_equal(found.indices, plain.indices)
        assert found.distances == pytest.approx(plain.distances * weight, rel=1e-12)
    summed = search(codes, queries, radius=sum([weight] * 38), **options)  # what 38 such weights come to in floats
    assert np.array_equal(summed.indices, search(codes, queries, radius=38).indices)
    logits = np.where(queries.to_bits(), weight, -weight)
    found = search(codes, logits, k=60, asymmetric=True, device=device)
    assert np.array_equal(found.indices, search(codes, queries, k=60).indices)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_whole_weights_are_exact_and_endless_ones_refused(device):
    codes, query = Codes.from_bits([[1, 0], [0, 1]]), np.zeros((1, 1), np.uint8)
    found = search(codes, query, k=2, weights=np.array([2**24 + 1, 2**24]), device=device)
    assert (found.indices.tolist(), found.distances.tolist()) == ([[1, 0]], [[2**24, 2**24 + 1]])
    large = search(codes, np.array([[1e39, -1]]), k=2, asymmetric=True, device=device)
    assert large.indices.tolist() == [[0, 1]]
    assert large.distances[0] == pytest.approx([0, 1e39])
    halves = {"weights": np.array([0.5, 0.25]), "device": device}
    assert search(codes, query, radius=np.nextafter(0.5, 0), **halves).indices.tolist() == [1]
    for call, message in (
        ({"weights": np.array([1e308, 1e308])}, "queries: row 0: the sum of the weights is beyond float64"),
        (
            {"queries": np.array([[1.0, 1.0], [1e308, -1e308]]), "asymmetric": True},
            "row 1: the sum of the sizes of its",
        ),
    ):
        with pytest.raises(DataError, match=message):
            search(codes, call.pop("queries", query), k=1, device=device, **call)


def test_a_vector_is_at_distance_0_from_itself_and_none_is_nearer(monkeypatch):
    features = np.random.default_rng(0).normal(size=(500, 64)).astype(np.float32)
    features[3] *= np.float32(1e-30)
    codes = dataclasses.replace(noisy_codes(500, 8, 2), features=features)
    assert search(codes, codes, radius=0, by="features").indices.tolist() == list(range(500))
    found = search(codes, codes, k=500, by="features")
    assert found.distances.min() == 0
    unit = features.astype(np.float64) / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    expected = np.take_along_axis(1 - unit @ unit.T, found.indices, 1)
    assert found.distances == pytest.approx(expected, abs=1e-7)
    assert len(search(codes, -features, radius=2, by="features").indices) == 500 * 500
    monkeypatch.setattr(weighted, "KEEP", 0)
    monkeypatch.setattr(weighted, "NUMBERS", 64 * 256 * 3)
    again = search(codes, codes, k=500, by="features")
    assert np.array_equal(again.indices, found.indices)
    assert np.array_equal(again.distances, found.distances)


def test_features_are_turned_to_directions_a_block_at_a_time(monkeypatch):
    features = np.random.default_rng(0).normal(size=(20_000, 256)).astype(np.float32)
    codes = dataclasses.replace(noisy_codes(20_000, 8, 2), features=features)
    monkeypatch.setattr(weighted, "KEEP", 0)
    monkeypatch.setattr(weighted, "NUMBERS", 1 << 17)
    for call in (lambda: search(codes, codes[:300], k=5, by="features", threads=1),):
        tracemalloc.start()
        call()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 20_000 * 256 * 4  # all directions would take twice as much


@pytest.mark.parametrize(
    "options",
    [
        {"weights": np.ones(16)},
        {"asymmetric": True},
        {"device": "cpu:0"},
        {"device": "cpu:0", "weights": np.ones(16)},
        {"by": "features"},
        {},
    ],
)
def test_an_empty_database_has_nothing_within_a_radius(options):
    codes = noisy_codes(5, 16, 2)
    codes = dataclasses.replace(codes, features=np.eye(5, 3) + 1, logits=codes.to_bits() * 2.0 - 1)
    found = search(codes[:0], codes, radius=16, **options)
    assert found.offsets.tolist() == [0] * 6
    assert len(found.indices) == len(found.distances) == 0


@pytest.mark.parametrize("options", [{}, {"weights": np.ones(16)}, {"by": "features"}, {"device": "cpu:0"}])
def test_every_long_search_has_one_bar_that_reaches_its_end(options, monkeypatch):
    bars = []

    @contextlib.contextmanager
    def counter(label, total):
        bars.append([0, total])
        yield lambda done: bars[-1].__setitem__(0, bars[-1][0] + done)

    for module in (scans, weighted, gpu):
        monkeypatch.setattr(module, "LONG", 0)
        monkeypatch.setattr(module, "counter", counter)
    codes = dataclasses.replace(noisy_codes(40, 16, 2), features=np.random.default_rng(0).normal(size=(40, 3)))
    search(codes, codes, k=3, **options)
    assert bars == [[40, 40]]


def test_a_device_that_holds_no_numbers():
    codes = noisy_codes(5, 16, 2)
    with pytest.raises(UsageError, match="device='meta': torch cannot use it"):
        search(codes, codes, k=1, device="meta")


def test_memory_layout_of_queries_does_not_matter():
    codes = noisy_codes(300, 64, 4)
    queries = codes.packed[:20]
    expected = search(codes, queries, k=5).indices
    read_only = queries.copy()
    read_only.flags.writeable = False
    backwards = np.asfortranarray(queries)
    for same in (read_only, backwards, np.repeat(queries, 2, axis=0)[::2]):
        assert np.array_equal(search(codes, same, k=5).indices, expected)


def test_codes_cannot_be_written_to_behind_what_was_made_of_them():
    packed = np.zeros((5, 1), np.uint8)
    codes = Codes(packed, 8)
    search(codes, codes, k=1)
    with pytest.raises(ValueError, match="read-only"):
        codes.packed[0] = 255
    packed[0] = 0  # the caller's own array stays as it was


def test_a_result_says_what_it_is():
    codes = noisy_codes(50, 16, 2)
    found = search(codes, codes[:3], k=2)
    assert str(found) == (
        "top 2 of 3 queries among N = 50 codes of 16 bits, Hamming distance, exact, in order of (distance, row)"
    )
    some = search(codes, codes[:3], k=2, mask=[1, 5, 9], weights=np.ones(16))
    assert "among N = 50 codes of 3 of 16 bits, weighted Hamming distance" in str(some)
    table = found.to_frame()
    assert table.shape == (6, 4)
    assert table["rank"].tolist() == [1, 2] * 3
    assert found.source.sha256 == codes.sha256
    near = search(codes, codes[:3], radius=2)
    assert len(near.to_frame()) == near.offsets[-1]
    assert "all within distance 2" in str(near)
    assert "with everything tied" in str(search(codes, codes[:3], k=2, include_ties=True))
    with pytest.raises(IndexError, match="there are 3"):
        found[3]


def test_empty_queries_and_an_empty_database():
    codes = noisy_codes(20, 16, 2)
    nothing = np.zeros((0, 2), np.uint8)
    assert search(codes, nothing, k=3).indices.shape == (0, 3)
    assert search(codes, nothing, radius=3).offsets.tolist() == [0]
    empty = codes[:0]
    assert search(empty, codes, radius=16).offsets.tolist() == [0] * 21
    with pytest.raises(UsageError, match="k=1: the database has 0 codes"):
        search(empty, codes, k=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 21}, "k=21: the database has 20 codes, expected 1 to 20"),
        ({"k": 0}, "k=0: the database has 20 codes"),
        ({"k": 3, "radius": 2}, "give k or radius, not both"),
        ({"radius": -1}, "radius=-1: expected 0 or more"),
        ({"radius": float("nan")}, "radius=nan: expected 0 or more"),
        ({"radius": 1, "include_ties": True}, "a radius has no last place"),
        ({"mask": np.ones(15, bool)}, r"mask: expected 16 values, one a bit, found shape \[15\]"),
        ({"mask": [3, 16]}, "mask: bit 16: this code has bits 0 to 15"),
        ({"mask": [0.5]}, r"mask: expected bool \[16\] or bit numbers, found float64"),
        ({"mask": []}, "mask: no bit is chosen"),
        ({"weights": np.ones(3)}, r"weights: expected 16 numbers, one a bit, found float64 \[3\]"),
        ({"weights": np.full(16, -1.0)}, "weights: expected finite numbers of 0 or more"),
        ({"device": "abacus"}, "device='abacus': torch cannot use it"),
        ({"threads": 0}, "threads=0: expected 1 or more"),
        ({"threads": 1.5}, "threads=1.5: expected a whole number of 1 or more"),
        ({"k": 2.5}, "k=2.5: expected a whole number"),
        ({"k": "3"}, "k='3': expected a whole number"),
        ({"k": True}, "k=True: expected a whole number"),
        ({"radius": "3"}, "radius='3': expected a number"),
        ({"mask": [1, 0] * 8}, r"mask: found 16 whole numbers 0 and 1, expected them as bool \[16\], or bit numbers"),
        ({"mask": np.ones(16, int)}, "mask: found 16 whole numbers 0 and 1"),
    ],
)
def test_options_that_cannot_be(options, message):
    codes = noisy_codes(20, 16, 2)
    with pytest.raises(UsageError, match=message):
        search(codes, codes[:2], **options)


def test_numbers_0_and_1_are_bits_unless_they_are_as_many_as_the_bits():
    codes = Codes.from_bits([[1, 0], [0, 1]])
    for mask in ([0, 1], [1, 0]):
        with pytest.raises(UsageError, match=r"mask: found 2 whole numbers 0 and 1, expected them as bool \[2\]"):
            search(codes, codes, k=1, mask=mask)
    assert search(codes, codes, k=1, mask=np.array([False, True])).bits == 1
    assert search(noisy_codes(5, 16, 2), noisy_codes(5, 16, 2), k=1, mask=[0, 1]).bits == 2
    with pytest.raises(UsageError, match=r"codes: expected Codes, found a path; load the file first: codelab"):
        search("codes.parquet", codes)


@pytest.mark.parametrize(
    ("queries", "asymmetric", "message"),
    [
        (noisy_codes(2, 24, 2), False, "queries: found codes of 24 bits, the database has 16"),
        (
            np.zeros((2, 3), np.uint8),
            False,
            r"queries: expected uint8 \[Q, 2\] for codes of 16 bits, found uint8 \[2, 3\]",
        ),
        (np.zeros((2, 2), np.int64), False, "found int64"),
        (np.zeros(2, np.uint8), False, r"found uint8 \[2\]"),
        (noisy_codes(2, 16, 2), True, "asymmetric search needs their logits, and they have none"),
        (np.zeros((2, 15)), True, r"queries: expected logits \[Q, 16\]"),
        (np.full((2, 16), np.nan), True, "a logit is NaN or infinite"),
    ],
)
def test_queries_that_do_not_fit(queries, asymmetric, message):
    with pytest.raises(DataError, match=message):
        search(noisy_codes(20, 16, 2), queries, k=1, asymmetric=asymmetric)


def test_pad_bits_of_queries_must_be_zero():
    codes = Codes(pack_bits(np.eye(4, 12)), 12)
    queries = dataclasses.replace(codes).packed.copy()
    queries[1, 1] |= 1
    with pytest.raises(DataError, match="row 1 has pad bits set past bit 11"):
        search(codes, queries, k=1)
