"""The two ways a person's request can fail; both say in one line what was found and what was expected."""

from __future__ import annotations

from collections.abc import Sequence


class CodelabError(Exception):
    """A failure that is not a bug of codelab: its message is one line for a person, never a traceback."""

    exit_code = 1

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)
        """One line for each thing the message counts, for instance every image that cannot be read."""


class UsageError(CodelabError, ValueError):
    """The call is wrong (a name, a path or an option that cannot be): exit code 2."""

    exit_code = 2


class DataError(CodelabError, ValueError):
    """The call is right but what it was given cannot be worked on: exit code 1."""


def first_line(error: BaseException) -> str:
    """What a library's exception says, cut to the one line a message of ours has room for.

    Example:
        >>> first_line(ValueError("no such column\\nraised at ..."))
        'no such column'
    """
    return (str(error).splitlines() or [type(error).__name__])[0]
