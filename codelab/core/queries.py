"""Boolean queries of bit numbers, such as `3 & ~17 | 200`, answered on packed columns."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from codelab.core.errors import UsageError, shortened

_PART = re.compile(r"\s*([0-9]+|[~&^|()])", re.ASCII)
_BINDS = {"|": 1, "^": 2, "&": 3}
_DIGITS = 9
"""Of a bit number: more of them are no bit of any code."""
_JOIN = {"|": np.bitwise_or, "^": np.bitwise_xor, "&": np.bitwise_and}


def evaluate(query: str, column: Callable[[int], np.ndarray]) -> np.ndarray:
    """The packed column, uint8 `[ceil(N/8)]`, of the items that satisfy a query; its pad bits may be 1.

    A query of any length takes time in proportion to it, and no depth of brackets is too much.

    Args:
        query: bit numbers joined by `~`, `&`, `^`, `|` and brackets, which bind as in Python.
        column: gives the packed column of a bit number, or refuses it.

    Raises:
        UsageError: the query is not such an expression.

    Source: Dijkstra 1961, the shunting yard: operators wait on a stack for those that bind more.

    Example:
        >>> columns = np.array([[0b11000000], [0b01000000]], dtype=np.uint8)
        >>> evaluate("0 & ~1", lambda bit: columns[bit]).tolist()  # item 0
        [128]
    """
    values: list[np.ndarray] = []
    waiting: list[str] = []

    def apply(operator: str) -> None:
        if operator == "~":
            values.append(~values.pop())
        else:
            right, left = values.pop(), values.pop()
            values.append(_JOIN[operator](left, right))

    value_next = True  # a bit, ~ or an opening bracket comes next; otherwise & ^ | or a closing bracket
    for part in _parts(query):
        if value_next != (part in "~(" or part.isdigit()):
            raise _refusal(query, f"found {part!r} where {'a bit number' if value_next else '& ^ or |'} is expected")
        if part.isdigit():
            values.append(column(int(part)))
            value_next = False
            while waiting and waiting[-1] == "~":
                apply(waiting.pop())
        elif part in "~(":
            waiting.append(part)
        elif part == ")":
            while waiting and waiting[-1] != "(":
                apply(waiting.pop())
            if not waiting:
                raise _refusal(query, "a bracket is closed that was not opened")
            waiting.pop()
            while waiting and waiting[-1] == "~":
                apply(waiting.pop())
        else:
            while waiting and waiting[-1] != "(" and _BINDS[waiting[-1]] >= _BINDS[part]:
                apply(waiting.pop())
            waiting.append(part)
            value_next = True
    if value_next:
        raise _refusal(query, "it ends where a bit number is expected")
    while waiting:
        if waiting[-1] == "(":
            raise _refusal(query, "a bracket is not closed")
        apply(waiting.pop())
    return values[0]


def _parts(query: str) -> list[str]:
    text, place, parts = query.rstrip(), 0, []
    while place < len(text):
        found = _PART.match(text, place)
        if found is None:
            raise _refusal(query, f"found {text[place:].lstrip()[:1]!r}")
        if len(found[1]) > _DIGITS and found[1].strip("0"):
            raise _refusal(query, f"a bit number of {len(found[1])} digits")
        parts.append(found[1])
        place = found.end()
    return parts


def _refusal(query: str, found: str) -> UsageError:
    return UsageError(f"query {shortened(query, 60)!r}: {found}; expected bit numbers joined by ~ & ^ | and brackets")
