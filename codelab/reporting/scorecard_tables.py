"""A scorecard as tables of text: what HTML, Markdown, LaTeX and the terminal print."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from codelab.core.attributes import CLASS
from codelab.core.formats import number
from codelab.scoring.columns import BITS, RETRIEVAL
from codelab.scoring.result import Scorecard, label

NOT_VALID = "not valid"
GREY = (
    "Grey, marked ≈: smaller than the least reliable difference, which stands behind ±. The others are larger at 95 % "
    "for each cell; the sentences hold for all columns taken together."
)


@dataclass(frozen=True)
class Shown:
    """A cell of a printed table; `grey` where its difference is not reliable."""

    text: str
    grey: bool = False


@dataclass(frozen=True)
class Printed:
    """A table: the first cell of each row is its name. `title` says what it shows."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Shown, ...], ...]


@dataclass(frozen=True)
class Block:
    """The columns of one subject: values, differences of rows, what is not valid, and how it was made."""

    title: str
    values: Printed
    given: tuple[Printed, ...]
    controls: tuple[Printed, ...]
    invalid: tuple[str, ...]
    how: tuple[str, ...]


def blocks(card: Scorecard) -> Iterator[Block]:
    """The tables of a scorecard; a column in which no row has a value is left to `missing`."""
    shown = [c for c in range(len(card.columns)) if not np.isnan(card.values[:, c]).all()]
    reliable = card.reliable()
    for title in dict.fromkeys(card.columns[c].block for c in shown):
        mine = [c for c in shown if card.columns[c].block == title]
        beside = [_differences(card, reliable, i, mine) for i in range(len(card.rows))]
        yield Block(
            {BITS: BITS, RETRIEVAL: RETRIEVAL, CLASS: "The class"}.get(title, f"The attribute {title}"),
            _values(card, mine),
            tuple(table for row, table in zip(card.rows, beside, strict=True) if row.given),
            tuple(table for row, table in zip(card.rows, beside, strict=True) if not row.given),
            tuple(_invalid(card, mine)),
            tuple(f"{card.columns[c].heading}: {card.columns[c].how}." for c in mine),
        )


def missing(card: Scorecard) -> list[str]:
    """Which cells are empty or have no interval, and why, one line a reason."""
    names, columns = [row.name for row in card.rows], [column.name for column in card.columns]
    words = {column.name: label(column) for column in card.columns}
    left = dict(card.reasons)
    lines: dict[str, list[str]] = {}
    for row in names:  # a row that could not be made
        reasons = {left.get((row, column), "") for column in columns}
        if len(reasons) == 1 and "" not in reasons:
            lines.setdefault(reasons.pop(), []).append(row)
            left = {key: value for key, value in left.items() if key[0] != row}
    for column in columns:
        for why in dict.fromkeys(value for key, value in left.items() if key[1] == column):
            rows = [row for row in names if left.get((row, column)) == why]
            others = [row for row in names if row not in rows and (row, column) in card.reasons]
            whole = len(rows) + len(others) == len(names)
            lines.setdefault(why, []).append(words[column] + ("" if whole else f" ({', '.join(rows)})"))
    return [f"{', '.join(where)}: {why}" for why, where in lines.items()]


def _headings(card: Scorecard, mine: list[int]) -> tuple[str, ...]:
    return tuple(card.columns[c].heading + (f" ({NOT_VALID})" if card.invalid[c] else "") for c in mine)


def _values(card: Scorecard, mine: list[int]) -> Printed:
    rows = []
    for i, row in enumerate(card.rows):
        name = row.name + (f" ({row.codes} codes)" if row.codes > 1 else "")
        rows.append((Shown(name), *(Shown(_value(card, i, c)) for c in mine)))
    return Printed("Value and 95 % interval", ("row", *_headings(card, mine)), tuple(rows))


def _value(card: Scorecard, i: int, c: int) -> str:
    decimals, value = card.columns[c].decimals, float(card.values[i, c])
    if np.isnan(value):
        return "–"
    text = number(value, decimals)
    if not np.isnan(card.low[i, c]):
        text += f" [{number(card.low[i, c], decimals)}, {number(card.high[i, c], decimals)}]"
    if not np.isnan(card.spread[i, c]):
        text += f" s {number(card.spread[i, c], decimals)}"
    return text


def _differences(card: Scorecard, reliable: np.ndarray, i: int, mine: list[int]) -> Printed:
    rows = []
    for j, other in enumerate(card.rows):
        if i != j:
            rows.append((Shown(other.name), *(_difference(card, reliable, i, j, c) for c in mine)))
    title = f"{card.rows[i].name} less each other row, ± the least reliable difference"
    return Printed(title, (f"{card.rows[i].name} less", *_headings(card, mine)), tuple(rows))


def _difference(card: Scorecard, reliable: np.ndarray, i: int, j: int, c: int) -> Shown:
    value, least, decimals = card.difference[i, j, c], card.least[i, j, c], card.columns[c].decimals
    if np.isnan(value):
        return Shown("–", grey=True)
    sign = "+" if value > 0 else ""
    text = f"{sign}{number(value, decimals)} " + (
        "(no interval)" if np.isnan(least) else f"± {number(least, decimals)}"
    )
    return Shown(text, False) if reliable[i, j, c] else Shown(f"≈ {text}", True)


def _invalid(card: Scorecard, mine: list[int]) -> Iterator[str]:
    """One line a reason."""
    for why in dict.fromkeys(card.invalid[c] for c in mine if card.invalid[c]):
        names = ", ".join(card.columns[c].heading for c in mine if card.invalid[c] == why)
        yield f"{names}: not valid as a score on this data set, as {why}."
