"""Values of config fields: read from YAML, from text or as Python gives them, and put in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from codelab.core.errors import UsageError, shortened

LONGEST_NAME = 200
"""Letters of a value or a name that a message quotes."""


def edit_distance(a: str, b: str) -> int:
    """The fewest letters to insert, drop or replace that make one word the other.

    Source: Levenshtein 1966; the table row by row, Wagner & Fischer 1974.

    Example:
        >>> edit_distance("epoch", "epochs"), edit_distance("lt", "lr"), edit_distance("", "ema")
        (1, 1, 3)
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


def coerce(name: str, kind: Any, value: Any) -> Any:
    """`value` as the field's type: typed as YAML or Python gives it, or text as a flag gives it."""
    try:
        if get_origin(kind) is tuple:
            if isinstance(value, Mapping):
                raise ValueError
            parts = value.strip("()[] ").split(",") if isinstance(value, str) else list(value)
            if len(parts) != len(get_args(kind)):
                raise ValueError
            return tuple(_scalar(k, v) for k, v in zip(get_args(kind), parts, strict=True))
        return _scalar(kind, value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"config: {name} is {text_of(value)}, expected {type_name(kind)}") from None


def _scalar(kind: Any, value: Any) -> Any:
    if (kind is str or get_origin(kind) is Literal) and isinstance(value, str):
        return value
    if kind is bool:
        if isinstance(value, str):
            value = {"true": True, "yes": True, "false": False, "no": False}.get(value.strip().lower())
        if isinstance(value, bool):
            return value
    elif kind in (int, float) and not isinstance(value, bool):
        number = kind(value)
        if number == float(value) and abs(number) != float("inf"):  # NaN is not equal to itself
            return number
    raise ValueError


def type_name(kind: Any) -> str:
    """The type as the help shows it."""
    if get_origin(kind) is tuple:
        return ",".join(k.__name__ for k in get_args(kind))
    if get_origin(kind) is Literal:
        return "|".join(choice or "''" for choice in get_args(kind))
    return {bool: "true|false", str: "text"}.get(kind, kind.__name__)


def text_of(value: Any) -> str:
    """The value as a person writes it in YAML or in a flag, shortened where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = ",".join(f"{v}" for v in value) if isinstance(value, (tuple, list)) else str(value) or "''"
    except (ValueError, RecursionError):  # a whole number of more than 4300 digits; lists in lists in lists
        text = f"a {type(value).__name__} too long to show"
    return shortened(text, LONGEST_NAME)
