"""Binarisers against geometry, scikit-learn and statistics; streaming; files; what cannot be binarised."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import codelab
from codelab import Binariser, Codes, binarize, retrieval_map
from codelab.cli.main import main
from codelab.core.errors import DataError, UsageError
from codelab.features.file import binarize_file, file_sha256
from codelab.features.fitting import itq_rotation, lower_medians, random_rotation
from codelab.features.moments import moments
from codelab.features.sources import open_features

METHODS = ("sign", "median", "lsh", "pca-rotation", "itq")


def silent(rows):
    pass


def clustered(n=600, d=12, seed=0):
    """Features of unequal spread around a mean far from zero, float32."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, d)) * 2
    values = centres[rng.integers(0, 5, n)] + rng.normal(size=(n, d))
    return (values * np.linspace(3, 0.3, d) + 40).astype(np.float32)


@pytest.fixture(scope="module")
def digits():
    features, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return features[order], labels[order]


@pytest.fixture
def files(tmp_path):
    """The same features as .npy, as any Parquet file, as plain lists, and as a folder of parts."""
    x = clustered()
    np.save(tmp_path / "x.npy", x)
    column = pa.FixedSizeListArray.from_arrays(x.ravel(), x.shape[1])
    ids = pa.array(np.arange(len(x)) + 1000)
    table = pa.table({"id": ids, "emb": column, "tone": [f"t{i % 3}" for i in range(len(x))]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=100)
    pq.write_table(pa.table({"emb": pa.array(list(x.astype(np.float64)))}), tmp_path / "lists.parquet")
    (tmp_path / "parts").mkdir()
    pq.write_table(table.slice(0, 250), tmp_path / "parts" / "0.parquet")
    pq.write_table(table.slice(250), tmp_path / "parts" / "1.parquet")
    return tmp_path


# -- what is fitted ---------------------------------------------------------------------------------------------------


def test_moments_are_those_of_numpy():
    x = clustered().astype(np.float64)
    x[:, 3] = 7.7
    found = moments(open_features(x), covariance=True, block=77, advance=silent)
    x = x.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.T, bias=True), atol=1e-9)
    np.testing.assert_allclose(found.variance, x.var(axis=0), atol=1e-9)
    assert found.variance[3] == 0


def test_moments_survive_a_mean_far_from_zero():
    """Sums about zero in float64 would lose the variance here altogether."""
    small = np.random.default_rng(0).integers(0, 2, (1000, 2)).astype(np.float32)
    found = moments(open_features(small + np.float32(2**23)), covariance=False, block=100, advance=silent)
    np.testing.assert_allclose(found.variance, small.astype(np.float64).var(axis=0), rtol=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
    st.integers(1, 50),
)
def test_medians_are_exact(values, block):
    x = np.array(values, dtype=np.float32)[:, None]
    found = lower_medians(open_features(x), np.array([0]), block=block, advance=silent)
    assert found[0] == np.sort(x[:, 0])[(len(x) - 1) // 2]


@given(st.integers(1, 40), st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_random_rotations_are_orthogonal(size, seed):
    rotation = random_rotation(size, seed)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(size), atol=1e-12)


def test_random_rotations_are_uniform():
    """An entry of a Haar matrix has a square of Beta(1/2, (n - 1)/2), and either sign alike."""
    entries = np.array([random_rotation(4, seed)[1, 2] for seed in range(400)])
    assert stats.kstest(entries**2, stats.beta(0.5, 1.5).cdf).pvalue > 0.01
    assert stats.binomtest(int((entries > 0).sum()), 400).pvalue > 0.01


def quantisation_loss(projected, rotation):
    """||B - V R||^2 an entry, with V of mean square 1: the definition, written out."""
    turned = projected / np.sqrt(np.mean(projected**2)) @ rotation
    return np.mean((np.where(turned > 0, 1, -1) - turned) ** 2)


def test_itq_loss_falls_and_is_what_it_says():
    projected = PCA(8).fit_transform(clustered())
    start = random_rotation(8, 3)
    rotation, losses = itq_rotation(projected, start, iterations=30)
    assert np.all(np.diff(losses) <= 1e-6)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(8), atol=1e-6)
    assert losses[0] == pytest.approx(quantisation_loss(projected, start), abs=1e-5)
    assert losses[-1] == pytest.approx(quantisation_loss(projected, rotation), abs=1e-5)
    assert losses[-1] < quantisation_loss(projected, np.eye(8))  # better than PCA and sign
    assert losses[-1] < losses[0]


def test_itq_finds_the_corners_it_was_turned_from():
    """Corners of a cube, randomly rotated: the best rotation turns them back, and nothing is lost."""
    rng = np.random.default_rng(0)
    corners = np.where(rng.random((500, 4)) < 0.5, -1.0, 1.0)
    turned = corners @ random_rotation(4, 1)
    best = min(itq_rotation(turned, random_rotation(4, seed), iterations=50)[1][-1] for seed in range(5))
    assert best == pytest.approx(0, abs=1e-5)


def test_pca_rotation_spans_the_components_of_scikit_learn():
    x = clustered()
    coder = binarize(x, 5, method="pca-rotation")
    reference = PCA(5).fit(x.astype(np.float64))
    ours = coder.rotation.astype(np.float64)
    np.testing.assert_allclose(ours.T @ ours, np.eye(5), atol=1e-5)
    np.testing.assert_allclose(ours @ ours.T, reference.components_.T @ reference.components_, atol=1e-4)
    turn = reference.components_ @ ours  # the rotation itself, up to the sign of a component
    np.testing.assert_allclose(turn.T @ turn, np.eye(5), atol=1e-4)
    np.testing.assert_allclose(coder.logits(x), reference.transform(x) @ turn, atol=1e-2)


def test_itq_starts_from_the_rotation_of_pca_rotation():
    x = clustered()
    rotated, itq = binarize(x, 6, method="pca-rotation", seed=4), binarize(x, 6, seed=4)
    projected = (x - rotated.centre) @ rotated.rotation
    assert itq.losses[0] == pytest.approx(quantisation_loss(projected, np.eye(6)), abs=1e-4)
    assert itq.losses[-1] < itq.losses[0]


@pytest.mark.parametrize("degrees", [15, 60, 90, 150])
def test_lsh_distance_estimates_the_angle(degrees):
    """Charikar: each hyperplane parts two vectors with probability angle / pi, so distance is binomial."""
    bits, angle, d = 4000, np.radians(degrees), 6
    frame = random_rotation(d, 0)
    pair = np.stack([frame[0], np.cos(angle) * frame[0] + np.sin(angle) * frame[1]])
    features = np.concatenate([pair, -pair]) + 9  # the mean is at 9 in every dimension
    codes = np.unpackbits(binarize(features, bits, method="lsh", seed=degrees).encode(features), axis=1)
    apart = int((codes[0] != codes[1]).sum())
    assert stats.binomtest(apart, bits, degrees / 180).pvalue > 1e-3
    np.testing.assert_array_equal(codes[0], 1 - codes[2])


def test_median_bits_are_balanced():
    x = np.random.default_rng(0).gamma(0.3, size=(999, 8))
    bits = np.unpackbits(binarize(x, 8, method="median").encode(x), axis=1)
    assert bits.sum(axis=0).tolist() == [499] * 8


def test_sign_and_median_read_the_widest_dimensions():
    x = np.random.default_rng(0).normal(size=(200, 6)) * [1, 5, 0.1, 4, 0, 3]
    coder = binarize(x, 3, method="sign")
    assert coder.columns.tolist() == [1, 3, 5]
    np.testing.assert_array_equal(coder.logits(x), x[:, [1, 3, 5]].astype(np.float32))
    assert binarize(x, 5, method="median").columns.tolist() == [0, 1, 2, 3, 5]  # never the constant one


# -- how it is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_streaming_gives_what_memory_gives(method, files):
    x = clustered()
    whole = binarize(x, 8, method=method, block=10**6)
    sources = [x, np.load(files / "x.npy", mmap_mode="r"), files / "x.npy", str(files / "x.parquet")]
    sources += [files / "lists.parquet", files / "parts", np.asfortranarray(x), Codes.from_bits(x > 40, features=x)]
    for source in sources:
        coder = binarize(source, 8, method=method, block=97)
        np.testing.assert_allclose(coder.centre, whole.centre, rtol=1e-6)
        if method in ("sign", "median"):
            assert coder.columns.tolist() == whole.columns.tolist()
        else:
            np.testing.assert_allclose(coder.rotation, whole.rotation, atol=2e-5)
        margins = whole.logits(x)
        np.testing.assert_allclose(coder.logits(source), margins, atol=2e-3)
        clear = np.packbits(np.abs(margins) > 2e-3, axis=1)
        np.testing.assert_array_equal(coder.encode(source) & clear, whole.encode(x) & clear)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_codes(method):
    x = clustered()
    one, again, other = (binarize(x, 8, method=method, seed=seed, sample=300) for seed in (5, 5, 6))
    assert one.sha256 == again.sha256
    np.testing.assert_array_equal(one.encode(x), again.encode(x))
    assert (one.encode(x) == other.encode(x)).all() == (method in ("sign", "median"))


def test_half_precision_and_integers_are_read():
    x = np.random.default_rng(0).integers(-9, 9, (300, 5))
    expected = binarize(x.astype(np.float32), 4).encode(x)
    for kind in (np.float16, np.int8, np.float64):
        np.testing.assert_array_equal(binarize(x.astype(kind), 4).encode(x.astype(kind)), expected)


def peak_memory(path, method):
    """The most memory, in MB, of a process that fits and codes a file."""
    script = r"""
import re, sys
from pathlib import Path
from codelab import binarize
coder = binarize(sys.argv[1], 16, method=sys.argv[2], block=2048, sample=5000, iterations=3)
coder.encode(sys.argv[1])
# not ru_maxrss: that starts at the peak of the process that started this one
print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""
    command = [sys.executable, "-c", script, str(path), method]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def small_and_large(tmp_path_factory):
    """A file of 3 MB and one of 150 MB, as .npy and as Parquet of one row group."""
    folder = tmp_path_factory.mktemp("large")
    for name, rows in (("small", 5_000), ("large", 300_000)):
        values = np.random.default_rng(0).standard_normal((rows, 128), dtype=np.float32)
        np.save(folder / f"{name}.npy", values)
        column = pa.FixedSizeListArray.from_arrays(values.ravel(), 128)
        table = pa.table({"emb": column})
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=rows, use_dictionary=False)
    yield folder
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(("method", "ending"), [("itq", "npy"), ("itq", "parquet"), ("median", "npy")])
def test_memory_does_not_grow_with_the_file(method, ending, small_and_large):
    small, large = (peak_memory(small_and_large / f"{name}.{ending}", method) for name in ("small", "large"))
    assert large - small < 64, (small, large)


# -- what the codes are worth -----------------------------------------------------------------------------------------


def code_map(coder, features, labels, split=1400):
    def codes(part):
        return Codes.from_packed(coder.encode(features[part]), coder.bits, labels[part])

    return retrieval_map(codes(slice(split, None)), codes(slice(split))).value


def test_codes_of_digits_retrieve(digits):
    """Chance is .10; PCA rotated beats it, and ITQ beats random hyperplanes and PCA rotated, over three seeds."""
    features, labels = digits
    found = {
        method: np.mean([code_map(binarize(features[:1400], 32, method=method, seed=s), *digits) for s in range(3)])
        for method in ("lsh", "pca-rotation", "itq")
    }
    chance = np.mean(np.bincount(labels) / len(labels))
    assert found["pca-rotation"] > 3 * chance
    assert found["itq"] >= found["lsh"]
    assert found["itq"] > found["pca-rotation"]


# -- saved and loaded -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded(method, tmp_path):
    x = clustered()
    coder = binarize(x, 10, method=method, seed=2)
    coder.save(tmp_path / "coder.npz")
    loaded = Binariser.load(tmp_path / "coder.npz")
    assert loaded.sha256 == coder.sha256
    assert (loaded.method, loaded.bits, loaded.seed, loaded.rows) == (method, 10, 2, 600)
    assert loaded.losses == coder.losses
    np.testing.assert_array_equal(loaded.encode(x), coder.encode(x))


def test_logits_say_what_encode_packs():
    x = clustered()
    coder = binarize(x, 11)
    np.testing.assert_array_equal(codelab.pack_bits(coder.logits(x) > 0), coder.encode(x))
    assert coder.logits(x[:0]).shape == (0, 11)
    assert coder.encode(x[:0]).shape == (0, 2)


def test_files_that_are_no_binariser(tmp_path):
    coder = binarize(clustered(), 4)
    coder.save(tmp_path / "good.npz")
    arrays = dict(np.load(tmp_path / "good.npz"))
    header = json.loads(str(arrays["header"]))

    def saved(**changes):
        np.savez(tmp_path / "bad.npz", **{**arrays, **changes})
        return tmp_path / "bad.npz"

    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, header=np.array([{}], dtype=object))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:200])
    np.savez(tmp_path / "other.npz", codes=np.eye(3))
    np.save(tmp_path / "array.npy", np.eye(3))
    for path in (pickled, tmp_path / "cut.npz", tmp_path / "other.npz", tmp_path / "array.npy"):
        with pytest.raises(DataError, match="not a whole file of a codelab binariser"):
            Binariser.load(path)
    with pytest.raises(UsageError, match="no such file"):
        Binariser.load(tmp_path / "none.npz")
    with pytest.raises(UsageError, match=r"expected a name ending in \.npz"):
        coder.save(tmp_path / "coder.pt")
    with pytest.raises(DataError, match=r"rotation \[12, 3\] do not make a finite itq of 4 bits"):
        Binariser.load(saved(rotation=arrays["rotation"][:, :3]))
    with pytest.raises(DataError, match="do not make a finite itq"):
        Binariser.load(saved(centre=np.full(12, np.nan)))
    with pytest.raises(DataError, match="do not make a finite itq"):
        Binariser.load(saved(columns=np.arange(4)))
    with pytest.raises(DataError, match="another format"):
        Binariser.load(saved(header=np.array(json.dumps({**header, "format": 9}))))


# -- what cannot be done ----------------------------------------------------------------------------------------------


def test_calls_that_cannot_be():
    x = clustered()
    for call, message in [
        ({"method": "pca"}, "method 'pca', expected one of sign, median, lsh, pca-rotation, itq, hashcoder"),
        ({"method": "hashcoder"}, "use training.fit_coder"),
        ({"bits": 0}, "bits is 0, expected 1 or more"),
        ({"iterations": 0}, "iterations is 0, expected 1 or more"),
        ({"column": "emb"}, "only a Parquet file has columns, found ndarray"),
    ]:
        with pytest.raises(UsageError, match=message):
            binarize(x, **{"bits": 4, **call})
    for method in ("sign", "median"):
        with pytest.raises(DataError, match=f"features: 12 of 12 dimensions vary, .* 13 bits of {method}"):
            binarize(x, 13, method=method)
    for method in ("pca-rotation", "itq"):
        with pytest.raises(DataError, match=r"600 rows of 12 dimensions vary along 12 directions, .* 13 bits"):
            binarize(x, 13, method=method)
    assert binarize(x, 100, method="lsh").encode(x).shape == (600, 13)


def test_fewer_rows_than_bits():
    x = clustered()[:5]
    with pytest.raises(DataError, match=r"5 rows of 12 dimensions vary along 4 directions, expected .* 8 bits"):
        binarize(x, 8)
    assert binarize(x, 4).encode(x).shape == (5, 1)
    for method in ("sign", "median", "lsh"):
        assert binarize(x, 8, method=method).encode(x).shape == (5, 1)


@pytest.mark.parametrize("method", METHODS)
def test_one_row_and_rows_all_alike(method):
    with pytest.raises(DataError, match="features: found 1 rows, expected at least 2"):
        binarize(clustered()[:1], 1, method=method)
    with pytest.raises(DataError, match="features: all 50 rows are alike"):
        binarize(np.full((50, 4), 0.1), 1, method=method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite(method, value):
    x = clustered().astype(np.float64)
    coder = binarize(x, 4, method=method)
    x[501, 7] = value
    for call in (lambda: binarize(x, 4, method=method, block=100), lambda: coder.encode(x)):
        with pytest.raises(DataError) as error:
            call()
        assert str(error.value) == (
            f"features: row 501, column 7 is {value}, expected a finite number in the range of float32"
        )


def test_constant_dimensions_change_nothing():
    x = clustered()
    wide = np.concatenate([x, np.full((600, 3), 5.5, np.float32)], axis=1)
    for method in ("median", "pca-rotation", "itq"):
        plain, padded = binarize(x, 8, method=method), binarize(wide, 8, method=method)
        same = np.abs(plain.logits(x)) > 1e-3
        np.testing.assert_array_equal((padded.logits(wide) > 0)[same], (plain.logits(x) > 0)[same])


def test_things_that_are_not_features(tmp_path, files):
    np.save(tmp_path / "flat.npy", np.arange(5.0))
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no")
    (tmp_path / "text.parquet").write_text("no")
    (tmp_path / "empty").mkdir()
    pq.write_table(pa.table({"a": [1.0], "b": ["x"]}), tmp_path / "flat.parquet")
    pq.write_table(pa.table({"a": [[1.0], [1.0, 2.0]]}), tmp_path / "ragged.parquet")
    pq.write_table(pa.table({"a": [[1.0], None]}), tmp_path / "null.parquet")
    pq.write_table(pa.table({"a": [[1.0, 2.0]], "b": [[1.0]]}), tmp_path / "two.parquet")
    Codes.from_bits(np.eye(3), logits=np.eye(3) - 0.5).save(tmp_path / "codes.parquet")
    for kind, source, message in [
        (UsageError, "none.npy", "no such file or folder"),
        (UsageError, "x.csv", "no such file or folder"),
        (DataError, "flat.npy", r"expected numbers \[N, d\], found float64 \[5\]"),
        (DataError, "words.npy", r"expected numbers \[N, d\], found <U1 \[1, 2\]"),
        (DataError, "objects.npy", "not a whole NumPy file of plain numbers"),
        (DataError, "text.npy", "not a whole NumPy file of plain numbers"),
        (DataError, "text.parquet", "not a whole Parquet file"),
        (DataError, "empty", "a folder without .parquet files"),
        (UsageError, "flat.parquet", "expected one column of lists of numbers, found a, b"),
        (UsageError, "two.parquet", "found the columns a, b; name one"),
        (DataError, "ragged.parquet", "column 'a': row 1 has 2 numbers, row 0 has 1"),
        (DataError, "null.parquet", "column 'a': row 1 is empty"),
        (DataError, "codes.parquet", "codes without features; export them with --features"),
    ]:
        with pytest.raises(kind, match=message):
            binarize(tmp_path / source, 1)
    with pytest.raises(UsageError, match="no column 'nope'; found id, emb, tone"):
        binarize(files / "x.parquet", 1, column="nope")
    with pytest.raises(DataError, match="column 'tone' is string, expected lists of numbers"):
        binarize(files / "x.parquet", 1, column="tone")
    with pytest.raises(DataError, match="found 3 dimensions, this itq coder takes 12"):
        binarize(clustered(), 4).encode(np.eye(3))
    with pytest.raises(DataError, match="these codes have none"):
        binarize(Codes.from_bits(np.eye(3)), 1)


# -- files of codes ---------------------------------------------------------------------------------------------------


def test_codes_of_codes_keep_items_and_labels(tmp_path):
    x = clustered()
    bits = x > 40
    old = Codes.from_bits(
        bits,
        labels=np.where(np.arange(600) % 7 == 0, -1, np.arange(600) % 4),
        classes=["a", "b", "c", "d", "never"],
        items={"id": [f"item{i}" for i in range(600)], "split": ["train", "test"] * 300, "size": range(600)},
        logits=x - 40,
        features=x,
        meta={"encoder": {"name": "vit", "sha256": "1f", "path": None}, "data": {"name": "mine"}},
    )
    old.save(tmp_path / "old.parquet")
    coder = binarize(tmp_path / "old.parquet", 9)
    assert binarize_file(tmp_path / "old.parquet", coder, tmp_path / "new.parquet", block=101, features=True) == 600
    new = codelab.load(tmp_path / "new.parquet")
    np.testing.assert_array_equal(new.packed, coder.encode(x))
    np.testing.assert_array_equal(new.labels, old.labels)
    np.testing.assert_array_equal(new.features, x)
    assert new.logits is None
    assert new.classes == old.classes
    assert new.items.equals(old.items)
    assert new.meta["encoder"] == {"name": "itq", "sha256": coder.sha256, "path": None}
    assert new.meta["features"] == {"encoder": {"name": "vit", "sha256": "1f", "path": None}}
    assert new.meta["data"] == {"name": "mine"}
    digest = file_sha256(tmp_path / "old.parquet")
    source = {"source": "old.parquet", "source_sha256": digest}
    assert new.meta["binarize"] == {"method": "itq", "bits": 9, "seed": 0, **source}
    again = tmp_path / "again.parquet"
    binarize_file(tmp_path / "new.parquet", binarize(tmp_path / "new.parquet", 3), again)
    assert codelab.load(again).meta["features"] == {"encoder": {"name": "vit", "sha256": "1f", "path": None}}


def test_multilabel_codes_stay_multilabel(tmp_path):
    x = clustered()
    labels = np.random.default_rng(0).random((600, 3)) < 0.4
    Codes.from_bits(x > 40, labels=labels, features=x).save(tmp_path / "old.parquet")
    binarize_file(tmp_path / "old.parquet", binarize(x, 4), tmp_path / "new.parquet", block=250)
    np.testing.assert_array_equal(codelab.load(tmp_path / "new.parquet").labels, labels)


def test_codes_of_any_parquet_keep_plain_columns(files):
    x = clustered()
    coder = binarize(x, 9)
    binarize_file(files / "x.parquet", coder, files / "codes.parquet", logits=True, block=64)
    codes = codelab.load(files / "codes.parquet")
    np.testing.assert_array_equal(codes.packed, coder.encode(x))
    np.testing.assert_allclose(codes.logits, coder.logits(x).astype(np.float16), rtol=2e-3, atol=1e-2)
    assert codes.items.column_names == ["id", "tone"]
    assert codes.items["id"][599].as_py() == "1599"
    assert codes.items["tone"][4].as_py() == "t1"
    assert not codes.labelled
    binarize_file(files / "parts", coder, files / "codes2.parquet")
    assert codelab.load(files / "codes2.parquet").items.equals(codes.items)


def test_a_label_column_becomes_the_labels(tmp_path):
    x = clustered()[:6]
    vectors = pa.array(list(x))
    for column, labels, classes in [
        ([2, 0, 1, 2, 0, None], [2, 0, 1, 2, 0, -1], ("0", "1", "2")),
        (["cat", "ant", None, "cat", "bee", "ant"], [2, 0, -1, 2, 1, 0], ("ant", "bee", "cat")),
    ]:
        pq.write_table(pa.table({"x": vectors, "label": column}), tmp_path / "x.parquet")
        binarize_file(tmp_path / "x.parquet", binarize(x, 3), tmp_path / "codes.parquet", block=4)
        codes = codelab.load(tmp_path / "codes.parquet")
        assert (codes.labels.tolist(), codes.classes) == (labels, classes)
        assert codes.items["id"].to_pylist() == ["0", "1", "2", "3", "4", "5"]


def test_the_command(files, capsys):
    x, names = clustered(), np.array(["ant", "bee", "cat"])[np.arange(600) % 3]
    np.save(files / "labels.npy", names)
    out, saved = files / "out.parquet", files / "itq.npz"
    call = ["binarize", files / "x.npy", "--bits", "10", "--out", out, "--labels", files / "labels.npy"]
    assert main([*map(str, call), "--seed", "3", "--save-coder", str(saved)]) == 0
    assert capsys.readouterr().out == f"{out}: 600 codes of 10 bits by itq\n"
    codes = codelab.load(out)
    np.testing.assert_array_equal(codes.packed, binarize(x, 10, seed=3).encode(x))
    assert [codes.classes[label] for label in codes.labels] == names.tolist()
    assert codes.meta["binarize"]["seed"] == 3
    again = files / "again.parquet"
    assert main(["binarize", str(files / "x.parquet"), "--coder", str(saved), "--out", str(again)]) == 0
    np.testing.assert_array_equal(codelab.load(again).packed, codes.packed)


def test_the_command_trains_a_coder(files, capsys):
    out, saved = files / "out.parquet", files / "coder.safetensors"
    call = ["binarize", files / "x.npy", "--method", "hashcoder", "--bits", "10", "--out", out, "--save-coder", saved]
    assert main([*map(str, call)]) == 0
    assert capsys.readouterr().out == f"{out}: 600 codes of 10 bits by hashcoder\n"
    assert main(["binarize", str(files / "x.npy"), "--coder", str(saved), "--out", str(files / "b.parquet")]) == 0
    one, two = codelab.load(out), codelab.load(files / "b.parquet")
    np.testing.assert_array_equal(one.packed, two.packed)
    assert one.meta["encoder"] == two.meta["encoder"]


def test_calls_of_the_command_that_fail(files, capsys):
    np.save(files / "short.npy", np.arange(5))
    (files / "bad.npz").write_text("no")
    before = sorted(files.rglob("*"))
    x, out = str(files / "x.npy"), str(files / "o.parquet")
    for code, call, message in [
        (2, [x, "--out", str(files / "o.csv")], "expected a name ending in .parquet"),
        (2, [str(files / "x.parquet"), "--out", str(files / "x.parquet")], "lies where the features are read from"),
        (2, [str(files / "parts"), "--out", str(files / "parts" / "o.parquet")], "lies where the features are read"),
        (2, ["none.npy", "--out", out], "none.npy: no such file or folder"),
        (2, [x, "--out", out, "--method", "deep"], "method 'deep', expected one of"),
        (1, [x, "--out", out, "--bits", "99"], "vary along 12 directions"),
        (1, [x, "--out", out, "--bits", "4", "--labels", str(files / "short.npy")], "one label for each of 600 rows"),
        (2, [x, "--out", out, "--bits", "4", "--labels", "none.npy"], "none.npy: no such file"),
        (2, [x, "--out", out, "--save-coder", "c.pt"], "saved under a name ending in .npz"),
        (
            2,
            [x, "--out", out, "--coder", "c.npz", "--bits", "4"],
            "--coder names a coder that is fitted already, found --bits too",
        ),
        (1, [x, "--out", out, "--coder", str(files / "bad.npz")], "not a whole file of a codelab binariser"),
    ]:
        assert main(["binarize", *call]) == code, call
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1
        assert message in said.err
    assert sorted(files.rglob("*")) == before  # nothing half written is left


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["binarize", "--help"])
    assert stop.value.code == 0
    assert "codelab binarize features.npy --bits 256" in capsys.readouterr().out
