"""Refusals of arguments that cannot be, in one line that names what was found and what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import numpy as np

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError


def check_whole(name: str, value: Any, low: int, what: str = "") -> int:
    """A whole number of `low` or more, as int; a number with a fraction, a bool or a text is refused.

    Example:
        >>> check_whole("k", np.int64(3), 1)
        3
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise UsageError(f"{name}={value!r}: expected a whole number of {low} or more")
    if value < low:
        raise UsageError(f"{name}={value}: expected {low} or more{what and f' {what}'}")
    return int(value)


def check_real(name: str, value: Any) -> float:
    """A number, as float; a bool or a text is refused."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise UsageError(f"{name}={value!r}: expected a number")
    return float(value)


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not one of those allowed."""
    if value not in allowed:
        raise UsageError(f"{name}={value!r}: expected {', '.join(allowed)}")


def check_columns(name: str, value: Any) -> list[str]:
    """A list of names of columns; a single name, whose letters would be taken for columns, is refused.

    Example:
        >>> check_columns("equal", ("tone", "size"))
        ['tone', 'size']
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UsageError(f"{name}={value!r}: expected a list of columns")
    return list(value)


def check_codes(name: str, value: Any) -> None:
    """Refuse what is not Codes, a path with the call that loads it."""
    if isinstance(value, str | PurePath):
        raise UsageError(f"{name}: expected Codes, found a path; load the file first: codelab.load({str(value)!r})")
    if not isinstance(value, Codes):
        raise UsageError(f"{name}: expected Codes, found {type(value).__name__} (Codes.from_bits takes an array)")


def check_seed(seed: int) -> None:
    """A UsageError where `seed` is no whole number from 0; a bool is none."""
    if isinstance(seed, bool | np.bool_) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"seed {seed}: expected a whole number, 0 or more")


def need_items(measure: str, n: int, least: int = 1) -> int:
    """`n`, or a DataError where it is below `least`."""
    if n < least:
        raise DataError(f"{measure}: found {n} codes, expected at least {least}")
    return n


def check_same_images(measure: str, a: Codes, b: Codes, names: tuple[str, str] = ("a", "b")) -> None:
    """Refuse two codes that are not of the same images in the same order; `names` are those of the arguments.

    Raises:
        DataError: the first row that differs.
    """
    one, two = names
    check_codes(one, a)
    check_codes(two, b)
    if len(a) != len(b):
        raise DataError(f"{measure}: {one} has {len(a)} images and {two} has {len(b)}, expected the same images")
    mine, theirs = (codes.items["id"].to_pylist() for codes in (a, b))
    if mine != theirs:
        row = next(i for i, (x, y) in enumerate(zip(mine, theirs, strict=True)) if x != y)
        what = "the same images in another order" if sorted(mine) == sorted(theirs) else "other images"
        raise DataError(
            f"{measure}: {two} has {what}: row {row} is {mine[row]!r} in {one} and {theirs[row]!r} in {two}"
        )
