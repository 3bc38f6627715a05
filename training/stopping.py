"""SIGINT and SIGTERM end a run after the step in progress."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from training.distributed import rank, world

_ECHO = 5.0
"""Seconds."""


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether SIGINT or SIGTERM came; the step in progress is finished first.

    A second signal stops at once: the last checkpoint stands. Among many processes one that follows within seconds is
    the same one: a scheduler tells every process, and `torchrun` tells its own again.
    """
    came = threading.Event()
    first = 0.0

    def note(*_: object) -> None:
        nonlocal first
        if came.is_set():
            if world() > 1 and time.monotonic() - first < _ECHO:
                return
            raise KeyboardInterrupt("at once; go on from the last checkpoint with --resume")
        came.set()
        first = time.monotonic()
        if rank() == 0:
            print("stopping after this step; once more to stop at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield came.is_set
        return
    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
