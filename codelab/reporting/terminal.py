"""Results as tables on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from codelab.core.errors import printable
from codelab.core.formats import heading, text_rows
from codelab.core.result import Result, Skipped

if TYPE_CHECKING:
    import pandas as pd

    from codelab.analysis.section import Listing

TOP = 10
"""Bits in a table of the best."""

_SIGNS = {"good": "ok", "watch": "look", "bad": "BAD", "note": ""}


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table on stdout; cells are shown as they are, never read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title_text = None if title is None else Text(printable(title))
    table = Table(title=title_text, title_justify="left", title_style="bold", header_style="bold")
    for name in headings:
        table.add_column(Text(printable(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def as_it_finishes() -> Callable[[str, Result], None] | None:
    """A function that prints each section of an analysis on stderr when it is measured, with the seconds it took.

    None where stderr is not a terminal, as for progress bars.
    """
    if not sys.stderr.isatty():
        return None
    last = time.perf_counter()

    def show(name: str, result: Result) -> None:
        nonlocal last
        now = time.perf_counter()
        figure = f"skipped, {result.headline()}" if isinstance(result, Skipped) else result.headline()
        print(printable(f"{now - last:6.1f} s  {name}: {figure}"), file=sys.stderr, flush=True)
        last = now

    return show


def print_analysis(results: Mapping[str, Result]) -> None:
    """What `codelab.analyze` found: verdicts, every section with its figure or why it was skipped, the best bits."""
    from codelab.analysis.analyze import HEADINGS, headlines
    from codelab.analysis.sections import present
    from codelab.reporting.verdict import overall, verdicts

    lines = verdicts(results)
    answer = overall(lines)
    print(printable(f"{answer.title}. {answer.text}"))
    rows = [(_SIGNS[one.level], one.title, one.figure, f"{one.text} {one.beside}".strip()) for one in lines]
    print_table(("", "question", "figure", "what it means"), rows)
    print_table(HEADINGS, headlines(results))
    for section, result in present(results):
        if section.listing is not None:
            _print_listing(section.listing, section.listing.table(result))


def _print_listing(listing: Listing, frame: pd.DataFrame) -> None:
    if listing.by:
        if listing.by not in frame:  # contrasts need features
            return
        frame = frame.sort_values(listing.by, ascending=False).head(TOP)
    columns = list(listing.columns)
    print_table([heading(name) for name in columns], text_rows(frame[columns]), listing.title.format(most=TOP))
