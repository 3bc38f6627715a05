"""Maps: the trustworthiness against scikit-learn's, planted clusters and coin flips, and calls that cannot work."""

import dataclasses
import json
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.manifold import trustworthiness as of_sklearn
from sklearn.metrics import silhouette_score

import codelab
from codelab import Codes, DataError, UsageError, project
from codelab.cli.main import main
from codelab.core.disk_cache import cache_folder
from codelab.neighbours import graph as graph_module
from codelab.neighbours import projection
from codelab.neighbours.graph import neighbour_graph
from codelab.neighbours.layout import principal_start
from codelab.neighbours.projection import shuffled_bits
from codelab.neighbours.trustworthiness import trustworthiness
from tests.support.synthetic import fair_bits, near_copies, prototypes


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODELAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def hamming(codes):
    bits = codes.to_bits().astype(int)
    return (bits[:, None] != bits[None]).sum(-1).astype(float)


CLUSTERS = prototypes(150, classes=3, bits=64, flip=0.1)
COINS = fair_bits(150, 64)


@pytest.fixture(scope="module")
def maps():
    kinds = [(method, dims) for method in ("umap", "tsne") for dims in (2, 3)]
    return {(method, dims): project(CLUSTERS, method=method, dims=dims, k=8) for method, dims in kinds}


# -- the trustworthiness ----------------------------------------------------------------------------------------------


def test_trustworthiness_without_ties_is_that_of_scikit_learn():
    ones = 2 ** np.arange(9)
    codes = Codes.from_bits(np.arange(256) < ones[:, None])  # all distances from a code differ
    for seed in range(5):
        points = np.random.default_rng(seed).normal(size=(9, 2))
        expected = of_sklearn(hamming(codes), points, n_neighbors=3, metric="precomputed")
        assert trustworthiness(codes, points, 3, np.arange(9)) == pytest.approx(expected, abs=1e-12)


def test_trustworthiness_is_the_mean_over_orders_of_equal_distances():
    codes = fair_bits(60, 12, seed=1)
    rng = np.random.default_rng(0)
    points = codes.to_bits()[:, :2] + 0.3 * rng.normal(size=(60, 2))
    far = hamming(codes)
    orders = [
        of_sklearn(far + 0.5 * rng.random(far.shape), points, n_neighbors=5, metric="precomputed") for _ in range(100)
    ]
    error = np.std(orders) / 10
    assert trustworthiness(codes, points, 5, np.arange(60)) == pytest.approx(np.mean(orders), abs=4 * error)
    assert np.ptp(orders) > 10 * error  # one order would not do


def test_a_sample_estimates_the_trustworthiness_of_all():
    codes = fair_bits(600, 64)
    points = principal_start(codes, 2, 0)
    every = trustworthiness(codes, points, 8, np.arange(600))
    parts = [trustworthiness(codes, points, 8, rows) for rows in np.arange(600).reshape(4, 150)]
    assert np.mean(parts) == pytest.approx(every, abs=1e-12)
    assert np.ptp(parts) < 0.1


# -- planted truth ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_planted_clusters_come_out_and_not_in_the_control(maps, method, dims):
    found = maps[method, dims]
    assert found.coordinates.shape == found.control.shape == (150, dims)
    assert silhouette_score(found.coordinates, CLUSTERS.labels) > 0.5
    assert abs(silhouette_score(found.control, CLUSTERS.labels)) < 0.1
    assert found.trustworthiness > found.control_trustworthiness + 0.05
    assert (found.method, found.dims, found.seed, found.k) == (method, dims, 0, 8)
    assert (found.source.n, found.source.bits, found.source.sha256) == (150, 64, CLUSTERS.sha256)


def test_a_map_of_coin_flips_is_no_more_trustworthy_than_its_control():
    gaps = []
    for seed in range(6):
        found = project(fair_bits(150, 64, seed=seed), k=8, seed=seed)
        gaps.append(found.trustworthiness - found.control_trustworthiness)
    assert abs(np.mean(gaps)) < 3 * np.std(gaps, ddof=1) / 6**0.5
    assert np.abs(gaps).max() < 0.06


def test_near_copies_are_above_the_control_only_where_nothing_says_that_they_are():
    codes = near_copies(40, 5, np.full(64, 0.5))
    alone, grouped = (project(codes, k=8, groups=groups) for groups in (None, "object"))
    assert alone.trustworthiness == grouped.trustworthiness
    assert alone.trustworthiness > alone.control_trustworthiness + 0.1
    assert abs(grouped.trustworthiness - grouped.control_trustworthiness) < 0.05
    named = dataclasses.replace(codes, items=codes.items.append_column("identity", codes.items["object"]))
    with pytest.warns(UserWarning, match=r"images of one identity look like near copies, .*; groups='identity' keeps"):
        assert project(named, k=8).control_trustworthiness == alone.control_trustworthiness
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        project(named, k=8, groups="none")


def test_shuffled_bits_keep_their_shares_and_lose_what_they_share():
    codes = Codes.from_bits(np.repeat(np.random.default_rng(0).random((400, 1)) < 0.3, 11, axis=1))
    shuffled = Codes(shuffled_bits(codes, None, 0), 11).to_bits()
    assert (shuffled.sum(0) == codes.to_bits().sum(0)).all()
    assert np.abs(np.corrcoef(shuffled.T)[np.triu_indices(11, 1)]).max() < 0.2


# -- the neighbours ---------------------------------------------------------------------------------------------------


def test_neighbours_are_the_nearest_others():
    codes = prototypes(300, classes=3, bits=64, flip=0.1)
    far = hamming(codes)
    np.fill_diagonal(far, np.inf)
    graph = neighbour_graph(codes, 6, exact=True)
    assert (graph.rows != np.arange(300)[:, None]).all()
    assert (np.take_along_axis(far, graph.rows, 1) == graph.distances).all()
    assert (graph.distances <= np.sort(far, axis=1)[:, 5:6]).all()
    assert graph.recall == 1


def test_what_an_approximate_search_misses_is_counted_and_what_it_leaves_out_is_filled_in(monkeypatch):
    """In place of pynndescent, which compiles for 45 s (benchmarks/map.py runs it), a search that is known to err."""
    codes = prototypes(300, classes=3, bits=64, flip=0.1)
    far = hamming(codes)
    np.fill_diagonal(far, np.inf)
    rows = np.argsort(far, axis=1, kind="stable")[:, :6]
    rows[:90, 0] = far[:90].argsort(axis=1)[:, -2]  # far away
    rows[200, 2] = -1
    monkeypatch.setattr(graph_module, "_approximate", lambda *given: rows.astype(np.int32))
    graph = neighbour_graph(codes, 6, exact=False)
    assert (np.take_along_axis(far, graph.rows, 1) == graph.distances).all()
    assert (np.diff(graph.distances, axis=1) >= 0).all()
    assert graph.recall == pytest.approx(1 - 90 / 1800)
    assert sorted(graph.rows[200]) == sorted(neighbour_graph(codes, 6, exact=True).rows[200])
    rows[:, 0] = far.argsort(axis=1)[:, -2]
    with pytest.warns(UserWarning, match=r"search found 8\d % of the nearest codes; exact=300 compares"):
        project(codes, k=6, exact=100, cache=False)


def test_equal_codes_share_a_point():
    codes = CLUSTERS[np.r_[:150, :40, :40]]
    found, once = project(codes, k=8), project(CLUSTERS, k=8)
    assert (found.distinct, found.sample) == (150, 150)
    assert (found.coordinates[150:190] == found.coordinates[:40]).all()
    assert (found.coordinates[:150] == once.coordinates).all()
    assert found.neighbours.max() < 150
    assert "80 codes share the point of an equal one" in repr(found)


# -- the same again ---------------------------------------------------------------------------------------------------


def test_the_seed_decides():
    again = project(CLUSTERS, k=8, cache=False)
    assert (again.coordinates == project(CLUSTERS, k=8).coordinates).all()
    assert (again.control == project(CLUSTERS, k=8).control).all()
    assert not np.allclose(again.coordinates, project(CLUSTERS, k=8, seed=1).coordinates)


def test_a_map_is_read_from_the_cache_and_a_damaged_file_is_made_anew(monkeypatch):
    found = project(CLUSTERS, k=9)
    files = {path: path.read_bytes() for path in (cache_folder() / "results").iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(projection, "_both", lambda *given: pytest.fail("computed again"))
        assert (project(CLUSTERS, k=9).neighbours == found.neighbours).all()
    for path, data in files.items():
        path.write_bytes(data[: len(data) // 2])
    assert (project(CLUSTERS, k=9).coordinates == found.coordinates).all()
    assert any(path.read_bytes() == data for path, data in files.items())


# -- calls that cannot work -------------------------------------------------------------------------------------------

EQUAL = Codes.from_bits(np.ones((50, 8)))
RARE = np.zeros((400, 24))  # each bit is 1 in one image: all those images are different, and shuffled ones often equal
RARE[np.arange(24), np.arange(24)] = 1


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: project(CLUSTERS, method="pca"), "method='pca': expected umap, tsne"),
        (lambda: project(CLUSTERS, dims=4), "dims=4: expected 2 or 3"),
        (lambda: project(CLUSTERS, dims=1), "dims=1: expected 2 or more"),
        (lambda: project(CLUSTERS, k=1), "k=1: expected 2 or more"),
        (lambda: project(CLUSTERS, seed=-1), "seed -1: expected a whole number, 0 or more"),
        (lambda: project(CLUSTERS[:30]), "project: found 30 codes, expected at least 31 (2 k + 1, k=15)"),
        (
            lambda: project(EQUAL),
            "project: found 1 different codes among 50 (0 of 8 bits vary), expected at least 31 (2 k + 1, k=15)",
        ),
        (
            lambda: project(Codes.from_bits(RARE), k=12),
            "project: the control, with each bit shuffled, has 23 different codes among 400 (24 of 24 bits vary), "
            "expected at least 25 (2 k + 1, k=12)",
        ),
        (lambda: project(CLUSTERS, groups="video"), "groups='video': these codes have no attributes"),
    ],
)
def test_one_line(call, line):
    with pytest.raises((UsageError, DataError)) as found:
        call()
    assert str(found.value) == line


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(projection.PACKAGES, "umap", ("umap-of-nobody",))
    with pytest.raises(UsageError) as found:
        project(CLUSTERS)
    assert str(found.value) == "project: needs umap-of-nobody, found none (pip install 'codelab[maps]')"


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_what_embedding_atlas_reads(tmp_path, capsys):
    items = {"thumbnail": [b"\x89PNG\r\n\x1a\n" + bytes([i]) for i in range(150)], "x": np.arange(150)}
    codes = dataclasses.replace(CLUSTERS, items=codelab.Codes.from_bits(np.ones((150, 1)), items=items).items)
    codes.save(tmp_path / "codes.parquet")
    out = tmp_path / "map.parquet"
    call = ["map", str(tmp_path / "codes.parquet"), "-k", "8", "--group", "none", "--out", str(out)]
    assert main(call) == 0
    said = capsys.readouterr()
    assert f"embedding-atlas {out} --x x --y y --neighbors neighbours --image image" in said.out
    table = pq.read_table(out)
    found = project(codes, k=8)
    assert (np.stack([table["x"], table["y"]], axis=1) == found.coordinates).all()
    assert (np.stack([table["control_x"], table["control_y"]], axis=1) == found.control).all()
    assert table["image"].to_pylist() == items["thumbnail"]
    assert table["item.x"].to_pylist() == list(range(150))
    assert table["class"].to_pylist() == [codes.classes[c] for c in codes.labels]
    first = table["neighbours"][3].as_py()
    assert (first["ids"], first["distances"]) == (found.neighbours[3].tolist(), found.distances[3].tolist())
    about = json.loads(table.schema.metadata[b"codelab.map"])
    assert about["trustworthiness"] == found.trustworthiness
    assert about["source"]["sha256"] == codes.sha256

    assert main([*call[:-1], str(tmp_path / "map.html")]) == 0
    assert "plotly" in (tmp_path / "map.html").read_text().lower()
    assert main(call) == 2
    assert "is there already; --overwrite replaces it" in capsys.readouterr().err
    assert main([*call[:-1], str(tmp_path / "map.svg")]) == 2
    assert capsys.readouterr().err == f"codelab: {tmp_path}/map.svg: expected a name ending in .parquet or .html\n"
