"""Bit rot is found: a file keeps the SHA-256 of its own bytes, and every reader compares them."""

import json
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import codelab
from benchmarks.fire.files import KINDS, codes_text, flipped, original, some_codes
from codelab import CodelabError, Codes, DataError
from codelab.core.files import KEY, PART_KEY, iter_codes, merge
from codelab.core.seal import BLANK, REWRITTEN, SEALED, UNSEALED, check_seal

DIGITS = re.compile(rb"\d{15} [0-9a-f]{64} [0-9a-f]{64}")


def footer_start(data):
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def accepted(path, data, bits, kind, expected):
    """Flips after which the seal lets the file pass, and those of them after which it holds something else."""
    passed, other = 0, []
    for bit in bits:
        path.write_bytes(flipped(data, int(bit)))
        try:
            check_seal(path)
        except DataError:
            continue
        try:
            found = kind.read(path)
        except CodelabError:
            continue
        passed += 1
        if found != expected:
            other.append(bit)
    return passed, other


def test_no_bit_of_a_footer_changes_what_is_read(tmp_path):
    """Every 13th of them; `python -m benchmarks.fire.files --kind codes.parquet --flips` tries all."""
    name = "codes.parquet"
    data, expected = original(KINDS[name], tmp_path)
    bits = range(8 * footer_start(data), 8 * len(data), 13)
    passed, other = accepted(tmp_path / name, data, bits, KINDS[name], expected)
    assert not other
    assert not passed


def test_no_bit_of_an_encoder_changes_what_is_read(tmp_path):
    name = "encoder.safetensors"
    data, expected = original(KINDS[name], tmp_path)
    bits = np.random.default_rng(0).choice(8 * len(data), 300, replace=False)
    passed, other = accepted(tmp_path / name, data, bits, KINDS[name], expected)
    assert not other
    assert passed < 10


def test_every_reader_compares(tmp_path):
    path = tmp_path / "c.parquet"
    some_codes().save(path)
    data = path.read_bytes()
    path.write_bytes(flipped(data, 8 * (footer_start(data) - 200)))
    for read in (
        codelab.load,
        lambda path: list(iter_codes(path)),
        lambda path: merge([path], tmp_path / "m.parquet", {}, keys=["a"]),
    ):
        with pytest.raises(DataError, match=r"c\.parquet: (damaged, its data|cannot be read)"):
            read(path)
    path.write_bytes(flipped(data, 8 * (footer_start(data) + 300)))
    for read in (codelab.load, lambda path: list(iter_codes(path))):
        with pytest.raises(DataError, match=r"c\.parquet: damaged, its header"):
            read(path)


def test_every_writer_seals(tmp_path):
    codes = some_codes()
    codes.meta[PART_KEY] = "a"
    codes[:30].save(tmp_path / "part-0.parquet")
    codes[30:].save(tmp_path / "part-1.parquet")
    parts = [tmp_path / "part-0.parquet", tmp_path / "part-1.parquet"]
    merge(parts, tmp_path / "whole.parquet", {}, keys=["a", "a"])
    for path in (*parts, tmp_path / "whole.parquet"):
        assert check_seal(path) == SEALED
    del codes.meta[PART_KEY]
    assert codes_text(codelab.load(tmp_path / "whole.parquet")) == codes_text(codes)
    assert "seal" not in codelab.load(tmp_path / "whole.parquet").meta


def test_files_without_a_seal_are_read(tmp_path):
    path = tmp_path / "old.parquet"
    codes = some_codes()
    codes.save(path)
    table = pq.read_table(path)
    head = json.loads(table.schema.metadata[KEY])
    del head["seal"]
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(head).encode()}), path)
    assert check_seal(path) == UNSEALED
    assert codes_text(codelab.load(path)) == codes_text(codes)
    kind = KINDS["encoder.safetensors"]
    _, expected = original(kind, tmp_path)
    path = tmp_path / kind.name
    with safe_open(path, framework="pt") as file:
        head = json.loads(file.metadata()["codelab"])
    del head["seal"]
    save_file(load_file(path), path, metadata={"codelab": json.dumps(head)})
    assert check_seal(path) == UNSEALED
    assert kind.read(path) == expected


def test_a_column_added_by_another_program_is_read(tmp_path):
    path = tmp_path / "c.parquet"
    some_codes().save(path)
    table = pq.read_table(path)
    pq.write_table(table.append_column("mood", pa.array(["calm"] * 60)), path)
    assert check_seal(path) == REWRITTEN
    assert codelab.load(path).attributes == ["tone", "age", "mood"]


def test_provenance_that_looks_like_a_seal_is_kept_apart(tmp_path):
    codes = Codes.from_bits(np.eye(3), meta={"seal": "mine", "other": BLANK})
    codes.save(tmp_path / "c.parquet")
    assert check_seal(tmp_path / "c.parquet") == SEALED
    assert codelab.load(tmp_path / "c.parquet").meta["other"] == BLANK


@pytest.mark.parametrize("name", ["codes.parquet", "encoder.safetensors"])
def test_a_flip_in_the_seal_itself_is_found(tmp_path, name):
    data, _ = original(KINDS[name], tmp_path)
    path = tmp_path / name
    digits = data.rindex(b"seal", 0, data.rindex(b'"format')) + 20
    for byte in (digits, digits + 20, digits + 100):
        path.write_bytes(flipped(data, 8 * byte + 7))
        with pytest.raises(DataError, match="damaged"):
            check_seal(path)


@pytest.mark.parametrize("kind", ["codes.parquet", "encoder.safetensors"])
def test_no_bit_of_the_seal_itself_is_taken_for_another_program(kind, tmp_path):
    data, _ = original(KINDS[kind], tmp_path)
    start, stop = DIGITS.search(data).span()
    for bit in range(8 * start, 8 * stop):
        (tmp_path / kind).write_bytes(flipped(data, bit))
        with pytest.raises(DataError, match="damaged"):
            check_seal(tmp_path / kind)


def test_the_seal_of_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "c.parquet")
    with pytest.raises(OSError, match="not a regular file"):
        check_seal(tmp_path / "c.parquet")
