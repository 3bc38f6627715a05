"""SIGINT and SIGTERM: a command that is stopped removes its unfinished files and says in one line what is kept.

Light to import: a command calls `end_on_signals` before anything else.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from codelab.core.errors import Terminated

BOTH = (signal.SIGINT, signal.SIGTERM)

unfinished: set[Path] = set()
"""Files to remove where a signal ends the process: temporary files and locks."""

_words: list[Callable[[], str]] = [lambda: "nothing was written; the same call starts anew"]
_process: int | None = None
"""The process that `end_on_signals` was called in; its children inherit the handlers, not the files."""


@contextmanager
def if_stopped(words: Callable[[], str]) -> Iterator[None]:
    """What the command says where a signal ends it within the block: what is kept, and how to go on.

    Example:
        >>> with if_stopped(lambda: "2 of 3 parts are kept; the same call goes on from there"):
        ...     pass
    """
    _words.append(words)
    try:
        yield
    finally:
        _words.remove(words)


def end_on_signals(name: str) -> None:
    """From now on SIGINT and SIGTERM end this process: unfinished files go, one line, exit code 130 or 143.

    The process ends in the handler itself. An exception would be lost in a callback from C code or a destructor, and
    a second signal would interrupt the clean-up of the first. A signal that is ignored already stays ignored.

    Args:
        name: the command, as the message calls it.
    """
    global _process
    _process = os.getpid()

    def end(number: int, _: FrameType | None) -> None:
        if os.getpid() == _process:
            ignore_signals()
            for path in list(unfinished):
                with suppress(OSError):
                    path.unlink()
            if os.environ.get("RANK", "0") == "0":
                show = "\x1b[?25h\n" if os.isatty(2) else ""  # a progress bar hides the cursor
                with suppress(OSError):
                    os.write(2, f"{show}{name}: interrupted: {_words[-1]()}\n".encode(errors="replace"))
        os._exit(128 + number)

    for number in BOTH:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def ignore_signals() -> None:
    """Let nothing interrupt the last lines of a process that `end_on_signals` was called in; no effect elsewhere."""
    if _process == os.getpid() and threading.current_thread() is threading.main_thread():
        for number in BOTH:
            signal.signal(number, signal.SIG_IGN)


def stopped(number: int, text: str) -> KeyboardInterrupt:
    """What work that this signal stopped raises."""
    return Terminated(text) if number == signal.SIGTERM else KeyboardInterrupt(text)


@contextmanager
def stop_signals(go_on: str, *, quiet: bool = False, echo: float = 0.0) -> Iterator[Callable[[], int]]:
    """Yields a function that gives SIGINT or SIGTERM where it came, else 0; the step in progress is finished first.

    A second signal raises at once, and the last checkpoint stays; a third changes nothing.

    Args:
        go_on: how a person goes on after an interruption, as the message says it.
        quiet: print nothing.
        echo: seconds in which a second signal counts as the first one again: a scheduler signals every process, and
            `torchrun` signals its own once more.
    """
    came, first, raised = 0, 0.0, False

    def note(number: int, _: object) -> None:
        nonlocal came, first, raised
        if raised or (came and time.monotonic() - first < echo):
            return
        if came:
            raised = True
            raise stopped(number, f"at once, at the last checkpoint; {go_on}")
        came, first = number, time.monotonic()
        if not quiet:
            print("stopping after this step; once more to stop at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield lambda: came
        return
    before = {s: signal.signal(s, note) for s in BOTH}
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
