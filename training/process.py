"""The process: its device and precision, its memory, and the signals that stop it."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from codelab.core.errors import DataError, UsageError
from training.distributed import rank, world


def find_device(name: str) -> torch.device:
    """The device a config names; under `torchrun` each process has a GPU of its own.

    Raises:
        UsageError: cuda is asked for, and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("config: device is cuda, and there is none; expected auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if number >= torch.cuda.device_count():
        raise UsageError(f"config: process {number} has no GPU of its own, there are {torch.cuda.device_count()}")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def find_precision(name: str, device: torch.device) -> torch.dtype:
    """The number type of matrix products: bf16 where the hardware has it, unless the config names one."""
    if name == "auto":
        # On a CPU without bf16 instructions bf16 is emulated, and slower than fp32.
        fast = device.type == "cuda" or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if name == "bf16" else torch.float32


_STARVED = re.compile(r"can't allocate|could not create a primitive$")
"""Messages of PyTorch's allocator and of oneDNN on a CPU without memory; both raise a plain RuntimeError."""


@contextmanager
def needing_memory(what: str, knobs: str) -> Iterator[None]:
    """Around work that may not fit.

    Args:
        what: what the memory is for, for the message.
        knobs: what a person can do, for the message.

    Raises:
        DataError: it did not fit.

    Example:
        >>> with needing_memory("a list", "take a shorter one"):
        ...     raise MemoryError
        Traceback (most recent call last):
        codelab.core.errors.DataError: out of memory for a list; take a shorter one
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and not _STARVED.search(str(error)):
            raise
        raise DataError(f"out of memory for {what}; {knobs}") from None


_ECHO = 5.0
"""Seconds in which a second signal counts as the first one again."""


@contextmanager
def stop_signals(go_on: str) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGINT or SIGTERM came; the step in progress is finished first.

    A second signal stops at once, and the last checkpoint stays. With several processes a signal within seconds of the
    first is ignored: a scheduler signals every process, and `torchrun` signals its own once more.

    Args:
        go_on: how a person goes on after an interruption, for the message.
    """
    came = threading.Event()
    first = 0.0

    def note(*_: object) -> None:
        nonlocal first
        if came.is_set():
            if world() > 1 and time.monotonic() - first < _ECHO:
                return
            raise KeyboardInterrupt(f"at once, at the last checkpoint; {go_on}")
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
