"""Images of a stream, decoded ahead of their use: by threads, or by processes beside a GPU.

Threads share Python's lock with the loop. A loop that computes on the CPU hardly needs the lock; one that launches
kernels on a GPU takes it thousands of times a step, and 16 decoding threads make it wait each time.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from codelab.core.errors import DataError, first_line
from training.pictures import Pictures

AHEAD = 3
"""Batches that are decoded ahead."""
CHUNK = 32
"""Images that a process decodes at a time: their pixels pass to the loop in one piece of shared memory."""


class Decoded(NamedTuple):
    """Images: their numbers int64 `[n]`, their pixels, and what could not be read on the way (path -> reason)."""

    numbers: Tensor
    pixels: Pictures
    unreadable: dict[str, str]


class One(NamedTuple):
    """An image: its number, its pixels `[height, width, 3]`, and what could not be read before it."""

    number: int
    pixels: np.ndarray
    unreadable: dict[str, str]


Read = Callable[[int], One]


def stacked(images: Iterable[One]) -> Decoded:
    """Images together."""
    images = list(images)
    numbers = torch.tensor([image.number for image in images])
    return Decoded(numbers, Pictures.of([image.pixels for image in images]), _unreadable(images))


def _unreadable(parts: Iterable[One | Decoded]) -> dict[str, str]:
    """What could not be read on the way to any of them."""
    return {path: reason for part in parts for path, reason in part.unreadable.items()}


def by_threads(read: Read, batches: Iterable[list[int]], threads: int) -> Iterator[Decoded]:
    """The batches, decoded by threads that are up to `AHEAD` batches ahead.

    Raises:
        DataError: what `read` raises.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        coming = iter(batches)
        ahead = deque([pool.submit(read, i) for i in numbers] for numbers in islice(coming, AHEAD))
        while ahead:
            batch = ahead.popleft()
            ahead.extend([pool.submit(read, i) for i in numbers] for numbers in islice(coming, 1))
            yield stacked(future.result() for future in batch)
    finally:
        pool.shutdown(cancel_futures=True)


class _Chunks(Dataset[Decoded | DataError]):
    """A data set whose items are chunks of images; an image that cannot be read makes its chunk an error."""

    def __init__(self, read: Read) -> None:
        self.read = read

    def __getitem__(self, numbers: list[int]) -> Decoded | DataError:
        try:
            return stacked(map(self.read, numbers))
        except DataError as error:  # raised here, it would reach the loop within a traceback of text
            return error


def by_processes(read: Read, batches: Iterable[list[int]], size: int, processes: int) -> Iterator[Decoded]:
    """The batches of `size` images, decoded by processes that are `AHEAD` batches ahead; they are forked at once.

    Raises:
        DataError: what `read` raises, or a process ended, as where memory is short.
    """
    chunks = (numbers[i : i + CHUNK] for numbers in batches for i in range(0, size, CHUNK))
    parts = -(-size // CHUNK)
    loader = DataLoader(
        _Chunks(read),
        batch_size=None,  # an item is a chunk already
        sampler=chunks,
        collate_fn=_as_it_is,
        num_workers=processes,
        prefetch_factor=max(2, -(-AHEAD * parts // processes)),
        multiprocessing_context="fork",  # what reads images need not be picklable
        worker_init_fn=_let_the_loop_end_it,
    )
    # Started in the main thread, a loader takes over SIGCHLD, and a process that ends raises anywhere in the loop.
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(iter, loader).result()
    return _batches(coming, parts)


def can_fork() -> bool:
    return "fork" in multiprocessing.get_all_start_methods()


def _as_it_is(chunk: Any) -> Any:
    return chunk


def _let_the_loop_end_it(_: int) -> None:
    """Ctrl-C reaches every process of a terminal: the loop ends, and its processes after it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _batches(coming: Iterator[Decoded | DataError], parts: int) -> Iterator[Decoded]:
    """Chunks joined to batches of so many parts."""
    try:
        while batch := [chunk for _ in range(parts) if (chunk := _chunk(coming)) is not None]:
            values, size = (torch.cat(t) for t in zip(*((d.pixels.values, d.pixels.size) for d in batch), strict=True))
            numbers = torch.cat([d.numbers for d in batch])
            yield Decoded(numbers, Pictures.laid_out(values, size), _unreadable(batch))
    finally:
        del coming  # its processes end now: an error's traceback would keep it, and them


def _chunk(coming: Iterator[Decoded | DataError]) -> Decoded | None:
    """The next chunk, None at the end."""
    try:
        chunk = next(coming, None)
    except (RuntimeError, OSError, EOFError) as error:  # what PyTorch raises when a process is gone
        raise DataError(
            "a process that decodes images has ended; it may have had too little memory, or /dev/shm (in Docker: "
            f"--shm-size) too little room: lower workers ({first_line(error)})"
        ) from None
    finally:
        del coming
    if isinstance(chunk, DataError):
        raise chunk
    return chunk
