"""The file format: what is written comes back, any Parquet tool reads it, and every broken file is named."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codelab
from codelab import Codes, DataError, UsageError
from codelab.core.files import KEY, iter_codes


def some_codes(n=50, bits=13, seed=0, **extra):
    rng = np.random.default_rng(seed)
    return Codes.from_bits(
        rng.random((n, bits)) > 0.5,
        labels=rng.integers(-1, 3, n),
        classes=["a", "b", "c"],
        items={"id": [f"x{i}" for i in range(n)], "tone": rng.choice(["dark", "light"], n)},
        **extra,
    )


def assert_same(a, b):
    assert a.sha256 == b.sha256
    assert a.items.equals(b.items)
    for name in ("logits", "features"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None)
        if x is not None:
            assert x.dtype == y.dtype
            assert np.array_equal(x, y)
    assert a.meta == b.meta


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(0, 40),
    bits=st.integers(1, 70),
    multi=st.booleans(),
    reals=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_round_trip(tmp_path_factory, n, bits, multi, reals, seed):
    rng = np.random.default_rng(seed)
    codes = Codes.from_bits(
        rng.random((n, bits)) > 0.5,
        labels=rng.random((n, 4)) > 0.6 if multi else rng.integers(-1, 4, n),
        classes=list("abcd"),
        logits=rng.normal(size=(n, bits)) if reals else None,
        features=rng.normal(size=(n, 3)) if reals else None,
        meta={"encoder": {"name": "x"}},
    )
    path = tmp_path_factory.mktemp("codes") / "c.parquet"
    codes.save(path)
    assert_same(codes, codelab.load(path))


def test_thumbnails_and_empty_attributes_come_back(tmp_path):
    items = pa.table(
        {"id": ["1", "2"], "tone": ["dark", None], "thumbnail": pa.array([b"\x89", b""], pa.large_binary())}
    )
    codes = Codes.from_bits(np.eye(2), items=items)
    codes.save(tmp_path / "c.parquet")
    assert codelab.load(tmp_path / "c.parquet").items.equals(items)


def test_any_tool_that_reads_parquet_reads_it(tmp_path):
    codes = some_codes()
    codes.save(tmp_path / "c.parquet")
    frame = pd.read_parquet(tmp_path / "c.parquet")
    assert frame["code"].iloc[3] == codes.packed[3].tobytes()
    assert frame["label"].tolist() == codes.labels.tolist()
    head = json.loads(pq.read_schema(tmp_path / "c.parquet").metadata[KEY])
    assert head["bits"] == 13
    assert head["format"] == 1


def test_a_folder_is_its_parts_in_order_and_blocks_are_the_whole(tmp_path):
    codes = some_codes(70, logits=np.ones((70, 13)))
    for number, start in enumerate(range(0, 70, 30)):
        codes[start : start + 30].save(tmp_path / f"part-{number:05d}.parquet")
    assert_same(codes, codelab.load(tmp_path))
    blocks = list(iter_codes(tmp_path, rows=16))
    assert max(len(b) for b in blocks) <= 16
    assert_same(codes, Codes.concat(blocks))
    slim = next(iter_codes(tmp_path, columns=["tone"]))
    assert slim.attributes == ["tone"]
    assert slim.logits is None


def test_parts_that_differ_are_refused(tmp_path):
    some_codes().save(tmp_path / "a.parquet")
    some_codes(bits=14).save(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: bits 14 differs from 13 in a\.parquet"):
        codelab.load(tmp_path)


def rewritten(path, change):
    """The file with its table or its provenance changed."""
    table = pq.read_table(path)
    head = json.loads(table.schema.metadata[KEY])
    table = change(table, head) or table
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(head).encode()}), path)


def set_code(table, values, kind):
    return table.set_column(table.column_names.index("code"), "code", pa.array(values, kind))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, h: h.update(format=2), "format 2, this codelab reads format 1"),
        (lambda t, h: h.update(format="1"), "format '1', this codelab reads format 1"),
        (lambda t, h: h.update(multilabel=True), "no column 'labels'"),
        (lambda t, h: h.update(classes=["a", "a", "c"]), "classes: 'a' is there twice"),
        (lambda t, h: t.append_column("label", t["label"]), "column 'label' is there twice"),
        (lambda t, h: h.update(bits=21), r"fixed_size_binary\[2\], expected fixed_size_binary\[3\] for 21 bits"),
        (lambda t, h: h.update(bits="13"), "bits '13', expected a whole number"),
        (lambda t, h: h.pop("bits") and None, "provenance cannot be read"),
        (lambda t, h: h.update(bits=12), "row 0 has pad bits set past bit 11"),
        (lambda t, h: h.update(classes=["a"]), "expected -1 .none. to 0"),
        (lambda t, h: t.drop_columns(["code"]), "no column 'code'"),
        (lambda t, h: set_code(t, [None] + [b"ab"] * 49, pa.binary(2)), "column 'code': row 0 is empty"),
        (lambda t, h: set_code(t, [b"ab"] * 50, pa.binary()), "column 'code' is binary"),
        (lambda t, h: t.append_column("logits", pa.array([[1.0]] * 50)), "expected a fixed-size list"),
        (
            lambda t, h: t.append_column("logits", pa.array([[np.nan] * 13] * 50, pa.list_(pa.float32(), 13))),
            "row 0, column 0 is nan",
        ),
    ],
)
def test_a_file_that_lies_is_refused_in_one_line(tmp_path, change, message):
    path = tmp_path / "c.parquet"
    bits = np.ones((50, 13))
    Codes.from_bits(bits, labels=np.arange(50) % 3, classes=["a", "b", "c"]).save(path)
    rewritten(path, change)
    with pytest.raises(DataError, match=message) as error:
        codelab.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_foreign_empty_or_truncated_file(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        codelab.load(tmp_path / "none.parquet")
    with pytest.raises(UsageError, match=r"folder without codes\.parquet or other \.parquet files"):
        codelab.load(tmp_path)
    other = tmp_path / "c.txt"
    other.write_text("hello")
    with pytest.raises(UsageError, match=r"expected a \.parquet"):
        codelab.load(other)
    path = tmp_path / "c.parquet"
    for content in (b"", b"hello", b"PAR1" + b"\0" * 100):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a whole Parquet file"):
            codelab.load(path)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(DataError, match="no key 'codelab'"):
        codelab.load(path)


def test_every_truncation_is_noticed(tmp_path):
    path = tmp_path / "c.parquet"
    some_codes(300).save(path)
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, max(1, len(whole) // 40)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError):
            codelab.load(path)


def test_damage_is_noticed_or_harmless(tmp_path):
    """A byte flipped anywhere must never give other codes or labels without a word."""
    path = tmp_path / "c.parquet"
    codes = some_codes(300)
    codes.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[int(rng.integers(len(whole)))] ^= 0xFF
        path.write_bytes(damaged)
        try:
            loaded = codelab.load(path)
        except codelab.CodelabError:
            refused += 1
            continue
        assert np.array_equal(loaded.packed, codes.packed)
        assert np.array_equal(loaded.labels, codes.labels)
    assert refused > 20


def test_a_split_of_numbers_is_a_name(tmp_path):
    codes = Codes.from_bits(np.eye(4), items={"id": [7, 8, 9, 10], "split": [0, 0, 1, 1]})
    codes.save(tmp_path / "c.parquet")
    loaded = codelab.load(tmp_path / "c.parquet")
    assert loaded.splits == ["0", "1"]
    assert loaded.split("1").items["id"].to_pylist() == ["9", "10"]


def test_items_may_not_take_the_names_of_the_format(tmp_path):
    codes = Codes.from_bits(np.eye(2), items={"label": [1, 2]})
    with pytest.raises(DataError, match="'label'"):
        codes.save(tmp_path / "c.parquet")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match=r"ending in \.parquet"):
        codes.save(tmp_path / "c.csv")


WRITE_FOREVER = """
import sys, numpy as np
from codelab import Codes
codes = Codes.from_bits(np.random.default_rng(0).random((200000, 64)) > .5)
print("ready", flush=True)
while True:
    codes.save(sys.argv[1])
"""


def test_kill_9_leaves_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "c.parquet"
    some_codes().save(path)
    for pause in (0.0, 0.02, 0.05, 0.11):
        child = subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(path)], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(pause)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert len(codelab.load(path)) in (50, 200000)


@pytest.mark.parametrize("kind", ["bool", "zero-one", "signs", "float-signs", "packed"])
def test_numpy_files(tmp_path, kind):
    bits = np.random.default_rng(1).random((30, 24)) > 0.5
    array = {
        "bool": bits,
        "zero-one": bits.astype(np.int64),
        "signs": np.where(bits, 1, -1).astype(np.int8),
        "float-signs": np.where(bits, 1.0, -1.0),
        "packed": np.packbits(bits, axis=1),
    }[kind]
    np.save(tmp_path / "c.npy", array)
    assert np.array_equal(codelab.load(tmp_path / "c.npy").to_bits(), bits)
    labels = np.arange(30) % 5
    np.savez(tmp_path / "c.npz", codes=array, labels=labels, classes=list("abcde"), ids=[f"i{i}" for i in range(30)])
    codes = codelab.load(tmp_path / "c.npz")
    assert np.array_equal(codes.to_bits(), bits)
    assert codes.labels.tolist() == labels.tolist()
    assert codes.classes == tuple("abcde")
    assert codes.items["id"].to_pylist()[3] == "i3"


def test_entries_of_an_npz_are_read_or_named(tmp_path):
    path = tmp_path / "c.npz"
    np.savez(path, bits=np.eye(3), label=[2, 0, 1])
    assert codelab.load(path).labels.tolist() == [2, 0, 1]
    np.savez(path, bits=np.eye(3), targets=[2, 0, 1], name=["a"])
    with pytest.warns(UserWarning, match="not read: name, targets; an .npz holds codes") as found:
        assert not codelab.load(path).labelled
    assert len(found) == 1
    assert "\n" not in str(found[0].message)
    np.savez(path, bits=np.eye(3), label=[2, 0, 1], labels=[2, 0, 1])
    with pytest.raises(DataError, match="'label' and 'labels', expected one"):
        codelab.load(path)
    np.savez(path, bits=np.array([[1, 0], [1, -1]]))
    with pytest.raises(DataError, match="not both"):
        codelab.load(path)


def test_parts_are_in_the_order_of_their_numbers(tmp_path):
    names = ["part-2", "part-10", "part-1", "a", "part-x", "1"]
    for name in names:
        Codes.from_bits(np.eye(1), items={"id": [name]}, features=np.ones((1, 2))).save(tmp_path / f"{name}.parquet")
    ordered = ["1", "a", "part-1", "part-2", "part-10", "part-x"]
    assert codelab.load(tmp_path).items["id"].to_pylist() == ordered
    assert [part.items["id"][0].as_py() for part in iter_codes(tmp_path)] == ordered


def test_packed_numpy_with_a_width_that_is_no_multiple_of_8(tmp_path):
    bits = np.random.default_rng(1).random((30, 21)) > 0.5
    np.save(tmp_path / "c.npy", np.packbits(bits, axis=1))
    assert np.array_equal(codelab.load(tmp_path / "c.npy", bits=21).to_bits(), bits)
    with pytest.raises(DataError, match="for 30 bits"):
        codelab.load(tmp_path / "c.npy", bits=30)


def test_bad_numpy_files(tmp_path):
    path = tmp_path / "c.npy"
    np.save(path, np.random.default_rng(0).normal(size=(4, 8)))
    with pytest.raises(DataError, match="real numbers, not codes"):
        codelab.load(path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a whole NumPy file"):
        codelab.load(path)
    np.save(path, np.zeros(5))
    with pytest.raises(DataError, match=r"found shape \[5\]"):
        codelab.load(path)
    np.save(path, np.eye(64))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="not a whole NumPy file"):
        codelab.load(path)
    np.savez(tmp_path / "c.npz", other=np.eye(3))
    with pytest.raises(DataError, match="found other"):
        codelab.load(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(DataError, match="not a whole NumPy file"):
        codelab.load(tmp_path / "d.npz")
