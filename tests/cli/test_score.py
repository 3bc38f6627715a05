"""`codelab score` as a user meets it: outputs, provenance, what is refused, and a kill in the middle."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from codelab import Codes
from codelab.cli.main import main
from codelab.cli.score import _hash_of_images


@pytest.fixture
def codes(tmp_path, monkeypatch):
    """Two files of the same images, without features, which makes most controls empty and the test fast."""
    monkeypatch.setenv("CODELAB_CACHE", str(tmp_path / "cache"))
    labels = np.arange(96) % 3
    for seed, name in enumerate(("a", "b", "untrained")):
        flips = np.random.default_rng(seed).random((96, 3)) < (0.4 if name == "untrained" else 0.1)
        Codes.from_bits((np.eye(3)[labels] > 0) ^ flips, labels).save(tmp_path / f"{name}.parquet")
    return tmp_path


def fails(capsys, code, *arguments):
    try:
        returned = main([str(a) for a in arguments])
    except SystemExit as stop:
        returned = stop.code
    said = capsys.readouterr()
    assert returned == code, said
    assert said.err.count("\n") == 1
    return said.err.strip()


def test_table_and_json_with_the_hash_of_every_input(codes, capsys, monkeypatch):
    call = ["score", str(codes / "a.parquet"), str(codes / "b.parquet"), "--out", str(codes / "card.md")]
    monkeypatch.setattr(sys, "argv", ["codelab", *call])
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "a and b: no reliable difference in any valid column." in said
    assert said.splitlines()[-2:] == [str(codes / "card.md"), str(codes / "card.json")]
    found = json.loads((codes / "card.json").read_text())
    assert [row["name"] for row in found["rows"]][:3] == ["a", "b", "untrained encoder"]
    inputs = {one["file"]: one["sha256"] for one in found["provenance"]["inputs"]}
    for name in ("a", "b", "untrained"):
        path = codes / f"{name}.parquet"
        assert inputs[str(path)] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["provenance"]["command"].startswith("codelab score ")
    assert "is there already; --overwrite replaces it" in fails(capsys, 2, *call)


def test_an_untrained_checkpoint_without_its_codes_is_named(codes, capsys):
    for folder, streamed in (("whole", []), ("blocks", ["--stream"])):
        (codes / folder).mkdir()
        (codes / folder / "untrained.safetensors").write_bytes(b"")
        shutil.copy(codes / "a.parquet", codes / folder / "a.parquet")
        call = ["score", str(codes / folder / "a.parquet"), "--out", str(codes / f"{folder}.json")]
        assert main([*call, *streamed]) == 0
        said = capsys.readouterr().err
        assert "untrained.safetensors, which needs the images: --untrained " in said
        assert said.count("--data IMAGES") == 1


def test_the_hash_of_images_is_that_of_every_name_and_file(tmp_path):
    (tmp_path / "photos" / "b").mkdir(parents=True)
    (tmp_path / "photos" / "a.png").write_bytes(b"1")
    (tmp_path / "photos" / "b" / "c.png").write_bytes(b"2")
    lines = f"{hashlib.sha256(b'1').hexdigest()}  a.png\n{hashlib.sha256(b'2').hexdigest()}  b/c.png\n"
    found = _hash_of_images(str(tmp_path / "photos"))
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert found == {"folder": str(tmp_path / "photos"), "files": 2, "sha256": expected}
    one = str(tmp_path / "photos" / "a.png")
    assert _hash_of_images(one) == {"file": one, "sha256": hashlib.sha256(b"1").hexdigest()}


def test_options_that_would_be_ignored_are_refused(codes, capsys):
    call = ["score", codes / "a.parquet", "--out", codes / "card.json"]
    assert "--labels goes with --data" in fails(capsys, 2, *call, "--labels", "labels.csv")
    assert "without --by, --split, --packing, --code-bits" in fails(capsys, 2, *call, "--stream", "--code-bits", "3")


def test_files_of_one_name_are_one_row(codes, capsys):
    out = codes / "card.json"
    assert main(["score", f"m={codes / 'a.parquet'}", f"m={codes / 'b.parquet'}", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert (found["rows"][0]["name"], found["rows"][0]["codes"]) == ("m", 2)
    assert any(column["name"] == "matched" for column in found["columns"])


def test_wrong_calls_are_one_line(codes, capsys):
    a, out = codes / "a.parquet", codes / "card.html"
    assert "expected a file name ending in .html" in fails(capsys, 2, "score", a, "--out", codes / "card.pdf")
    assert "is named twice" in fails(capsys, 2, "score", a, a, "--out", out)
    assert "expected NAME=PATH" in fails(capsys, 2, "score", f"={a}", "--out", out)
    assert "--data goes with a checkpoint" in fails(capsys, 2, "score", a, "--data", "demo", "--out", out)
    checkpoint = fails(capsys, 2, "score", a, "--untrained", "x.safetensors", "--out", out)
    assert checkpoint.endswith("--untrained x.safetensors is a checkpoint, which needs the images as --data")
    beside = fails(capsys, 2, "score", a, "--untrained", codes, "--data", "demo", "--out", out)
    assert beside.endswith(f"(.safetensors or timm:NAME) as --untrained, found {codes}")
    assert "groups='emoji': these codes have no attributes" in fails(
        capsys, 2, "score", a, "--group", "emoji", "--out", out
    )
    assert not out.exists()


def test_a_killed_call_goes_on_where_it_stopped(codes, monkeypatch):
    files = [str(codes / name) for name in ("a.parquet", "b.parquet")]
    call = [sys.executable, "-m", "codelab", "score", *files, "--out", str(codes / "card.json")]
    process, cells = subprocess.Popen(call, stdout=subprocess.DEVNULL), codes / "cache" / "results"
    while len(list(cells.glob("*.npz"))) < 5:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (codes / "card.json").exists()
    before = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.npz")}
    assert main([*call[3:]]) == 0
    after = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.npz")}
    assert len(after) > len(before)
    assert {name: after[name] for name in before} == before  # not one of them was measured again
    monkeypatch.setenv("CODELAB_CACHE", str(codes / "other"))
    assert main(["score", *files, "--out", str(codes / "whole.json")]) == 0
    resumed, whole = (json.loads((codes / name).read_text()) for name in ("card.json", "whole.json"))
    assert resumed["cells"] == whole["cells"]
    assert resumed["differences"] == whole["differences"]


def test_streamed_files_have_the_columns_that_add(codes, capsys):
    a, out = codes / "a.parquet", codes / "card.json"
    wrong = fails(capsys, 2, "score", a, "--stream", "--split", "test", "--out", out)
    assert wrong.endswith("block by block, without --by, --split, --packing, --code-bits and --data")
    assert main(["score", str(a), str(codes / "b.parquet"), "--stream", "--out", str(out)]) == 0
    assert main(["score", str(a), str(codes / "b.parquet"), "--out", str(codes / "whole.json")]) == 0
    streamed, whole = (json.loads((codes / name).read_text())["cells"] for name in ("card.json", "whole.json"))
    values = {(cell["row"], cell["column"]): cell["value"] for cell in whole}
    found = [cell for cell in streamed if cell["value"] is not None]
    assert {cell["row"] for cell in found} == {"a", "b", "untrained encoder", "oracle"}
    assert {cell["column"] for cell in found} >= {"mean_entropy", "phi:class"}
    assert all(values[cell["row"], cell["column"]] == cell["value"] for cell in found)
