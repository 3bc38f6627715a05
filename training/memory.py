"""Memory that runs out, in one line that names the knob."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from codelab.errors import DataError

_STARVED = re.compile(r"can't allocate|could not create a primitive$")
"""How PyTorch's allocator and oneDNN say it on the processor, in a plain RuntimeError."""


@contextmanager
def needing_memory(what: str, knobs: str) -> Iterator[None]:
    """Around work that may not fit.

    Args:
        what: it is said to be out of memory for.
        knobs: what a person can do.

    Raises:
        DataError: it did not fit.

    Example:
        >>> with needing_memory("a list", "take a shorter one"):
        ...     raise MemoryError
        Traceback (most recent call last):
        codelab.errors.DataError: out of memory for a list; take a shorter one
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and not _STARVED.search(str(error)):
            raise
        raise DataError(f"out of memory for {what}; {knobs}") from None
