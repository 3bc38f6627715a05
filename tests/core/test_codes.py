"""The data type: indexing against NumPy, and every refusal."""

import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from bitarray import bitarray
from hypothesis import given, settings
from hypothesis import strategies as st

from codelab import Codes, DataError, UsageError, load, pack_bits, unpack_bits
from tests.support.bit_arrays import bit_arrays


@settings(deadline=None)
@given(bit_arrays)
def test_one_code_one_column_and_the_columns(bits):
    codes = Codes.from_bits(bits)
    for row in range(len(bits)):
        assert codes.code(row).tolist() == bits[row].tolist()
    for bit in range(bits.shape[1]):
        assert codes.column(bit).tolist() == bits[:, bit].tolist()


@settings(deadline=None)
@given(bit_arrays.filter(len), st.data())
def test_selection_follows_numpy(bits, data):
    n, b = bits.shape
    codes = Codes.from_bits(bits, labels=np.arange(n) % 3 - 1, classes=["x", "y"], logits=np.where(bits, 1.5, -2))
    rows = data.draw(st.lists(st.integers(0, n - 1), max_size=6))
    columns = data.draw(st.lists(st.integers(0, b - 1), min_size=1, max_size=6))
    index = np.array(rows, dtype=int)
    part = codes[index].select_bits(columns)
    assert np.array_equal(part.to_bits(), bits[index][:, columns])
    assert np.array_equal(part.labels, codes.labels[index])
    assert np.array_equal(part.logits, codes.logits[index][:, columns])
    assert part.items["id"].to_pylist() == [str(i) for i in rows]
    assert np.array_equal(codes[1::2].packed, codes.packed[1::2])
    assert np.array_equal(codes[bits[:, 0]].packed, codes.packed[bits[:, 0]])


def test_labels_by_name_number_and_many():
    bits = np.eye(3)
    by_name = Codes.from_bits(bits, labels=["b", None, "a"])
    assert by_name.classes == ("a", "b")
    assert by_name.labels.tolist() == [1, -1, 0]
    assert Codes.from_bits(bits).labels.tolist() == [-1, -1, -1]
    assert not Codes.from_bits(bits).labelled
    many = Codes.from_bits(bits, labels=np.array([[1, 1], [0, 0], [0, 1]], bool))
    assert many.multilabel
    assert many.labelled
    assert many.classes == ("0", "1")


def test_whole_numbers_among_missing_labels_are_class_numbers():
    for labels in ([-1, None, 1], [-1, float("nan"), 1], pd.array([None, None, 1], dtype="Int64")):
        codes = Codes.from_bits(np.eye(3), labels=np.array(labels, dtype=object))
        assert codes.labels.tolist() == [-1, -1, 1]
        assert codes.classes == ("0", "1")
    named = Codes.from_bits(np.eye(3), labels=[1, None, 0], classes=np.array(["a", "b"]))
    assert named.labels.tolist() == [1, -1, 0]
    assert named.classes == ("a", "b")


def test_numbers_of_many_classes_need_no_names_below_a_bound():
    assert len(Codes.from_bits(np.eye(2), labels=[0, 21_840]).classes) == 21_841
    assert Codes.from_bits(np.eye(2), labels=["8589934592", "0"]).classes == ("0", "8589934592")


def test_signs_are_bits():
    bits = np.random.default_rng(2).random((5, 9)) > 0.5
    for signs in (np.where(bits, 1, -1), np.where(bits, 1.0, -1.0), torch.tensor(np.where(bits, 1, -1))):
        assert np.array_equal(Codes.from_bits(signs).to_bits(), bits)


def test_no_columns_of_items_are_no_items():
    assert Codes.from_bits(np.eye(2), items={}).items["id"].to_pylist() == ["0", "1"]


def test_a_small_logit_keeps_its_sign_in_a_file(tmp_path):
    codes = Codes.from_logits(np.array([[1e-12, -1e-12, 0.0, 3e-8, 1e9]]), features=np.array([[1e-50]]))
    codes.save(tmp_path / "c.parquet")
    read = load(tmp_path / "c.parquet")
    assert read.code(0) == bitarray("10011")
    assert (read.logits > 0).tolist() == [[True, False, False, True, True]]
    assert (read.logits < 0).tolist() == [[False, True, False, False, False]]
    assert Codes.from_logits(read.logits).sha256 == codes.sha256


def test_a_column_is_not_a_row():
    with pytest.raises(UsageError, match=r"codes\['id'\]: columns are in codes.items; codes\[...\] takes rows"):
        Codes.from_bits(np.eye(2))["id"]


def test_items_from_pandas_and_label_by():
    frame = pd.DataFrame({"tone": ["dark", None, "light"], "split": ["a", "b", "a"]})
    codes = Codes.from_bits(np.eye(3), items=frame)
    assert codes.items.column_names == ["id", "tone", "split"]
    assert codes.attributes == ["tone"]
    by_tone = codes.label_by("tone")
    assert by_tone.classes == ("dark", "light")
    assert by_tone.labels.tolist() == [0, -1, 1]
    assert codes.splits == ["a", "b"]
    assert codes.split("a").items["id"].to_pylist() == ["0", "2"]
    with pytest.raises(UsageError, match="tones"):
        codes.label_by("tones")
    with pytest.raises(UsageError, match="have a, b"):
        codes.split("c")


def test_from_logits_is_strictly_positive():
    codes = Codes.from_logits(np.array([[0.0, 1e-9, -1.0, 7e4]]))
    assert codes.code(0) == bitarray("0101")
    assert codes.logits.dtype == np.float16
    assert np.isfinite(codes.logits).all()


def test_concat_puts_rows_in_order():
    bits = np.random.default_rng(0).random((20, 11)) > 0.5
    codes = Codes.from_bits(bits, labels=np.arange(20) % 4, features=bits.astype(float))
    whole = Codes.concat([codes[:7], codes[7:7], codes[7:]])
    assert whole.sha256 == codes.sha256
    assert np.array_equal(whole.features, codes.features)
    assert whole.items.equals(codes.items)
    with pytest.raises(DataError, match="part 1 has bits 10"):
        Codes.concat([codes, codes.select_bits(range(10))])


def test_the_hash_sees_every_part_that_matters():
    bits = np.eye(4, 9)
    base = Codes.from_bits(bits, labels=[0, 1, 0, 1])
    same = Codes.from_bits(bits, labels=[0, 1, 0, 1], items={"id": list("abcd")})
    assert base.sha256 == same.sha256
    others = [
        Codes.from_bits(bits[::-1], labels=[0, 1, 0, 1]),
        Codes.from_bits(bits, labels=[0, 1, 1, 1]),
        Codes.from_bits(bits, labels=[0, 1, 0, 1], classes=["x", "y"]),
        Codes.from_bits(np.eye(4, 10), labels=[0, 1, 0, 1]),
    ]
    assert len({base.sha256, *(c.sha256 for c in others)}) == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pack_bits(np.array([[0, 2]])), "row 0, bit 1 is 2"),
        (lambda: pack_bits(np.array([[0, np.nan]])), "row 0, bit 1 is nan"),
        (lambda: pack_bits([[1, 0], [1, -1]]), "row 0, bit 1 is 0, expected 0 and 1, or -1 and [+]1, not both"),
        (lambda: pack_bits([[1, -1], [1, 2]]), "row 1, bit 1 is 2, expected -1 or [+]1"),
        (lambda: Codes.from_bits([[1, 0], [1]]), "bits: found list that is no array"),
        (lambda: Codes.from_bits(torch.ones(2, 2, requires_grad=True)), "bits: found Tensor .*requires grad"),
        (lambda: Codes.from_logits(torch.ones(2, 2, requires_grad=True)), "logits: found Tensor .*requires grad"),
        (
            lambda: Codes.from_bits(np.eye(2), features=torch.ones(2, 2, requires_grad=True)),
            "features: found Tensor .*requires grad",
        ),
        (lambda: Codes.from_bits(np.eye(2), labels=3), "labels: expected one for each of 2 codes, found the single"),
        (lambda: Codes.from_bits(np.eye(2), labels="cat"), "found the single value"),
        (lambda: Codes.from_bits(np.eye(3), labels=[0, 1, 2**33]), "row 2 is 8589934592, too large .*classes="),
        (lambda: Codes.from_bits(np.eye(3), labels=[0, None, 2**33]), "row 2 is 8589934592, too large .*classes="),
        (lambda: Codes.from_bits(np.eye(2), labels=[[None, 1], [0, 1]]), "found object"),
        (
            lambda: Codes.from_bits(np.eye(2), features=[[1, 1], [-1e39, 1]]),
            "features: row 1, column 0 is -1e[+]39, expected a finite number in the range of float32",
        ),
        (lambda: pack_bits(np.zeros(3)), r"shape \[3\]"),
        (lambda: pack_bits(np.zeros((3, 0))), r"shape \[3, 0\]"),
        (lambda: pack_bits(np.array([["a"]])), "dtype <U1"),
        (lambda: unpack_bits(np.zeros((2, 2), np.uint8), 17), r"\[N, 3\] for 17 bits"),
        (lambda: Codes(np.array([[1]], np.uint8), 7), "row 0 has pad bits set past bit 6"),
        (lambda: Codes(np.zeros((1, 1), np.int64), 8), "found int64"),
        (lambda: Codes.from_bits(np.eye(2), labels=[0]), "found 1, expected one for each of 2"),
        (lambda: Codes.from_bits(np.eye(2), labels=[0, -2]), "row 1 is -2"),
        (lambda: Codes.from_bits(np.eye(2), labels=[0, 5], classes=["a"]), "row 1 is 5"),
        (lambda: Codes.from_bits(np.eye(2), labels=[0.5, 1]), "found float64"),
        (lambda: Codes.from_bits(np.eye(2), labels=["a", "z"], classes=["a"]), "row 1 is 'z'"),
        (lambda: Codes.from_bits(np.eye(2), logits=np.ones((2, 3))), "found 3 columns"),
        (lambda: Codes.from_bits(np.eye(2), logits=[[1, 1], [1, np.nan]]), "row 1, column 1 is nan"),
        (lambda: Codes.from_logits(np.array([[1, np.inf]])), "row 0, column 1 is inf"),
        (lambda: Codes.from_bits(np.eye(2), features=[[np.nan], [1]]), "row 0, column 0 is nan"),
        (lambda: Codes.from_bits(np.eye(2), items={"id": ["a"]}), "found 1 rows"),
        (lambda: Codes.concat([]), "no codes"),
    ],
)
def test_bad_input_is_one_exact_line(make, message):
    with pytest.raises(DataError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.code("id"),
        lambda c: c.column("0"),
        lambda c: c.code(3),
        lambda c: c.column(3),
        lambda c: c.select_bits([0, 3]),
        lambda c: c.select_bits([]),
    ],
)
def test_what_is_not_there_is_named(use):
    with pytest.raises(UsageError):
        use(Codes.from_bits(np.eye(3)))


def test_an_empty_set_of_codes_is_codes():
    empty = Codes.from_bits(np.zeros((0, 9)), items=pa.table({"id": pa.array([], pa.string())}))
    assert len(empty) == 0
    assert empty.column(8) == bitarray()
    assert empty.where("~3") == bitarray()
    assert len(empty[np.array([], int)]) == 0


def test_items_that_are_no_table_are_refused_in_one_line():
    with pytest.raises(DataError, match=r"^items: found list, expected a pyarrow Table, a pandas DataFrame"):
        Codes.from_bits(np.eye(2), items=[])


def test_a_class_that_is_there_twice_among_very_many_is_found_at_once():
    """It took hours: every name was compared with all others."""
    names = [*(f"class {i}" for i in range(300_000)), "class 299999"]
    start = time.process_time()
    with pytest.raises(DataError, match="'class 299999' is there twice"):
        Codes.from_bits(np.eye(2), labels=[0, 1], classes=names)
    assert time.process_time() - start < 5
