"""Files appear whole or not at all; what a killed process leaves goes with the next; only our own is ever removed."""

import os
import subprocess
import sys

import pytest

import codelab
from codelab import DataError, UsageError
from codelab.core.io import atomic_path, check_output, read_regular, remove_unfinished
from codelab.features.sources import open_features
from codelab.images.sources import open_images

WRITING = """
import sys, time
from codelab.core.io import atomic_path
with atomic_path(sys.argv[1]) as part:
    part.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def writing(path):
    """A process that is in the middle of a write."""
    process = subprocess.Popen([sys.executable, "-c", WRITING, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    return process


def test_the_next_write_removes_what_a_killed_one_left_and_nothing_else(tmp_path):
    mine = tmp_path / ".a.txt.mine.tmp"
    mine.write_text("mine")
    other = writing(tmp_path / "b.txt")
    killed = writing(tmp_path / "a.txt")
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.glob(".a.txt.codelab-*.tmp"))) == 1
    with atomic_path(tmp_path / "a.txt") as part:
        part.write_text("whole")
    remove_unfinished(tmp_path)
    half = list(tmp_path.glob(".b.txt.codelab-*.tmp"))  # is being written
    other.kill()
    other.wait()
    assert len(half) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", mine.name, half[0].name}
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", mine.name}


def test_two_writes_of_one_file_do_not_remove_each_other(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as first, atomic_path(path) as second:
        first.write_text("1")
        second.write_text("2")
    assert path.read_text() == "1"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_with_wildcards_matches_itself_alone(tmp_path):
    (tmp_path / ".ab.codelab-x.tmp").write_text("of ab")
    with atomic_path(tmp_path / "a[b]") as part:
        part.write_text("x")
    assert (tmp_path / ".ab.codelab-x.tmp").exists()


FULL = """
import resource, signal, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from codelab.core.command import run
from codelab.core.io import atomic_path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
noise = np.random.default_rng(0).bytes(1 << 20)

def work():
    kind, path = sys.argv[1:]
    if kind == "tensors":
        import torch
        from codelab.core.tensors import write_tensors
        return write_tensors(path, {"x": torch.rand(1 << 18)}, {})
    with atomic_path(path) as part:
        if kind == "text":
            part.write_text("x" * (1 << 20))
        elif kind == "numpy":
            with part.open("wb") as file:
                np.savez(file, x=np.frombuffer(noise, np.uint8))
        else:
            pq.write_table(pa.table({"x": [noise]}), part)

sys.exit(run(work, name="codelab"))
"""


@pytest.mark.parametrize("kind", ["text", "numpy", "parquet", "tensors"])
def test_a_full_disk_names_the_file(kind, tmp_path):
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", FULL, kind, str(out)], capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(f"codelab: {out}: ")
    assert list(tmp_path.iterdir()) == []


def test_stdout_on_a_full_disk_is_named():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        code = "from codelab.core.command import run; raise SystemExit(run(lambda: print('x'), name='codelab'))"
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "codelab: standard output: No space left on device\n"


def test_an_output_that_is_there_or_has_no_name(tmp_path):
    (tmp_path / "a").write_text("mine")
    check_output(tmp_path / "a")
    check_output(tmp_path / "b", overwrite=False)
    with pytest.raises(UsageError, match="a: is there already; --overwrite replaces it"):
        check_output(tmp_path / "a", overwrite=False)
    with pytest.raises(UsageError, match="found '' as the name"):
        check_output("")


@pytest.mark.timeout(20)
def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "zero"):
        if path.name == "zero":
            path.symlink_to("/dev/zero")
        with pytest.raises(OSError, match="not a regular file"):
            read_regular(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["a.parquet", "a.npy", "a.npz"])
@pytest.mark.parametrize("device", ["", "/dev/zero"])
def test_codes_and_data_sets_are_regular_files(tmp_path, name, device):
    path = tmp_path / "parts" / name
    path.parent.mkdir()
    if device:
        path.symlink_to(device)
    else:
        os.mkfifo(path)
    readers = [codelab.load, *([open_images, open_features] if path.suffix == ".parquet" else [])]
    for read in readers:
        with pytest.raises(DataError, match="not a regular file"):
            read(path)
    if path.suffix == ".parquet":
        for read in readers:
            with pytest.raises(DataError, match="not a regular file"):
                read(path.parent)
