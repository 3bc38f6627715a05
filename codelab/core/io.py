"""Atomic writes: a file appears whole or not at all; what a killed process left half written goes with the next."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from codelab.core.errors import UsageError
from codelab.core.signals import unfinished

_MARK = ".codelab-"
"""Stands in the name of every temporary file of ours, `.NAME.codelab-RANDOM.tmp`: no other is ever removed."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`: renamed to `path` if the block succeeds, deleted if it fails.

    The file is flushed to disk before the rename and the folder after it, so a killed process or a power cut leaves
    either the old file or the new one. Temporary files that a killed process left for the same `path` are removed.

    Raises:
        OSError: it cannot be written; the error names `path`, also where the disk is full.

    Example:
        >>> with atomic_path("/tmp/answer.txt") as part:
        ...     _ = part.write_text("42")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent, path.name)
    with naming(path, any_error=True):
        part, handle = _temporary(path)
    try:
        with naming(path, part):
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
        unfinished.discard(part)
        os.close(handle)


def _temporary(path: Path) -> tuple[Path, int]:
    """A new temporary file for `path`, and the handle that keeps it locked: one that is not locked is left over."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}{_MARK}", suffix=".tmp", dir=path.parent)
        unfinished.add(Path(name))
        with suppress(OSError):  # a file system without locks: what a killed process leaves stays
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_open_file(Path(name), handle):
            return Path(name), handle
        os.close(handle)  # removed as left over, in the instant before it was locked
        unfinished.discard(Path(name))


def remove_unfinished(folder: Path, name: str = "") -> None:
    """Remove the temporary files of processes that were killed.

    Args:
        folder: where they are.
        name: of the file they were written for; empty: any.
    """
    for path in folder.glob(f".{glob.escape(name) or '*'}{_MARK}*.tmp"):
        with suppress(OSError):  # locked, so in use; or on a file system without locks, or somebody else's
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def is_open_file(path: Path, handle: int) -> bool:
    """Whether `path` still names the file that is open as `handle`."""
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(handle))
    except FileNotFoundError:
        return False


@contextmanager
def naming(path: str | Path, part: Path | None = None, *, any_error: bool = False) -> Iterator[None]:
    """Let errors of a full disk, which name no file, and those that name the temporary file `part`, name `path`.

    Args:
        any_error: every OSError names `path`.

    Example:
        >>> with naming("codes.parquet"):
        ...     raise OSError(errno.ENOSPC, "")
        Traceback (most recent call last):
        OSError: [Errno 28] No space left on device: 'codes.parquet'
    """
    try:
        yield
    except OSError as error:
        full = error.filename is None and error.errno in _FULL
        ours = part is not None and error.filename in (part, str(part))
        if error.errno is None or not (any_error or full or ours):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: there is no such file, it cannot be read, or it is not a regular one.
    """
    check_regular(path)
    return path.read_bytes()


def bytes_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def check_regular(path: Path) -> None:
    """Refuse a FIFO, a device, a socket or a folder where a file is to be opened: it may wait or never end.

    Raises:
        OSError: there is no such file, or it is not a regular one.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def check_output(path: str | Path, *, overwrite: bool = True) -> None:
    """Refuse an output path that cannot be written, before any work is done.

    Args:
        overwrite: a file that is there already may be replaced.

    Raises:
        UsageError: no name, a folder, a file that is there already, or its folder cannot be made or written to.
    """
    if not str(path):
        raise UsageError("found '' as the name of an output, expected the name of a file")
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path}: a folder, expected the name of a file")
    if not overwrite and path.exists():
        raise UsageError(f"{path}: is there already; --overwrite replaces it")
    check_parent(path)


def check_parent(path: Path) -> None:
    """Refuse an output whose folder cannot be.

    Raises:
        UsageError: it cannot be made or written to.
    """
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
