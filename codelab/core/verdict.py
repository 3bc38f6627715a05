"""A measure's figure put into one plain sentence, with the limits by which it was judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "watch", "bad", "note"]

ALPHA = 0.05
"""The false discovery rate at which a bit counts as informative."""


@dataclass(frozen=True)
class Verdict:
    """One line of the answer to "Is anything wrong with these codes?".

    Args:
        level: `good`, `watch`, `bad`; `note` where there is nothing to judge, or it could not be measured.
        title: the question, in two or three words.
        figure: the number a reader looks for, as text; empty when not measured.
        text: what it means, in a sentence.
        limits: how it was judged.
        beside: what random directions of the same features, and shuffled codes, give for the figure.
        answer: the title of the whole answer where this line decides it; empty for the usual ones.
    """

    level: Level
    title: str
    figure: str
    text: str
    limits: str = ""
    beside: str = ""
    answer: str = ""


def level_from(value: float, limits: tuple[float, float]) -> Level:
    """`good` from the first limit, `bad` below the second, else `watch`.

    Example:
        >>> [level_from(value, (0.85, 0.6)) for value in (0.9, 0.7, 0.1)]
        ['good', 'watch', 'bad']
    """
    good, bad = limits
    return "good" if value >= good else "watch" if value >= bad else "bad"


def counted(number: int, noun: str) -> str:
    """A number of things in words.

    Example:
        >>> counted(1, "bit"), counted(0, "bit"), counted(1716, "image")
        ('1 bit', 'No bits', '1,716 images')
    """
    return f"{f'{number:,}' if number else 'No'} {noun}{'' if number == 1 else 's'}"


def listed(names: list[str]) -> str:
    """Names in a sentence.

    Example:
        >>> listed(["balance"]), listed(["a", "b", "c"])
        ('balance', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def plain_reason(reason: str) -> str:
    """A reason that begins with the name of the function that gave it, as a sentence without that name.

    Example:
        >>> plain_reason("geometry: these codes have no features")
        'These codes have no features.'
    """
    head, _, tail = reason.partition(": ")
    words = tail if tail and " " not in head else reason
    return f"{words[:1].upper()}{words[1:].rstrip('.')}." if words else ""
