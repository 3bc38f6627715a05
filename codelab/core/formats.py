"""Numbers and headings as a person reads them: one rule for terminal, report, notebook and explorer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_P = 0.001
"""A p- or q-value below this is shown as being below it: no finite number of images makes it 0."""

DIGITS = 3
"""Decimals of a figure that is not a probability of chance; large ones have fewer, see `decimals`."""

HEADINGS = {
    "p": "share of ones",
    "low": "95 % low",
    "high": "95 % high",
    "entropy": "entropy (bits)",
    "information": "information (bits)",
    "plugin": "plug-in (bits)",
    "p_value": "p-value",
    "q_value": "q-value",
    "uncertainty": "share of its entropy",
    "consistency": "consistency of the contrast",
    "shared": "shared by two classes",
    "own": "in one class",
    "shared_q_value": "q-value, shared above 0",
    "split": "classes split",
    "within_entropy": "entropy within classes (bits)",
    "control": "shuffled labels (mean)",
    "control_high": "shuffled labels (95 % point)",
    "flip_rate": "flip rate",
    "chance": "flip rate by chance",
    "information_sum": "information (bits, summed)",
    "name": "",
    "code_map": "code mAP",
    "feature_map": "feature mAP",
    "dof": "degrees of freedom",
}
"""Columns of results in words, with their units."""


def heading(column: str) -> str:
    """A column's name as the heading of a table.

    Example:
        >>> heading("q_value"), heading("plugin"), heading("within_plugin")
        ('q-value', 'plug-in (bits)', 'within plugin')
    """
    return HEADINGS.get(column, column.replace("_", " "))


def p_text(value: float) -> str:
    """A p- or q-value to three decimals, never 0.

    Example:
        >>> p_text(0.0), p_text(0.00499), p_text(1.0), p_text(float("nan"))
        ('< 0.001', '0.005', '1.000', '–')
    """
    if math.isnan(value):
        return "–"
    return f"< {SMALLEST_P}" if value < SMALLEST_P else f"{value:.{DIGITS}f}"


def p_phrase(letter: str, value: float) -> str:
    """A p- or q-value inside a sentence.

    Example:
        >>> p_phrase("q", 0.0), p_phrase("p", 0.25)
        ('q < 0.001', 'p = 0.250')
    """
    text = p_text(value)
    return f"{letter} {text}" if text.startswith("<") else f"{letter} = {text}"


def decimals(values: Sequence[float]) -> int:
    """Decimals that all figures of one kind share: 3, or 1 where the largest has two digits before the point or more.

    Example:
        >>> decimals([0.19, 0.301]), decimals([23.7, 0.5]), decimals([])
        (3, 1, 3)
    """
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return DIGITS if largest < 10 else 1


def number(value: float, digits: int | None = None) -> str:
    """One figure; a dash where there is none.

    Example:
        >>> number(0.19), number(23.71), number(float("nan")), number(-0.0001)
        ('0.190', '23.7', '–', '0.000')
    """
    if math.isnan(value):
        return "–"
    text = f"{value:.{decimals([value]) if digits is None else digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def with_interval(value: float, low: float, high: float) -> str:
    """A figure with its 95 % interval, all to the same number of digits.

    Example:
        >>> with_interval(23.71, 21.0, 26.94)
        '23.7 (95 % 21.0 to 26.9)'
    """
    digits = decimals([value, low, high])
    if math.isnan(low) or math.isnan(high):
        return number(value, digits)
    return f"{number(value, digits)} (95 % {number(low, digits)} to {number(high, digits)})"


def cells(column: str, values: Sequence[Any]) -> list[str]:
    """The cells of one column of a table: its figures all have the same number of digits.

    Example:
        >>> cells("information", [0.19, 0.301, float("nan")]), cells("q_value", [0.0, 0.2]), cells("bit", [3, 12])
        (['0.190', '0.301', '–'], ['< 0.001', '0.200'], ['3', '12'])
    """
    chance = column.endswith(("p_value", "q_value"))
    digits = decimals([v for v in values if isinstance(v, float)])

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return p_text(value) if chance else number(value, digits)
        return "–" if value is None else str(value)

    return [cell(value) for value in values]


def text_rows(frame: pd.DataFrame) -> list[list[str]]:
    """The cells of a data frame, row by row."""
    columns = [cells(str(name), frame[name].tolist()) for name in frame.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def ordinal(rank: int) -> str:
    """1 -> '1st', 2 -> '2nd', 11 -> '11th'."""
    ending = "th" if 10 <= rank % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"
