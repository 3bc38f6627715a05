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

from codelab.core.errors import DataError, Terminated, UsageError
from training.config import Precision
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


PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Number types of matrix products, by the names a config has for them."""


def find_precision(name: Precision, device: torch.device) -> Precision:
    """The number type of matrix products that a config names, `auto` resolved for this device.

    Raises:
        UsageError: bf16 on a GPU that has none and would emulate it.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        if name == "bf16" and not native:
            raise UsageError("config: precision is bf16, and this GPU has none; expected auto, fp16 or fp32")
        return ("bf16" if native else "fp16") if name == "auto" else name
    if name == "auto":  # on a CPU without bf16 instructions bf16 is emulated, and slower than fp32
        return "bf16" if getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)() else "fp32"
    return name


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


def stopped(number: int, text: str) -> KeyboardInterrupt:
    """What a run that this signal stopped raises."""
    return Terminated(text) if number == signal.SIGTERM else KeyboardInterrupt(text)


@contextmanager
def stop_signals(go_on: str) -> Iterator[Callable[[], int]]:
    """Yields a function that gives SIGINT or SIGTERM where it came, else 0; the step in progress is finished first.

    A second signal stops at once, and the last checkpoint stays. With several processes a signal within seconds of the
    first is ignored: a scheduler signals every process, and `torchrun` signals its own once more.

    Args:
        go_on: how a person goes on after an interruption, for the message.
    """
    came, first = 0, 0.0

    def note(number: int, _: object) -> None:
        nonlocal came, first
        if came:
            if world() > 1 and time.monotonic() - first < _ECHO:
                return
            raise stopped(number, f"at once, at the last checkpoint; {go_on}")
        came, first = number, time.monotonic()
        if rank() == 0:
            print("stopping after this step; once more to stop at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield lambda: came
        return
    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
