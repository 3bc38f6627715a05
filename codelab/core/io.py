"""Atomic writes: a file appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codelab.core.errors import UsageError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`: renamed to `path` if the block succeeds, deleted if it fails.

    The file is flushed to disk before the rename and the folder after it, so a killed process or a power cut leaves
    either the old file or the new one.

    Example:
        >>> with atomic_path("/tmp/answer.txt") as part:
        ...     _ = part.write_text("42")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        part.unlink(missing_ok=True)


def check_output(path: str | Path) -> None:
    """Refuse an output path that cannot be written, before any work is done.

    Raises:
        UsageError: the path is a folder, or its folder cannot be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path}: a folder, expected the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: its folder cannot be made ({error.strerror})") from None
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: its folder cannot be written to")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
