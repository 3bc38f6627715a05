"""What was measured once is read again from disk, equal to the last bit, and nothing in an entry is run."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import codelab.core.disk_cache as disk_cache
from codelab.analysis import analyze
from codelab.core.codes import Codes
from codelab.core.disk_cache import on_disk
from codelab.core.result import Skipped
from codelab.core.seal import file_sha256


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CODELAB_CACHE", str(tmp_path))
    return tmp_path / "results"


def twice(value, calls):
    """What a first and a second start get."""

    def make():
        calls.append(1)
        return value

    return on_disk({"of": "x"}, make), on_disk({"of": "x"}, make)


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, n), getattr(b, n)) for n in a.__dataclass_fields__)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


def test_every_section_comes_back_equal():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    codes = Codes.from_bits(
        rng.random((400, 12)) < 0.3 + 0.2 * labels[:, None], labels=labels, features=rng.normal(size=(400, 8))
    )
    for name, result in analyze(codes, groups="none", permutations=20).items():
        on_disk({"of": name}, lambda result=result: result)
        read = on_disk({"of": name}, lambda: None)
        assert same(result, read), name
        assert repr(result) == repr(read)


@pytest.mark.parametrize(
    "value", [None, True, 3, -0.5, math.nan, "é", (1, ("a", None)), [1.0, 2], {("a", 1): [2]}, np.float32(0.5), {}]
)
def test_plain_values_come_back_equal(value):
    calls = []
    first, second = twice(value, calls)
    assert len(calls) == 1
    assert same(first, second)
    assert same(second, value)


@pytest.mark.parametrize("value", [object(), Codes.from_bits([[1, 0]]), np.array([object()]), {1, 2}, [print]])
def test_what_cannot_be_kept_is_made_each_time(value, folder):
    calls = []
    twice(value, calls)
    assert len(calls) == 2
    assert not list(folder.glob("*"))


def test_a_damaged_or_foreign_entry_is_made_anew(folder):
    on_disk({"of": "x"}, lambda: Skipped(reason="a"))
    (entry,) = folder.glob("*.npz")
    whole = entry.read_bytes()
    for data in (b"", whole[:40], whole[:-30], b"PK" + bytes(200)):
        entry.write_bytes(data)
        assert on_disk({"of": "x"}, lambda: Skipped(reason="b")).reason == "b"
        entry.unlink()
    for text in (
        {"class": ["os", "DirEntry"], "fields": {}},
        {"class": ["codelab.core.io", "read_regular"], "fields": {}},
        {"class": ["codelab.core.result", "Skipped"], "fields": {"reason": "only this"}},
    ):
        np.savez(entry, value=np.array(json.dumps(text)))
        assert on_disk({"of": "x"}, lambda: Skipped(reason="c")).reason == "c"
        entry.unlink()


def test_another_key_or_other_code_is_another_entry(folder, monkeypatch, tmp_path):
    assert on_disk({"of": "x"}, lambda: 1) == 1
    assert on_disk({"of": "y"}, lambda: 2) == 2
    module = tmp_path / "codelab" / "core" / "disk_cache.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    monkeypatch.setattr(disk_cache, "__file__", str(module))
    disk_cache._code.cache_clear()
    try:
        assert on_disk({"of": "x"}, lambda: 3) == 3
        assert on_disk({"of": "x"}, lambda: 4) == 3
        (module.parent / "new.py").write_text("")
        disk_cache._code.cache_clear()
        assert on_disk({"of": "x"}, lambda: 5) == 5
    finally:
        disk_cache._code.cache_clear()
    assert len(list(folder.glob("*.npz"))) == 4


def test_without_a_folder_to_write_to_nothing_is_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CODELAB_CACHE", str(tmp_path / "file"))
    assert on_disk({"of": "x"}, lambda: 1) == 1


def test_the_oldest_go_where_there_is_no_room(folder, monkeypatch):
    on_disk({"of": 0}, lambda: np.zeros(1000))
    (first,) = folder.glob("*.npz")
    monkeypatch.setattr(disk_cache, "MOST", 3 * first.stat().st_size)
    for i in range(1, 6):
        on_disk({"of": i}, lambda: np.zeros(1000))
    kept = list(folder.glob("*.npz"))
    assert len(kept) == 3
    assert first not in kept


def test_a_hash_of_a_file_follows_what_it_holds(tmp_path):
    codes = Codes.from_bits(np.eye(8))
    a, b, c = (tmp_path / f"{name}.parquet" for name in "abc")
    codes.save(a)
    codes.save(b)
    replace(codes, labels=np.zeros(8, np.int32), classes=("x",)).save(c)
    plain = tmp_path / "a.npy"
    np.save(plain, np.eye(8))
    assert file_sha256(a) != file_sha256(c)
    before = file_sha256(plain)
    np.save(plain, np.ones((8, 8)))
    assert file_sha256(plain) != before
