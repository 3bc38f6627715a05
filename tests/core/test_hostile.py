"""Files that were made to break a reader are refused in one line, never with a traceback."""

import json
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

import codelab
from benchmarks.fire.files import KINDS, original
from codelab import DataError
from codelab.core.files import KEY, iter_codes
from codelab.images.encoder import Encoder

THREE = pa.array([b"\1"] * 3, pa.binary(1))
NOT_UTF8 = pa.StringArray.from_buffers(3, pa.py_buffer(np.arange(4, dtype=np.int32)), pa.py_buffer(b"\xff\xfea"))
FAR = pa.array([10**8] * 3, pa.int32()).cast(pa.date32())
HEAD = {"format": 1, "bits": 8, "classes": ["a"]}


def one_line(read, path, message):
    with pytest.raises(DataError, match=message) as error:
        read(path)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 1000
    assert path.name in str(error.value)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b'{"a":' * 60_000, "provenance cannot be read"),
        (json.dumps({**HEAD, "format": "z" * 1_000_000}), "format 'z"),
        (b'{"format": 1, "classes": [], "bits": ' + b"9" * 6000 + b"}", "provenance cannot be read"),
        (b'{"format": 1, "classes": [], "bits": ' + b"9" * 200 + b"}", "column 'code' is fixed_size_binary"),
        (json.dumps({**HEAD, "classes": [{"a": 1}]}), "its classes hold dict, expected names"),
        (b"\xff\xfe{}", "provenance cannot be read"),
    ],
)
def test_provenance(tmp_path, head, message):
    path = tmp_path / "c.parquet"
    pq.write_table(pa.table({"code": THREE}).replace_schema_metadata({KEY: head}), path)
    one_line(codelab.load, path, message)
    one_line(lambda path: list(iter_codes(path)), path, message)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("tone", NOT_UTF8, "cannot be read .*UTF8"),
        ("tone", pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), NOT_UTF8), "cannot be read .*UTF8"),
        ("when", FAR, "column 'when' cannot be read .*out of range"),
        ("when", pa.StructArray.from_arrays([FAR], ["day"]), "column 'when' cannot be read .*out of range"),
        ("when", pa.array([2**62] * 3).cast(pa.timestamp("ms")), "column 'when' cannot be read"),
        ("when", pa.array([1] * 3).cast(pa.timestamp("s", tz="No/Where")), "column 'when' cannot be read"),
        ("id", pa.array([{"a": 1}] * 3), "items: column 'id' is struct"),
        ("id", pa.array([["a"]] * 3), "items: column 'id' is list"),
        ("label", pa.array([{"a": 1}] * 3), "labels: expected integers"),
    ],
)
def test_columns(tmp_path, column, values, message):
    path = tmp_path / "c.parquet"
    table = pa.table({"code": THREE, column: values})
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(HEAD)}), path)
    one_line(codelab.load, path, message)
    one_line(lambda path: list(iter_codes(path)), path, message)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pa.array([1] * 3), "column 'labels' is int64, expected lists of class numbers"),
        (pa.array([["a"]] * 3), "column 'labels' is list<.*string>, expected lists of class numbers"),
        (pa.array([[0, None]] * 3, pa.list_(pa.int32())), "column 'labels': row 1 is empty"),
        (pa.array([[0], [], [-1]], pa.list_(pa.int32())), "row 2 names class -1, expected 0 to 0"),
    ],
)
def test_lists_of_classes(tmp_path, labels, message):
    path = tmp_path / "c.parquet"
    table = pa.table({"code": THREE, "labels": labels})
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps({**HEAD, "multilabel": True})}), path)
    one_line(codelab.load, path, message)


def marked(path, signatures, mark):
    """The zip file with two bytes of its headers changed."""
    data = bytearray(path.read_bytes())
    for signature, offset in signatures:
        place = data.find(signature) + offset
        data[place] = mark(data[place])
    path.write_bytes(data)


def npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def test_npz_of_odd_entries(tmp_path):
    path = npz(tmp_path / "encrypted.npz", bits=np.eye(8))
    marked(path, [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)], lambda flags: flags | 1)
    one_line(codelab.load, path, "not a whole NumPy file .*encrypted")
    path = npz(tmp_path / "odd.npz", bits=np.eye(8))
    marked(path, [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)], lambda method: 97)
    one_line(codelab.load, path, "not a whole NumPy file .*compression")
    path = tmp_path / "raw.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("codes", b"hello, these are no numbers")
    one_line(codelab.load, path, "no array")
    path = tmp_path / "deep.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("codes.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000)
    one_line(codelab.load, path, "not a whole NumPy file")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array("x"), "labels: expected one for each of 8 codes"),
        (np.array(3), "labels: expected one for each of 8 codes"),
        (np.zeros(8, dtype=[("a", "i4")]), "values of type"),
        (np.zeros(8, dtype="M8[s]"), "values of type datetime64"),
        (np.array([["a"]] * 8), "labels: expected integers"),
    ],
)
def test_npz_of_odd_labels(tmp_path, labels, message):
    one_line(codelab.load, npz(tmp_path / "c.npz", bits=np.eye(8), labels=labels), message)


def test_npy_that_claims_more_than_it_has(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 8), }"
    path = tmp_path / "c.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64))
    one_line(codelab.load, path, "64 bytes of data, expected 64000000000000")


def test_headers_of_encoders(tmp_path):
    path = tmp_path / "e.safetensors"
    for config, message in [
        ("[" * 100_000, "not a whole safetensors file"),
        ('{"training": ' + '{"a":' * 5000 + "1" + "}" * 5001, "not a whole safetensors file"),
        ('{"bits": ' + "9" * 6000 + "}", "not a whole safetensors file"),
        ('{"bits": ' + "9" * 400 + "}", "config cannot be used"),
        ('{"mean": [1e999, "x", {}]}', "config cannot be used"),
        ('{"mean": [1' + "0" * 400 + ", 1, 1]}", "config cannot be used"),
        ('{"image_size": 1000000}', "image_size is 1000000, expected at most 4096"),
        ('{"backbone": ["conv"]}', "config cannot be used"),
    ]:
        header = f'{{"format": 1, "kind": "encoder", "config": {config}}}'
        save_file({"a": torch.zeros(1)}, path, metadata={"codelab": header})
        one_line(Encoder.load, path, message)


def test_types_of_tensors(tmp_path):
    kind = KINDS["encoder.safetensors"]
    original(kind, tmp_path)
    path = tmp_path / kind.name
    tensors = load_file(path)
    config = json.dumps({**HEAD, "kind": "encoder", "config": {"bits": 8, "image_size": 16, "width": 2, "hidden": 8}})
    for dtype in (torch.float8_e4m3fn, torch.complex64, torch.int32):
        odd = {**tensors, "head.0.bias": tensors["head.0.bias"].to(dtype)}
        save_file(odd, path, metadata={"codelab": config})
        one_line(Encoder.load, path, rf"tensor head\.0\.bias is {dtype}, expected torch.float32")
    half = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    save_file(half, path, metadata={"codelab": config})
    assert Encoder.load(path).config.bits == 8
