"""What a section of the analysis declares: how to measure it, and how terminal, report and explorer show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from codelab.core.result import Result
from codelab.core.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

Need = Literal["labels", "logits", "features", "view"]
Judge = Callable[[str, Any, Mapping[str, Result]], Verdict]
"""From a title, the section's result and all results to one line of the verdict, see `codelab.core.verdict`."""


@dataclass(frozen=True)
class Column:
    """A column of a result's `to_frame()` that joins the table of all bits in the report and the explorer.

    Args:
        name: in the data frame; `codelab.core.formats.HEADINGS` has its heading, where the name is not enough.
        short: its heading in the explorer's narrow table; empty leaves it out there.
        help: what it is, in a few words.
        form: how the explorer shows it; the table of bits is sorted by the one that is a bar, highest first.
    """

    name: str
    short: str = ""
    help: str = ""
    form: Literal["number", "percent", "q", "bar"] = "number"


@dataclass(frozen=True)
class Listing:
    """A table of its own on the terminal.

    Args:
        title: above it.
        columns: of the result's `to_frame()`.
        by: the column whose highest values are listed; empty lists all rows in order.
        table: from the result to the table that has these columns.
    """

    title: str
    columns: tuple[str, ...]
    by: str = ""
    table: Callable[[Any], pd.DataFrame] = lambda result: result.to_frame()


@dataclass(frozen=True)
class Chart:
    """How report and explorer present a result's `plot()`; sections that share a chart are drawn into one figure.

    Args:
        title: its heading.
        text: how to read it: from the result to a sentence or two.
        bits: each point is a bit, its number first in the trace's `customdata`: a click opens the bit's page.
    """

    title: str
    text: Callable[[Any], str]
    bits: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """One entry of the analysis.

    Args:
        name: under which its result stands.
        words: what its figure is, in plain words.
        measure: from what is given (`codelab.analysis.given.Given`), and an attribute where `per_attribute`, to the
            result; None where only a command measures it.
        needs: without these the section is skipped, with a line that says what is missing.
        per_attribute: measured for each attribute column, as `name:ATTRIBUTE`.
        streams: `measure` uses counts alone, so that a file can be measured part by part.
        columns: what it adds to the table of all bits; its `to_frame()` then has one row a bit.
        listing: a table of its own on the terminal.
        chart: its figure, where the result has a `plot()`.
        verdicts: titles and judges of its lines in the answer to "Is anything wrong with these codes?".
    """

    name: str
    words: str
    measure: Callable[..., Result] | None
    needs: tuple[Need, ...] = ()
    per_attribute: bool = False
    streams: bool = False
    columns: tuple[Column, ...] = ()
    listing: Listing | None = None
    chart: Chart | None = None
    verdicts: tuple[tuple[str, Judge], ...] = ()
