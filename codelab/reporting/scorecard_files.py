"""A scorecard as a file: HTML, Markdown, CSV, LaTeX or JSON by its suffix, with the JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from codelab.core.errors import UsageError
from codelab.core.io import atomic_path
from codelab.core.result import plain
from codelab.reporting.page import write_page
from codelab.reporting.scorecard_tables import GREY, Block, Printed, blocks, missing
from codelab.scoring.result import Scorecard

SUFFIXES = (".html", ".md", ".csv", ".tex", ".json")


def write_scorecard(card: Scorecard, path: str | Path, *, title: str = "Scorecard") -> list[Path]:
    """Write a scorecard as HTML, Markdown, CSV, LaTeX or JSON, by the suffix of `path`; JSON always stands beside it.

    LaTeX needs the packages `xcolor` and `booktabs`.

    Args:
        card: from `codelab.scorecard`.
        path: the file; `scorecard.html` has `scorecard.json` beside it.
        title: of the page.

    Returns:
        The files written.

    Raises:
        UsageError: another suffix.

    Example:
        >>> import codelab, numpy as np, tempfile
        >>> labels = np.arange(200) % 2
        >>> card = codelab.scorecard(codelab.Codes.from_bits(np.eye(2)[labels], labels))
        >>> [path.name for path in write_scorecard(card, Path(tempfile.mkdtemp(), "card.md"))]
        ['card.md', 'card.json']
    """
    path = check_scorecard_path(path)
    if path.suffix == ".html":
        _write_page(card, path, title)
    elif path.suffix != ".json":
        text = _TEXTS[path.suffix](card, title)
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
    beside = path.with_suffix(".json")
    with atomic_path(beside) as part:
        part.write_text(json.dumps(as_json(card), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return list(dict.fromkeys([path, beside]))


def check_scorecard_path(path: str | Path) -> Path:
    """The path of a scorecard.

    Raises:
        UsageError: a suffix that is none of `SUFFIXES`.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: expected a file name ending in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    return path


def as_json(card: Scorecard) -> dict[str, Any]:
    """All of a scorecard as plain values; NaN is None."""
    columns = zip(card.columns, card.invalid, strict=True)
    return {
        "provenance": plain(card.provenance),
        "rows": [plain(row) for row in card.rows],
        "columns": [
            {
                "name": c.name,
                "heading": c.heading,
                "block": c.block,
                "how": c.how,
                "valid": not invalid,
                "not_valid_because": invalid,
            }
            for c, invalid in columns
        ],
        "cells": plain(card.to_frame().to_dict("records")),
        "differences": plain(card.differences().to_dict("records")),
        "sentences": card.sentences(),
        "missing": missing(card),
        "notes": list(card.notes),
    }


def _write_page(card: Scorecard, path: Path, title: str) -> None:
    write_page(
        "scorecard.html",
        path,
        figures=False,
        title=title,
        subtitle=_about(card),
        blocks=list(blocks(card)),
        grey=GREY,
        sentences=card.sentences(),
        missing=missing(card),
        rows=card.rows,
        notes=card.notes,
        provenance=json.dumps(plain(card.provenance), indent=2, ensure_ascii=False),
        version=card.provenance["version"],
    )


def _about(card: Scorecard) -> str:
    source, groups = card.source, card.provenance["groups"]
    assert source is not None  # noqa: S101  the function of a scorecard sets it
    near = f"{groups:,} groups of near copies" if groups else "all images differ"
    valid = card.invalid.count("")
    return (
        f"{source.n:,} images · {source.bits} bits · {near} · {valid} of {len(card.columns)} columns valid as scores"
    )


def _markdown(card: Scorecard, title: str) -> str:
    lines = [f"# {title}", "", f"{_about(card)}.", "", *(f"* {line}" for line in card.sentences()), "", GREY]
    for block in blocks(card):
        lines += ["", f"## {block.title}", "", *_markdown_table(block.values)]
        for table in block.given:
            lines += ["", f"{table.title}:", "", *_markdown_table(table)]
        lines += ["", *(f"* {line}" for line in (*block.invalid, *block.how))]
    return "\n".join([*lines, "", "## How it was made", "", *(f"* {line}" for line in _under(card)), ""])


def _markdown_table(table: Printed) -> Iterator[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"

    yield line(table.headings)
    yield "|---" * len(table.headings) + "|"
    yield from (line([cell.text for cell in row]) for row in table.rows)


def _under(card: Scorecard) -> Iterator[str]:
    """What stands under the tables."""
    yield from (f"{row.name}: {row.how}." for row in card.rows)
    yield from (f"Empty or without an interval: {line}." for line in missing(card))
    yield from card.notes
    about = card.provenance
    yield f"codelab {about['version']}, commit {about['commit'] or 'unknown'}, seed {about['seed']}; the JSON has all."


def _latex(card: Scorecard, title: str) -> str:
    lines = [f"% {title}: {_about(card)}. Needs the packages booktabs and xcolor."]
    for block in blocks(card):
        lines += _latex_table(block, block.values)
        for table in block.given:
            lines += _latex_table(block, table)
        lines += [f"% {line}" for line in (*block.invalid, *block.how)]
    return "\n".join([*lines, f"% {GREY}", *(f"% {line}" for line in (*card.sentences(), *_under(card))), ""])


def _latex_table(block: Block, table: Printed) -> Iterator[str]:
    yield r"\begin{table}"
    yield rf"\caption{{{_tex(block.title)}. {_tex(table.title)}.}}"
    yield rf"\begin{{tabular}}{{l{'r' * (len(table.headings) - 1)}}}"
    yield rf"\toprule {' & '.join(_tex(name) for name in table.headings)} \\ \midrule"
    for row in table.rows:
        cells = (rf"\textcolor{{gray}}{{{_tex(cell.text)}}}" if cell.grey else _tex(cell.text) for cell in row)
        yield rf"{' & '.join(cells)} \\"
    yield r"\bottomrule \end{tabular}"
    yield r"\end{table}"


_TEX = {
    **{letter: rf"\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "–": "--",
    "·": r"$\cdot$",
    "[": "{[}",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


def _csv(card: Scorecard, title: str) -> str:
    import pandas as pd

    values = card.to_frame().assign(kind="value")
    differences = card.differences().assign(kind="difference").rename(columns={"difference": "value"})
    names = ["kind", "row", "against", "column", "value", "low", "high", "spread", "least", "p_value"]
    table = pd.concat([values, differences], ignore_index=True)
    return str(table[[*names, "reliable", "valid", "why"]].to_csv(index=False))


_TEXTS: dict[str, Callable[[Scorecard, str], str]] = {".md": _markdown, ".tex": _latex, ".csv": _csv}
