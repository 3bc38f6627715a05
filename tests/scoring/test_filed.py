"""A scorecard of codes in files, block by block: all but rankings have the numbers they have in memory."""

import numpy as np
import pytest

from codelab import Codes, DataError, UsageError, load, scorecard
from codelab.scoring.columns import Measure
from codelab.scoring.filed import IN_MEMORY, Filed

N = 300
RANKED = ("retrieval_map", "knn_accuracy", "monosemanticity")
UNGROUPED = ("degrees_of_freedom", "code_length")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two folders of three parts of the same images: of 24 bits, and of 9."""
    folder = tmp_path_factory.mktemp("filed")
    rng = np.random.default_rng(0)
    labels, tone = np.arange(N) % 4, rng.integers(0, 2, N)
    items = {"id": [f"i{i}" for i in range(N)], "tone": tone.astype(str), "video": (np.arange(N) // 2).astype(str)}
    features = np.concatenate([np.eye(4)[labels], tone[:, None]], axis=1) + 0.5 * rng.normal(size=(N, 5))
    for name, bits in (("a", 24), ("b", 9)):
        codes = Codes.from_bits(features @ rng.normal(size=(5, bits)) > 0.2, labels, items=items)
        (folder / name).mkdir()
        for part, (start, stop) in enumerate(((0, 100), (100, 101), (101, N))):
            codes[start:stop].save(folder / name / f"part-{part}.parquet")
    return folder / "a", folder / "b"


@pytest.mark.parametrize("groups", [None, "video"])
def test_columns_that_stream_are_those_in_memory(files, groups):
    given = {"names": ["a", "b"], "attributes": ["tone"], "groups": groups, "images": 60, "progress": False}
    read, filed = [load(path) for path in files], [Filed.open(path) for path in files]
    assert [one.sha256 for one in filed] == [one.sha256 for one in read]
    streamed, memory = scorecard(*filed, **given), scorecard(*read, **given)
    names = [column.name for column in memory.columns]
    assert [column.name for column in streamed.columns] == names
    assert str(streamed.source) == str(memory.source)
    not_streamed = RANKED if groups is None else RANKED + UNGROUPED
    add = [c for c, name in enumerate(names) if name not in not_streamed]
    for row in ("a", "b", "oracle"):
        i = memory.row(row)
        for field in ("values", "low", "high"):
            assert np.array_equal(getattr(streamed, field)[i, add], getattr(memory, field)[i, add], equal_nan=True)
        assert np.isnan(streamed.values[i, add]).mean() < 0.3  # where memory has none, as of reuse without effects
        if row == "oracle":  # its codes are in memory
            continue
        others = [c for c in range(len(names)) if c not in add]
        assert np.isnan(streamed.values[i, others]).all()
        assert all(IN_MEMORY in streamed.reasons[row, names[c]] for c in others)
    ab = (memory.row("a"), memory.row("b"))
    assert np.array_equal(streamed.least[ab][add], memory.least[ab][add], equal_nan=True)
    assert streamed.reasons["permuted rows", "phi:tone"] == IN_MEMORY
    assert "signs of 24 random directions" in streamed.rows[streamed.row("random directions")].how
    assert any("Permuted rows need the codes in memory" in line for line in streamed.notes)
    assert not any("no features" in line for line in streamed.notes)  # they may be in the file


@pytest.mark.parametrize("items", [{"tone": ["a"] * 50}, {}], ids=["other type", "no column"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_parts_with_other_columns_are_refused_as_in_memory(tmp_path, items, order):
    bits = np.random.default_rng(0).random((100, 8)) < 0.5
    first = Codes.from_bits(bits[:50], items={"id": [f"i{i}" for i in range(50)], "tone": [0] * 50})
    parts = first, Codes.from_bits(bits[50:], items=items)
    for place, number in enumerate(order):
        parts[number].save(tmp_path / f"part-{place}.parquet")
    errors = []
    for read in (load, Filed.open):
        with pytest.raises(DataError, match="its parts do not fit together") as found:
            read(tmp_path)
        errors.append(str(found.value))
    assert errors[0] == errors[1]
    assert "\n" not in errors[1]


def test_files_that_cannot_be_read_in_blocks_are_refused_in_one_line(tmp_path):
    np.save(tmp_path / "codes.npy", np.zeros((9, 2), np.uint8))
    with pytest.raises(UsageError, match=r"codes.npy: only codelab's own codes \(.parquet\) are read block by block"):
        Filed.open(tmp_path / "codes.npy")
    with pytest.raises(UsageError, match="no such file or folder"):
        Filed.open(tmp_path / "none")
    Codes.from_bits(np.zeros((0, 8))).save(tmp_path / "empty.parquet")
    with pytest.raises(DataError, match=r"empty.parquet: found no codes"):
        Filed.open(tmp_path / "empty.parquet")


def test_source_names_the_split_of_the_file(tmp_path):
    codes = Codes.from_bits(np.eye(8), items={"split": ["test"] * 8})
    codes.save(tmp_path / "codes.parquet")
    assert Filed.open(tmp_path / "codes.parquet").source.split == "test"


def test_a_streamed_card_goes_on_where_it_stopped(files, tmp_path, monkeypatch):
    monkeypatch.setenv("CODELAB_CACHE", str(tmp_path))
    given = {"attributes": ["tone"], "images": 60, "progress": False, "cache": True}
    first = scorecard(Filed.open(files[0]), **given)

    def measured_again(*_):
        raise AssertionError

    monkeypatch.setattr(Measure, "measured", measured_again)
    assert np.array_equal(scorecard(Filed.open(files[0]), **given).values, first.values, equal_nan=True)
    with pytest.raises(AssertionError):  # cells in memory are others
        scorecard(load(files[0]), **given)


def test_files_are_all_streamed_or_none_and_of_the_same_images(files, tmp_path):
    first, second = (Filed.open(path) for path in files)
    with pytest.raises(UsageError, match="some codes stay in their files, expected all of them or none"):
        scorecard(first, load(files[1]))
    load(files[1])[::-1].save(tmp_path / "turned.parquet")
    with pytest.raises(DataError, match="b: turned"):
        scorecard(first, Filed.open(tmp_path / "turned.parquet"), names=["a", "turned"])
    assert len(second) == N
