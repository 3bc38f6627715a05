"""SIGINT and SIGTERM end a run after the step in progress."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from training.distributed import rank


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether SIGINT or SIGTERM came; the step in progress is finished first.

    A second signal stops at once: the last checkpoint stands.
    """
    came = threading.Event()

    def note(*_: object) -> None:
        if came.is_set():
            raise KeyboardInterrupt("at once; go on from the last checkpoint with --resume")
        came.set()
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
