"""One run a folder at a time: a process left over from a killed `torchrun` must not write beside its successor."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from codelab.errors import UsageError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold it; the system lets go of it when the process ends, however it ends.

    A folder that was made here and is still empty at the end is taken away again.

    Raises:
        UsageError: another process holds it, or it is a file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "run")
        >>> with locked(folder):
        ...     folder.exists()
        True
        >>> folder.exists()
        False
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: a file, expected a folder for the run")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: another process is training in this folder; stop it first") from None
        yield
    finally:
        os.close(handle)
        if made:
            with suppress(OSError):  # not empty
                folder.rmdir()
