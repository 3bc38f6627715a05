"""Where a run computes, and in which precision."""

from __future__ import annotations

import os

import torch

from codelab.errors import UsageError


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
    """The type of products: bf16 where the hardware has it, unless the config names one."""
    if name == "auto":
        # On a CPU without bf16 instructions bf16 is emulated, and slower than fp32.
        fast = device.type == "cuda" or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if name == "bf16" else torch.float32
