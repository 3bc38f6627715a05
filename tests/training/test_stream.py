"""Decoding ahead of use: threads and processes give the same batches, in order, and name what cannot be read."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from codelab.core.errors import DataError
from tests.conftest import ROOT
from tests.support.training_runs import TINY, broken, image_set
from training.data import Data
from training.stream import CHUNK, by_processes, by_threads

CPU = torch.device("cpu")
BATCHES = [list(range(40)), list(range(39, -1, -1)), [7] * 40]  # longer than a chunk, and no multiple of one
BY = {"threads": partial(by_threads, threads=2), "processes": partial(by_processes, size=40, processes=2)}


def reader(images, **options):
    return Data(images, replace(TINY, store="stream", **options), CPU, show=False)._read


@pytest.mark.parametrize("by", BY)
def test_batches_are_those_read_one_by_one(by):
    read = reader(image_set(40))
    assert len(BATCHES[0]) % CHUNK
    for numbers, decoded in zip(BATCHES, BY[by](read, BATCHES), strict=True):
        assert decoded.numbers.tolist() == numbers
        assert not decoded.unreadable
        for place, i in enumerate(numbers):
            expected = torch.from_numpy(read(i).pixels).permute(2, 0, 1)
            assert torch.equal(decoded.pixels.one(place)[0], expected)


@pytest.mark.parametrize("by", BY)
def test_an_image_that_cannot_be_read_ends_it_in_one_line(by):
    with pytest.raises(DataError, match=r"^drawing 9: [^\n]*--skip-bad \(skip_bad\) leaves such images out$"):
        list(BY[by](reader(broken(40, 9)), BATCHES))


@pytest.mark.parametrize("by", BY)
def test_what_is_left_out_is_named(by):
    first, *_ = BY[by](reader(broken(40, 7, 9), skip_bad=True), BATCHES)
    assert first.numbers.tolist() == [*range(7), 8, 8, 10, *range(10, 40)]
    assert sorted(first.unreadable) == ["drawing 7", "drawing 9"]


def test_only_so_many_batches_are_read_ahead():
    read, asked = reader(image_set(40)), []

    def endless():
        while True:
            asked.append(1)
            yield BATCHES[0]

    for by in BY.values():
        asked.clear()
        batches = by(read, endless())
        next(batches)
        batches.close()
        assert 0 < len(asked) < 10


def test_processes_end_with_the_batches():
    batches = by_processes(reader(image_set(40)), BATCHES * 50, size=40, processes=2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    del batches
    assert not multiprocessing.active_children()


def test_a_process_that_was_killed_is_one_line():
    batches = by_processes(reader(image_set(40)), BATCHES * 50, size=40, processes=2)
    next(batches)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(DataError, match=r"^a process that decodes images has ended; [^\n]* lower workers \([^\n]+\)$"):
        list(batches)


ENDLESS = """
import multiprocessing, sys, time
from tests.training.test_stream import BATCHES, image_set, reader
from training.stream import by_processes
batches = by_processes(reader(image_set(40)), iter(lambda: BATCHES[0], None), size=40, processes=2)
next(batches)
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
for _ in batches: time.sleep(0.1)
"""


def test_processes_do_not_outlive_a_loop_that_was_killed():
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, text=True, cwd=ROOT) as loop:
        children = [int(pid) for pid in loop.stdout.readline().split()]
        loop.kill()
    end = time.monotonic() + 60
    while any(map(running, children)):
        assert time.monotonic() < end, "a process that decodes goes on without its loop"
        time.sleep(0.2)
    assert len(children) == 2


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_picture_of_another_shape_keeps_it():
    shapes = [np.full((4 + i, 9 - i, 3), i, np.uint8) for i in range(5)]

    def read(i):
        return reader(image_set(40))(i)._replace(pixels=shapes[i])

    (decoded,) = by_processes(read, [[4, 0, 2]], size=3, processes=1)
    assert decoded.pixels.size.tolist() == [[8, 5], [4, 9], [6, 7]]
    assert [int(decoded.pixels.one(k).float().mean()) for k in range(3)] == [4, 0, 2]
