"""One writer: a lock file beside an output, or in a run folder, that says who holds it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from codelab.core.errors import UsageError
from codelab.core.io import is_open_file, naming
from codelab.core.signals import unfinished

_WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of file systems that have no locks."""


@contextmanager
def output_lock(out: Path) -> Iterator[None]:
    """Be the only process that writes the output `out`, a file or a folder.

    Raises:
        UsageError: another process writes it.
    """
    with locked(out.with_name(f".{out.name}.codelab-lock"), f"{out}: another process is writing it"):
        yield


@contextmanager
def locked(file: Path, busy: str) -> Iterator[None]:
    """Hold the lock `file`; the system unlocks it when the process ends, however it ends.

    Where the file system has no locks, the file alone is the lock: one that a process of this machine left is taken
    over, one of another machine is refused until a person removes it.

    Args:
        file: it is made here, holds who has the lock, and is removed at the end.
        busy: what messages say where another process holds it.

    Raises:
        UsageError: another process holds it; the message names its host, process and time.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "lock")
        >>> with locked(file, "busy"):
        ...     sorted(json.loads(file.read_text()))
        ['host', 'process', 'since']
        >>> file.exists()
        False
    """
    handle = _held(file, busy)
    unfinished.add(file)
    try:
        since = datetime.now(timezone.utc).isoformat(timespec="seconds")
        holder = json.dumps({"host": platform.node(), "process": os.getpid(), "since": since})
        with naming(file, any_error=True):
            os.ftruncate(handle, 0)
            os.write(handle, holder.encode())
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is locked: whoever opened it before sees that it is gone
        unfinished.discard(file)
        os.close(handle)


def _held(file: Path, busy: str) -> int:
    """The handle of the lock file, locked."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise UsageError(f"{busy}; stop it first ({_words(_holder(file))})") from None
        except OSError as error:
            os.close(handle)
            if error.errno not in _WITHOUT:
                raise
            return _alone(file, busy)
        if is_open_file(file, handle):
            return handle
        os.close(handle)  # its holder removed it in the meantime


def _alone(file: Path, busy: str) -> int:
    """The handle of a lock file on a file system without locks."""
    holder = _holder(file)
    if holder and not (holder.get("host") == platform.node() and _ended(holder.get("process"))):
        raise UsageError(
            f"{busy} ({_words(holder)}); this file system has no locks: if that process has ended, remove {file}"
        )
    with suppress(FileNotFoundError):
        file.unlink()
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except FileExistsError:
        raise UsageError(f"{busy}; stop it first") from None


def _holder(file: Path) -> dict[str, object]:
    """Who the lock file names, empty where it names nobody."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _words(holder: dict[str, object]) -> str:
    named = [f"{name} {holder[name]}" for name in ("host", "process", "since") if name in holder]
    return ", ".join(named) or "its lock does not say which"


def _ended(process: object) -> bool:
    if not isinstance(process, int) or process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # there, and somebody else's
        pass
    return False
