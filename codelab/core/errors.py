"""Failures that are not bugs, each with one line on what was found and what was expected; and SIGTERM."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
LONGEST = 2000
"""Letters of a message that are printed."""
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff0-\ufffb]"
)
"""Letters that move the cursor, change colours or directions, break the line or cannot be printed."""


class CodelabError(Exception):
    """A failure that is not a bug of codelab: the command line prints its message, one line, without a traceback."""

    exit_code = 1

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)
        """One line for each item the message counts, for instance every image that cannot be read."""


class UsageError(CodelabError, ValueError):
    """The call is wrong, such as a path that does not exist or an option out of range: exit code 2."""

    exit_code = 2


class DataError(CodelabError, ValueError):
    """The call is right, but the data cannot be used, such as a truncated file: exit code 1."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came, and what was done is saved: exit code 143. As an interruption it passes any `except Exception`."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, to quote in a message of one line.

    Example:
        >>> first_line(ValueError("no such column\\nraised at ..."))
        'no such column'
    """
    return (str(error).splitlines() or [type(error).__name__])[0]


def printable(text: str) -> str:
    """The text in one line, control characters shown as their escapes, so that no name acts on a terminal.

    Example:
        >>> print(printable("a\\nb\\x1b[31m\\u202e.png"))
        a\\nb\\x1b[31m\\u202e.png
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def shortened(text: str, most: int = LONGEST) -> str:
    """The text with its middle left out where it is longer than `most`.

    Example:
        >>> shortened("0123456789", 6)
        '012 … 789'
    """
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-(most // 2) :]}"


def located(path: str | Path, make: Callable[[], T]) -> T:
    """What `make` returns; the message of its DataError gets the file's name in front."""
    try:
        return make()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def unreadable(path: str | Path, what: str, error: BaseException) -> DataError:
    """The DataError of a file that cannot be read: `what` is wrong with it, or that memory is short.

    Example:
        >>> str(unreadable("a.npz", "not a whole NumPy file", ValueError("no zip")))
        'a.npz: not a whole NumPy file (no zip)'
    """
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        what = "cannot be read, memory is short"
    return DataError(f"{path}: {what} ({first_line(error)})")


def few(names: Sequence[str], most: int = 3) -> str:
    """The first names of a list, and how many more there are.

    Example:
        >>> few(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
