"""Results as tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from codelab.result import Result

TOP = 10
"""Bits in a table of the best."""

_SIGNS = {"good": "ok", "watch": "look", "bad": "BAD", "note": ""}


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table on stdout; cells are shown as they are, never read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def print_analysis(results: Mapping[str, Result]) -> None:
    """What `codelab.analyze` found: verdicts, every section with its figure or why it was skipped, the best bits."""
    from codelab.verdict import verdicts

    lines = [(_SIGNS[line.level], line.title, line.figure, line.text) for line in verdicts(results)]
    print_table(("", "question", "figure", "what it means"), lines)
    print_table(("section", "figure", "of what"), [_section(name, result) for name, result in results.items()])
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
            "factors, each beside shuffled labels",
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
    print_table(columns, [[_cell(v) for v in row] for row in frame[list(columns)].itertuples(index=False)], title)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _section(name: str, result: Result) -> tuple[str, str, str]:
    """The section's one figure and what it is, or where its table is, or why it was skipped."""
    reason = getattr(result, "reason", None)
    if reason is not None:
        return name, "skipped", reason
    if name == "total_correlation":
        low, high = _at(result, "low"), _at(result, "high")
        return (
            name,
            f"{low:.4g} to {high:.4g}",
            "bits by which the single bits repeat each other, between these bounds",
        )
    kind = name.split(":")[0]
    if kind in _WORDS:
        field, words = _WORDS[kind]
        value = _at(result, field)
        low, high = _at(result, f"{field}_low", "low"), _at(result, f"{field}_high", "high")
        spread = f" [{low:.4g}, {high:.4g}]" if isinstance(low, float) and isinstance(high, float) else ""
        return name, f"{value:.4g}{spread}", words
    frame = result.to_frame()
    if "q_value" in frame:
        return name, f"{int((frame['q_value'] < 0.05).sum())} of {len(frame)}", "bits at q < 0.05; all with --json"
    return name, f"{len(frame)} rows", "all with --json"


def _at(result: Result, *fields: str) -> Any:
    return next((getattr(result, field) for field in fields if hasattr(result, field)), None)


_WORDS = {
    "bit_usage": ("value", "mean entropy of a bit"),
    "block_entropy_contiguous": ("value", "bits in a block of neighbouring bits"),
    "block_entropy_random": ("value", "bits in a block of bits drawn at random"),
    "block_entropy_dependent": ("value", "bits in a block of the most dependent bits"),
    "degrees_of_freedom": ("value", "independent coins the code is worth"),
    "code_length": ("value", "bits to write a held-out code down (Chow-Liu tree)"),
    "collisions": ("value", "different codes, as a share of the images"),
    "pair_distances": ("value", "chance that a pair of one class is nearer than a pair of two"),
    "joint_information": (
        "value",
        "bits the best few bits say about the class together, on the half that did not choose",
    ),
    "bit_dependence": ("value", "bits that one bit says about another, on average"),
    "channel": ("value", "bits two views share, at least"),
    "geometry": ("d_eff", "effective dimension of the features"),
}
