"""Failures that are not bugs, each with one line on what was found and what was expected; and SIGTERM."""

from __future__ import annotations

from collections.abc import Sequence


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


def few(names: Sequence[str], most: int = 3) -> str:
    """The first names of a list, and how many more there are.

    Example:
        >>> few(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
