"""Boolean queries of bits, such as `3 & ~17 | "dark skin"`, answered on packed columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches

import numpy as np

from codelab.core.errors import UsageError, shortened

_PART = re.compile(r"""\s*([0-9]+|[~&^|()]|"[^"]+"|'[^']+'|[^\W\d]\w*)""")
_BINDS = {"|": 1, "^": 2, "&": 3}
_SIGNS = set("~&^|()")
_DIGITS = 9
"""Of a bit number: more of them are no bit of any code."""
_JOIN = {"|": np.bitwise_or, "^": np.bitwise_xor, "&": np.bitwise_and}


def evaluate(query: str, column: Callable[[int], np.ndarray], names: Mapping[str, int] | None = None) -> np.ndarray:
    """The packed column, uint8 `[ceil(N/8)]`, of the items that satisfy a query; its pad bits may be 1.

    A query of any length takes time in proportion to it, and no depth of brackets is too much.

    Args:
        query: bits joined by `~`, `&`, `^`, `|` and brackets, which bind as in Python. A bit is its number, or one of
            `names`, in quotes where it is not one word.
        column: gives the packed column of a bit number, or refuses it.
        names: the bit of each name.

    Raises:
        UsageError: the query is not such an expression, or a name is none of `names`.

    Source: Dijkstra 1961, the shunting yard: operators wait on a stack for those that bind more.

    Example:
        >>> columns = np.array([[0b11000000], [0b01000000]], dtype=np.uint8)
        >>> evaluate("0 & ~1", lambda bit: columns[bit]).tolist()  # item 0
        [128]
    """
    if not isinstance(query, str):
        raise UsageError(f"query: found {type(query).__name__}, expected text such as '0 & ~1'")
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
        is_bit = part not in _SIGNS
        if value_next != (is_bit or part in "~("):
            raise _refusal(
                query,
                f"found {shortened(part, 40)!r} where {'a bit number' if value_next else '& ^ or |'} is expected",
            )
        if is_bit:
            values.append(column(int(part) if part[0] in "0123456789" else _named(query, part.strip("\"'"), names)))
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


def _named(query: str, name: str, names: Mapping[str, int] | None) -> int:
    """The bit of a name."""
    if name in (names or {}):
        return (names or {})[name]
    near = get_close_matches(name, list(names or {}), n=1)
    hint = f", the nearest name is {near[0]!r}" if near else "" if names else ", and no names are given"
    raise _refusal(query, f"no bit is named {shortened(name, 40)!r}{hint}")


def _parts(query: str) -> list[str]:
    text, place, parts = query.rstrip(), 0, []
    while place < len(text):
        found = _PART.match(text, place)
        if found is None:
            raise _refusal(query, f"found {text[place:].lstrip()[:1]!r}")
        if found[1][0] in "0123456789" and len(found[1]) > _DIGITS and found[1].strip("0"):
            raise _refusal(query, f"a bit number of {len(found[1])} digits")
        parts.append(found[1])
        place = found.end()
    return parts


def _refusal(query: str, found: str) -> UsageError:
    return UsageError(f"query {shortened(query, 60)!r}: {found}; expected bit numbers joined by ~ & ^ | and brackets")
