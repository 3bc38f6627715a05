"""Results as tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from codelab.core.formats import heading, text_rows
from codelab.core.headlines import HEADINGS, headlines

if TYPE_CHECKING:
    import pandas as pd

    from codelab.core.result import Result

TOP = 10
"""Bits in a table of the best."""

_SIGNS = {"good": "ok", "watch": "look", "bad": "BAD", "note": ""}


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table on stdout; cells are shown as they are, never read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for name in headings:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def print_analysis(results: Mapping[str, Result]) -> None:
    """What `codelab.analyze` found: verdicts, every section with its figure or why it was skipped, the best bits."""
    from codelab.reporting.verdict import verdicts

    lines = [(_SIGNS[line.level], line.title, line.figure, line.text) for line in verdicts(results)]
    print_table(("", "question", "figure", "what it means"), lines)
    print_table(HEADINGS, headlines(results))
    for name, order, columns, title in (
        (
            "class_information",
            "information",
            ("bit", "information", "plugin", "p_value", "q_value", "uncertainty"),
            f"the {TOP} bits that say most about the class (bits of information)",
        ),
        (
            "bit_reuse",
            "consistency",
            ("bit", "consistency", "low", "high", "null", "q_value", "split", "within_entropy"),
            f"the {TOP} bits whose contrast within a class is most alike across classes (1: the same)",
        ),
        (
            "factors",
            "",
            ("measure", "factor", "value", "control", "control_high", "p_value"),
            "factors, each beside shuffled labels (mig: mutual information gap, sap: that of single-bit accuracy)",
        ),
        (
            "view_channels",
            "",
            ("view", "flip_rate", "chance", "kappa", "information_sum"),
            "what one change of the image does to the bits (means over bits)",
        ),
    ):
        result = results.get(name)
        if result is None or hasattr(result, "reason"):
            continue
        frame = result.to_frame()
        if order and order not in frame:  # contrasts need features
            continue
        if order:
            frame = frame.sort_values(order, ascending=False).head(TOP)
        _print_frame(frame, columns, title)


def _print_frame(frame: pd.DataFrame, columns: Sequence[str], title: str) -> None:
    print_table([heading(name) for name in columns], text_rows(frame[list(columns)]), title)
