"""SIGTERM and Ctrl-C at any moment: no unfinished file, one line that says what is kept, exit 143 or 130."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import codelab
from codelab import Codes
from codelab.images.encoder import Encoder, EncoderConfig
from tests.conftest import draw

NOTHING = "codelab: interrupted: nothing was written; the same call starts anew"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Inputs that every command works on for seconds."""
    folder = tmp_path_factory.mktemp("signals")
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.normal(size=(20000, 96)).astype(np.float32))
    Codes.from_bits(rng.random((6000, 128)) > 0.5, labels=rng.integers(0, 10, 6000)).save(folder / "c.parquet")
    Encoder(EncoderConfig(bits=64, image_size=48, width=16, hidden=64), seed=0).save(folder / "e.safetensors")
    (folder / "in").mkdir()
    for i in range(2100):
        draw("disc", i % 7, 12).save(folder / "in" / f"{i:04d}.png")
    return folder


CALLS = {
    "export": "export --ckpt {}/e.safetensors --data {}/in --out out/o.parquet --workers 1",
    "binarize": "binarize {}/x.npy --method itq --bits 64 --out out/o.parquet --save-coder out/o.npz",
    "report": "report {}/c.parquet --out out/o.html",
    "analyze": "analyze {}/c.parquet --json --out out/o.json",
}


def started(command, files, tmp_path):
    call = CALLS[command].replace("{}", str(files)).split()
    return subprocess.Popen(
        [sys.executable, "-m", "codelab", *call],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def catches(process, number):
    """Whether the process has a handler of this signal."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def wait_for(condition, process):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.005)


@pytest.mark.parametrize("command", CALLS)
def test_sigterm_at_start_up_and_at_work_is_one_line(command, files, tmp_path):
    """At the first moment it is caught, and at a random one."""
    for later in (0.0, random.uniform(0.2, 4.0)):
        process = started(command, files, tmp_path)
        wait_for(lambda p=process: catches(p, signal.SIGTERM), process)
        time.sleep(later)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
        if process.returncode == 0:  # it was done by then
            shutil.rmtree(tmp_path / "out")
            continue
        assert process.returncode == 143
        (line,) = errors.splitlines()
        assert line == NOTHING or (command == "export" and "0 of 3 parts are kept in out/o.parquet.parts" in line)
        assert out == ""
        left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
        assert not left


def test_an_export_says_what_is_kept_and_goes_on(files, tmp_path):
    process = started("export", files, tmp_path)
    wait_for(lambda: list(tmp_path.glob("out/o.parquet.parts/part-*.parquet")), process)
    time.sleep(0.2)  # it is counted when it is safe on disk
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    words = "1 of 3 parts are kept in out/o.parquet.parts; the same call goes on from there"
    assert errors == f"codelab: interrupted: {words}\n"
    assert process.returncode == 143
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["part-00000.parquet"]
    again = started("export", files, tmp_path)
    assert again.communicate()[0] == "out/o.parquet: 2100 codes of 64 bits\n"
    assert len(codelab.load(tmp_path / "out/o.parquet")) == 2100
    again = started("export", files, tmp_path)
    out, errors = again.communicate()
    assert again.returncode == 0
    assert out == "out/o.parquet: 2100 codes of 64 bits\n"
    assert errors == "out/o.parquet: already made by the same call, and whole; left as it is\n"


@pytest.mark.parametrize("command", ["export", "analyze"])
def test_three_ctrl_c_in_quick_succession_leave_no_traceback(command, files, tmp_path):
    for later in (0.0, random.uniform(0.1, 3.0)):
        process = started(command, files, tmp_path)
        wait_for(lambda p=process: catches(p, signal.SIGTERM), process)
        time.sleep(later)
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.002)
        _, errors = process.communicate(timeout=60)
        if process.returncode == 0:  # it was done by then
            shutil.rmtree(tmp_path / "out")
            continue
        assert process.returncode == 130
        assert len(errors.splitlines()) == 1
        assert errors.startswith("codelab: interrupted: ")


def test_what_kill_9_leaves_goes_with_the_next_call(files, tmp_path):
    (tmp_path / "out").mkdir()
    half = [tmp_path / "out" / f".{name}.codelab-abc.tmp" for name in ("o.json", "o.json", "o.parquet")]
    mine = tmp_path / "out" / ".o.json.tmp"
    for file in (*half, mine):
        file.write_text("half")
    process = started("analyze", files, tmp_path)
    process.communicate()
    assert process.returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"o.json", mine.name, half[2].name}
