"""Codes hold arrays nobody else can write to, and copy only what they must."""

import io
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import codelab
from codelab import Codes
from codelab.core.arrays import owned, read_only

BITS = np.random.default_rng(0).random((12, 16)) > 0.5


def given():
    return {
        "packed": np.packbits(BITS, axis=1),
        "labels": np.arange(12, dtype=np.int32) % 3,
        "logits": np.where(BITS, 1, -1).astype(np.float16),
        "features": np.ones((12, 4), np.float32),
    }


def test_what_the_caller_writes_later_changes_nothing():
    arrays = given()
    codes, fresh = Codes(bits=16, **arrays), Codes(bits=16, **given())
    for array in arrays.values():
        array[:] = 0
    assert codes.sha256 == fresh.sha256
    for name, array in given().items():
        assert np.array_equal(getattr(codes, name), array)


def test_a_view_closed_to_writing_over_an_open_array_is_copied():
    arrays = given()
    views = {name: read_only(array.view()) for name, array in arrays.items()}
    codes = Codes(bits=16, **views)
    many = np.ones((12, 2), bool)
    tags = Codes(views["packed"], 16, many)
    for array in (*arrays.values(), many):
        array[:] = 0
    assert codes.sha256 == Codes(bits=16, **given()).sha256
    assert np.array_equal(codes.features, given()["features"])
    assert tags.labels.all()


def test_from_bits_and_from_logits_own_theirs():
    labels, features, logits = given()["labels"], given()["features"], given()["logits"]
    both = [Codes.from_bits(BITS, labels, features=features), Codes.from_logits(logits, labels=labels)]
    before = [codes.sha256 for codes in both]
    labels[:], features[:], logits[:] = 0, 0, 0
    assert [Codes(c.packed, 16, c.labels).sha256 for c in both] == before
    assert both[0].features.all()
    assert both[1].logits.all()


@pytest.mark.parametrize("name", ["packed", "labels", "logits", "features", "columns"])
def test_no_array_of_codes_can_be_written_to_or_opened(name, tmp_path):
    codes = Codes(bits=16, **given())
    codes.save(tmp_path / "c.parquet")
    for some in (codes, codes[3:], codes.select_bits([2, 1]), codelab.load(tmp_path / "c.parquet")):
        array = getattr(some, name)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
        if name != "columns":
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True


def test_read_only_memory_is_not_copied(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2), np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    column = pa.array([1.0, 2.0]).to_numpy()
    first = Codes(bits=16, **given())
    again = Codes(first.packed, 16, first.labels, logits=first.logits, features=first.features)
    for name in ("packed", "labels", "logits", "features"):
        assert np.shares_memory(getattr(again, name), getattr(first, name))
    for array in (mapped, column, np.frombuffer(b"abcd", np.uint8), read_only(np.ones(4))):
        assert np.shares_memory(owned(array), array)
    opened = np.load(tmp_path / "x.npy", mmap_mode="r+")
    lent = read_only(np.frombuffer(bytearray(b"abcd"), np.uint8))
    for array in (opened, lent, np.frombuffer(io.BytesIO(b"abcd").getbuffer(), np.uint8)):
        assert not np.shares_memory(owned(array), array)
    assert np.load(tmp_path / "x.npy").all()


@pytest.mark.parametrize("kind", [dict, partial(pd.DataFrame, copy=False)])
def test_item_columns_are_owned_too(kind):
    sizes = np.arange(12.0)
    items = kind({"size": sizes})
    codes = Codes.from_bits(BITS, items=items)
    sizes[:] = 0
    assert codes.items["size"].to_pylist() == list(range(12))


def test_columns_of_a_table_and_what_meta_holds_are_owned_too():
    sizes, tones, box = np.arange(12.0), np.arange(12, dtype=np.int8) % 2, np.arange(24)
    table = pa.table(
        {
            "size": sizes,
            "tone": pa.DictionaryArray.from_arrays(pa.array(tones), pa.array(["dark", "light"])),
            "box": pa.FixedSizeListArray.from_arrays(pa.array(box), 2),
        }
    )
    meta = {"encoder": {"widths": [4, 8]}}
    given = {"items": table, "meta": meta}
    codes = [Codes.from_bits(BITS, **given), Codes(np.packbits(BITS, axis=1), 16, **given)]
    for array in (sizes, tones, box):
        array[:] = 0
    meta["encoder"]["widths"].append(0)
    for one in codes:
        assert one.items["size"].to_pylist() == list(range(12))
        assert one.items["tone"].to_pylist() == ["dark", "light"] * 6
        assert one.items["box"].to_pylist() == [[2 * i, 2 * i + 1] for i in range(12)]
        assert one.meta["encoder"] == {"widths": [4, 8]}


def test_codes_are_an_array_of_their_bits():
    codes = Codes.from_bits(BITS)
    assert np.asarray(codes).dtype == np.uint8
    assert np.array_equal(np.asarray(codes), BITS.astype(np.uint8))
    assert np.asarray(codes, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="makes a new array"):
        np.array(codes, copy=False)
