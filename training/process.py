"""The process: its device and precision, and its memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from codelab.core.errors import DataError, UsageError
from training.config import Precision


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
