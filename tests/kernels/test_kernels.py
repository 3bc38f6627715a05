"""Kernels against plain NumPy, for every width, thread count, block size and cut of the database."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.kernels import counting, loops
from codelab.neighbours import hamming as scans
from codelab.neighbours.hamming import Scan
from tests.support.rank_oracles import AWAY, hamming, ordered

QUICK = settings(max_examples=60, deadline=None)
WIDTHS = st.one_of(st.sampled_from([1, 7, 8, 63, 64, 65, 128, 192, 256, 257, 512, 1100]), st.integers(1, 1100))
SIZES = st.one_of(st.sampled_from([0, 1, 2, 511, 512, 513, 1025]), st.integers(0, 1300))
SHARES = st.sampled_from([0.0, 0.02, 0.5, 1.0])
SEEDS = st.integers(0, 2**32 - 1)


def bits_of(n: int, bits: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, bits)) < share


def packed_of(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, axis=1).reshape(len(bits), (bits.shape[1] + 7) // 8)


@given(WIDTHS, SIZES, SHARES, SEEDS, st.sampled_from([1, 2, 3]))
@QUICK
def test_counts_of_bits_classes_and_pairs(width, n, share, seed, threads):
    bits = bits_of(n, width, share, seed)
    packed = packed_of(bits)
    labels = np.random.default_rng(seed).integers(-1, 4, n)
    assert np.array_equal(counting.column_counts(packed, width, threads=threads), bits.sum(axis=0))
    by_class = np.stack([bits[labels == c].sum(axis=0) for c in range(4)])
    assert np.array_equal(counting.class_counts(packed, width, labels, 4, threads=threads), by_class)
    both = bits.T.astype(int) @ bits.astype(int)
    assert np.array_equal(counting.pair_counts(packed, width, threads=threads), both)


@pytest.mark.parametrize(
    "count",
    [
        counting.column_counts,
        counting.pair_counts,
        lambda packed, bits: counting.class_counts(packed, bits, np.zeros(len(packed), int), 1),
    ],
)
def test_codes_of_another_width_are_refused(count):
    packed = np.zeros((5, 8), np.uint8)
    for bits in (1, 56, 65, 4096):
        with pytest.raises(
            DataError, match=rf"expected uint8 \[N, {(bits + 7) // 8}\] for {bits} bits, found uint8 \[5, 8\]"
        ):
            count(packed, bits)
    for wrong, found in (
        (packed.astype(float), r"float64 \[5, 8\]"),
        (packed[0], r"uint8 \[8\]"),
        ([[0] * 8], "list"),
    ):
        with pytest.raises(DataError, match=f"expected uint8 .* for 64 bits, found {found}"):
            count(wrong, 64)
    for bits in (0, -1, 64.0):
        with pytest.raises(UsageError, match=f"bits={bits}: expected"):
            count(packed, bits)


def test_labels_that_are_no_class_numbers_are_refused():
    packed = np.full((3, 1), 0x80, np.uint8)
    for labels, found in (([0.0, 1, 2], r"float64 \[3\]"), ([np.nan] * 3, "float64"), ([[0], [1], [2]], r"\[3, 1\]")):
        with pytest.raises(DataError, match=f"class_counts: expected whole numbers .* found .*{found}"):
            counting.class_counts(packed, 1, np.array(labels), 3)
    for label in (3, 2**32):
        with pytest.raises(UsageError, match=f"found label {label}, expected less than 3"):
            counting.class_counts(packed, 1, np.array([0, 1, label]), 3)
    assert counting.class_counts(packed, 1, np.array([0, -(2**32), 1]), 3).tolist() == [[1], [1], [0]]


def test_codes_are_counted_where_they_lie():
    packed = packed_of(bits_of(20, 128, 0.5, 1))
    packed.flags.writeable = False
    assert np.shares_memory(counting.as_words(packed), packed)
    assert not packed.flags.writeable
    fixed = np.frombuffer(packed.tobytes(), np.uint8).reshape(packed.shape)
    assert np.array_equal(counting.as_words(fixed), counting.as_words(packed))


def test_byte_counters_do_not_overflow():
    ones = np.full((70_000, 3), 0xFF, np.uint8)
    assert counting.column_counts(ones, 24).tolist() == [70_000] * 24
    labels = np.arange(70_000) % 2
    assert counting.class_counts(ones, 24, labels, 2, threads=2).tolist() == [[35_000] * 24] * 2


@pytest.mark.parametrize("layout", ["read-only", "strided", "unaligned"])
def test_any_memory_layout_counts_alike(layout):
    bits = bits_of(200, 64, 0.4, 1)
    packed = packed_of(bits)
    if layout == "read-only":
        packed.flags.writeable = False
    elif layout == "strided":
        packed = np.repeat(packed, 2, axis=0)[::2]
    else:
        packed = np.frombuffer(b"\0" + packed.tobytes(), np.uint8)[1:].reshape(packed.shape)
    assert np.array_equal(counting.column_counts(packed, 64), bits.sum(axis=0))
    assert np.array_equal(counting.pair_counts(packed, 64), bits.T.astype(int) @ bits.astype(int))
    codes = Codes(packed, 64)
    assert np.array_equal(Scan.of(codes).distances(packed), hamming(bits, bits))


def test_labels_beyond_the_classes_are_refused():
    with pytest.raises(UsageError, match="found label 3, expected less than 3"):
        counting.class_counts(np.zeros((2, 1), np.uint8), 8, np.array([0, 3]), 3)
    with pytest.raises(UsageError, match="found 1 labels for 2 codes"):
        counting.class_counts(np.zeros((2, 1), np.uint8), 8, np.array([0]), 3)
    with pytest.raises(UsageError, match="threads=0"):
        counting.column_counts(np.zeros((2, 1), np.uint8), 8, threads=0)


@pytest.fixture
def share_small_work(monkeypatch):
    """Threads and parts of the database even where the work would be too small for them."""
    monkeypatch.setattr(scans, "SMALL", -1)


@st.composite
def scan_cases(draw):
    width, n, q = draw(WIDTHS), draw(st.one_of(st.sampled_from([1, 512, 513]), st.integers(1, 2100))), draw(SIZES) % 70
    seed = draw(SEEDS)
    generator = np.random.default_rng(seed)
    database, queries = bits_of(n, width, draw(SHARES), seed), bits_of(q, width, draw(SHARES), seed + 1)
    keep = None
    if draw(st.booleans()):
        keep = generator.random(width) < draw(st.sampled_from([0.05, 0.5]))
        keep[generator.integers(width)] = True
    owner = query_owner = None
    if draw(st.booleans()):
        owner = generator.integers(0, 4, n).astype(np.int32)
        query_owner = generator.integers(0, 4, q).astype(np.int32)
    cut = draw(st.sampled_from([1, 2, 5])), draw(st.sampled_from([4, 12, 64]))
    return database, queries, keep, owner, query_owner, cut, generator


@given(scan_cases())
@QUICK
@pytest.mark.usefixtures("share_small_work")
def test_scans_against_all_distances(case):
    database, queries, keep, owner, query_owner, (threads, block), generator = case
    n, width, q = len(database), database.shape[1], len(queries)
    used = np.ones(width, bool) if keep is None else keep
    distances = hamming(queries[:, used], database[:, used])
    out = np.zeros((q, n), bool) if owner is None else query_owner[:, None] == owner
    ranked = np.where(out, AWAY, distances)
    packed = packed_of(queries)
    scan = Scan.of(Codes.from_bits(database), keep=keep, owner=owner, threads=threads, block=block)
    assert np.array_equal(scan.distances(packed), distances)

    k = int(generator.integers(1, n + 1))
    far, rows = scan.nearest(packed, k, query_owner)
    first = ordered(ranked, k)
    expected = np.take_along_axis(ranked, first, 1)
    assert np.array_equal(far, np.where(expected == AWAY, -1, expected))
    assert np.array_equal(rows, np.where(expected == AWAY, -1, first))

    radius = generator.integers(-1, width + 2, q)
    far, rows, offsets = scan.within(packed, radius, query_owner)
    for i in range(q):
        near = [row for row in ordered(ranked[i]) if ranked[i, row] <= radius[i]]
        assert rows[offsets[i] : offsets[i + 1]].tolist() == near
        assert far[offsets[i] : offsets[i + 1]].tolist() == ranked[i, near].tolist()

    labels, query_labels = generator.integers(-1, 3, n).astype(np.int32), generator.integers(-1, 3, q).astype(np.int32)
    at = generator.integers(0, width + 1, q)
    votes = scan.votes(packed, at, labels, 3, query_owner)
    same = (query_labels[:, None] == labels) & (query_labels[:, None] >= 0)
    counts = scan.histograms(packed, labels, query_labels, query_owner=query_owner)
    for i in range(q):
        assert votes[i].tolist() == [int(((ranked[i] == at[i]) & (labels == c)).sum()) for c in range(3)]
        for grade in (0, 1):
            hits = ranked[i, (same[i] == grade) & ~out[i]]
            assert np.array_equal(counts[i, grade], np.bincount(hits, minlength=scan.bits + 1))


@given(scan_cases(), st.integers(1, 90), st.integers(1, 4))
@QUICK
@pytest.mark.usefixtures("share_small_work")
def test_histograms_of_items_with_several_labels(case, classes, top):
    database, queries, keep, owner, query_owner, (threads, block), generator = case
    used = np.ones(database.shape[1], bool) if keep is None else keep
    labels = generator.random((len(database), classes)) < 0.1
    query_labels = generator.random((len(queries), classes)) < 0.1
    scan = Scan.of(Codes.from_bits(database), keep=keep, owner=owner, threads=threads, block=block)
    counts = scan.histograms(packed_of(queries), labels, query_labels, top=top, query_owner=query_owner)
    distances = hamming(queries[:, used], database[:, used])
    grades = np.minimum(query_labels.astype(int) @ labels.T.astype(int), top)
    for i in range(len(queries)):
        kept = np.ones(len(database), bool) if owner is None else owner != query_owner[i]
        for grade in range(top + 1):
            hits = distances[i, (grades[i] == grade) & kept]
            assert np.array_equal(counts[i, grade], np.bincount(hits, minlength=scan.bits + 1))


def test_histograms_of_parts_add_up():
    database, queries = bits_of(1500, 96, 0.5, 0), bits_of(20, 96, 0.5, 1)
    labels, query_labels = np.arange(1500, dtype=np.int32) % 7, np.arange(20, dtype=np.int32) % 7
    parts = [
        Scan.of(Codes.from_bits(database[rows])).histograms(packed_of(queries), labels[rows], query_labels)
        for rows in (slice(0, 700), slice(700, 701), slice(701, 1500))
    ]
    whole = Scan.of(Codes.from_bits(database)).histograms(packed_of(queries), labels, query_labels)
    assert np.array_equal(sum(parts), whole)


def test_limits_of_a_scan_are_named():
    codes = Codes.from_bits(np.zeros((2, 16_384)))
    with pytest.raises(UsageError, match=r"found 16384 bits, Hamming scans go to 16383"):
        Scan.of(codes)
    with pytest.raises(UsageError, match="block=6"):
        Scan.of(codes.select_bits(range(8)), block=6)
    short = Codes.from_bits(np.zeros((2, 1000)))
    with pytest.raises(UsageError, match="40 grades at 1000 bits: expected at most 31"):
        Scan.of(short).histograms(short.packed, np.ones((2, 50), bool), np.ones((2, 50), bool), top=40)


def test_import_is_light_and_compilation_is_announced_once(tmp_path: Path):
    script = (
        "import sys, codelab, codelab.analysis, codelab.retrieval.measures, codelab.kernels.counting\n"
        "print(sorted({'numba', 'torch', 'pandas'} & set(sys.modules)))\n"
        "import numpy as np\n"
        "print(codelab.kernels.counting.column_counts(np.array([[255]], np.uint8), 8).sum())\n"
        "print(codelab.kernels.counting.pair_counts(np.array([[255]], np.uint8), 8).sum())\n"
    )
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split("\n")[:3] == ["[]", "8", "64"]
        said.append(done.stderr)
    assert said[0].count("compiling") == 1  # once, though several loops are compiled
    assert said[1] == ""  # they were kept on disk


def test_modules_of_loops_are_imported_one_at_a_time(monkeypatch):
    """Two threads that import numba at once can wait for each other for ever."""
    imported, inside, together = loops._imported, threading.Semaphore(1), []

    def watched(module):
        together.append(not inside.acquire(blocking=False))
        time.sleep(0.02)
        inside.release()
        return imported(module)

    monkeypatch.setattr(loops, "_imported", watched)
    for name in loops.__all__:
        monkeypatch.delitem(vars(loops), name, raising=False)
    with ThreadPoolExecutor(len(loops.__all__)) as pool:
        modules = list(pool.map(lambda name: getattr(loops, name), loops.__all__))
    assert [module.__name__ for module in modules] == [f"codelab.kernels._{name}" for name in loops.__all__]
    assert together == [False] * len(loops.__all__)
    assert set(loops.__all__) <= set(vars(loops))  # plain attributes from now on


@pytest.mark.parametrize("name", ["_scan", "scans", "njit"])
def test_loops_that_do_not_exist(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
        getattr(loops, name)


def test_popcounts_are_vectors_where_the_machine_has_them(tmp_path: Path):
    script = (
        "import numpy as np, llvmlite.binding as llvm\n"
        "from codelab.kernels import _scan as loops\n"
        "tile, q, lanes = np.zeros((4, 512), np.uint64), np.zeros((4, 4), np.uint64), np.empty(512, np.uint64)\n"
        "loops._four_words(tile, 0, q, True, np.uint64(0), lanes)\n"
        "print(any('vpopcntq' in text for text in loops._four_words.inspect_asm().values()))\n"
        "print(llvm.get_host_cpu_features().get('avx512vpopcntdq', False))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    used, there = done.stdout.split()
    assert used == there


def test_loops_compile_where_nothing_can_be_kept_on_disk(tmp_path: Path):
    """A read-only installation and no home: results go to a temporary folder instead of failing, while it runs."""
    script = (
        "from numba.core import caching\n"
        "class Nowhere(caching.UserProvidedCacheLocator):\n"
        "    pass\n"
        "caching.CacheImpl._locator_classes = [Nowhere]\n"
        "import numpy as np\n"
        "from codelab.kernels.counting import column_counts\n"
        "print(column_counts(np.array([[255]], np.uint8), 8).sum())\n"
        "import pathlib, tempfile\n"
        "print(len(list(pathlib.Path(tempfile.gettempdir()).glob('codelab-*/**/*.nbi'))) > 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["8", "True"], done.stderr
    assert not list(tmp_path.glob("codelab-*"))
