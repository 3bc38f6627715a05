"""One writer at a time: a lock says who holds it, goes with its process, and works where a file system has none."""

import errno
import fcntl
import json
import os
import platform
import subprocess
import sys
import threading

import pytest

from codelab import UsageError
from codelab.core.lock import locked, output_lock

HOLDING = """
import sys, time
from pathlib import Path
from codelab.core.lock import output_lock
with output_lock(Path(sys.argv[1])):
    print("holding", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDING, tmp_path / "c.parquet"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"holding\n"
    yield process
    process.kill()
    process.wait()


def test_the_lock_names_who_holds_it_and_goes_with_it(holder, tmp_path):
    out = tmp_path / "c.parquet"
    words = rf"c\.parquet: another process is writing it; stop it first \(host {platform.node()}, process {holder.pid}"
    with pytest.raises(UsageError, match=rf"{words}, since 20\d\d-"), output_lock(out):
        pass
    with output_lock(tmp_path / "other.parquet"):
        pass
    holder.kill()
    holder.wait()
    with output_lock(out):
        assert json.loads((tmp_path / ".c.parquet.codelab-lock").read_text())["process"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_many_who_come_at_once_enter_one_by_one(tmp_path):
    inside, most, refused = [], [], []

    def enter():
        for _ in range(60):
            try:
                with output_lock(tmp_path / "c"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except UsageError:
                refused.append(1)

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(most) + len(refused) == 480
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_locks(monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_file_system_without_locks(no_locks, tmp_path):
    file = tmp_path / "lock"
    words = r"busy \(host .*\); this file system has no locks: if"
    with locked(file, "busy"), pytest.raises(UsageError, match=words), locked(file, "busy"):
        pass
    assert not file.exists()
    ended = subprocess.Popen(["true"])
    ended.wait()
    file.write_text(json.dumps({"host": platform.node(), "process": ended.pid, "since": "then"}))
    with locked(file, "busy"):  # stale: its process has ended
        assert json.loads(file.read_text())["process"] == os.getpid()
    file.write_text(json.dumps({"host": "another", "process": ended.pid, "since": "then"}))
    words = rf"busy \(host another, process {ended.pid}, since then\).*remove {file}"
    with pytest.raises(UsageError, match=words), locked(file, "busy"):
        pass


def test_a_fifo_in_the_place_of_the_lock_is_named(tmp_path):
    os.mkfifo(tmp_path / ".c.parquet.codelab-lock")
    with pytest.raises(OSError, match=r"\.c\.parquet\.codelab-lock"), output_lock(tmp_path / "c.parquet"):
        pass
