"""`codelab verify`: every kind of file, sound and damaged."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.fire.files import KINDS, flipped, original, some_codes
from codelab.cli.main import main


@pytest.fixture
def run(tmp_path):
    """A run folder with an encoder, codes in a file and features."""
    for name in ("encoder.safetensors", "codes.parquet", "codes.npz", "binariser.npz"):
        original(KINDS[name], tmp_path)
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    np.save(tmp_path / "features.npy", np.ones((5, 3)))
    pq.write_table(pa.table({"emb": [[1.0, 2.0], [3.0, 4.0]]}), tmp_path / "emb.parquet")
    return tmp_path


def test_says_what_it_checked(run, capsys):
    assert main(["verify", str(run)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"ok   {run}/binariser.npz: a coder by itq, 6 features to 4 bits; CRC-32",
        f"ok   {run}/codes.npz: 60 codes of 13 bits; CRC-32",
        f"ok   {run}/codes.parquet: 60 codes of 13 bits, id, tone, age, label, code, logits; SHA-256 as written",
        f"ok   {run}/emb.parquet: features [2, 2], all finite; no SHA-256",
        f"ok   {run}/encoder.safetensors: encoder of 30 tensors; SHA-256 as written",
        f"ok   {run}/features.npy: features [5, 3], all finite; no SHA-256",
    ]


@pytest.mark.parametrize("name", ["codes.parquet", "encoder.safetensors", "codes.npz", "binariser.npz"])
def test_one_bit_in_one_file_is_found(run, capsys, name):
    data = (run / name).read_bytes()
    (run / name).write_bytes(flipped(data, 4 * len(data)))
    assert main(["verify", str(run)]) == 1
    said = capsys.readouterr()
    assert f"BAD  {run}/{name}: " in said.out
    assert said.out.count("ok   ") == 5
    assert said.err == "codelab: verify: 1 of 6 files cannot be used\n"


def test_parts_of_a_folder_one_by_one(tmp_path, capsys):
    for number in range(3):
        some_codes()[20 * number : 20 * number + 20].save(tmp_path / f"part-{number}.parquet")
    assert main(["verify", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("20 codes of 13 bits") == 3


def test_features_that_are_not_finite(tmp_path, capsys):
    np.save(tmp_path / "f.npy", np.array([[1.0, np.nan]]))
    assert main(["verify", str(tmp_path / "f.npy")]) == 1
    assert "row 0, column 1 is nan" in capsys.readouterr().out


def test_calls_that_are_wrong(tmp_path, capsys):
    (tmp_path / "note.txt").write_text("x")
    for path, message in (("none", "no such"), ("note.txt", "expected a name ending in"), ("", "a folder without")):
        assert main(["verify", str(tmp_path / path)]) == 2
        assert message in capsys.readouterr().err
