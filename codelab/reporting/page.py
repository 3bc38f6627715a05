"""What the HTML reports share: one static file from a template, with tables, figures and no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from codelab.core import drawing
from codelab.core.errors import UsageError
from codelab.core.formats import heading, text_rows
from codelab.core.io import atomic_path

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """A table as text."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    @classmethod
    def of(cls, title: str, frame: pd.DataFrame, note: str = "") -> Table:
        """The cells of a data frame as text."""
        return cls(title, [heading(str(name)) for name in frame.columns], text_rows(frame), note)


def embed(figure: go.Figure) -> Markup:
    """A figure as HTML; plotly.js stands once in the page."""
    html = figure.to_html(
        full_html=False, include_plotlyjs=False, config={"displayModeBar": False, "responsive": True}
    )
    return Markup(html)  # noqa: S704  plotly escapes the JSON it writes


def check_page(path: str | Path) -> Path:
    """The path of a page that can be written there.

    Raises:
        UsageError: `path` is a folder, or does not end in `.html`.
    """
    path = Path(path)
    if path.is_dir() or path.suffix not in (".html", ".htm"):
        raise UsageError(f"{path}: expected a file name ending in .html")
    return path


def write_page(template: str, path: Path, *, figures: bool = True, **values: Any) -> None:
    """Fill a template of `codelab/reporting/templates` and write it, whole or not at all; `figures` need plotly."""
    environment = Environment(
        loader=PackageLoader("codelab.reporting"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    plotly = Markup(get_plotlyjs()) if figures else ""  # noqa: S704  the library's own script
    page = environment.get_template(template).render(plotly=plotly, colours=drawing.LEVELS, **values)
    with atomic_path(path) as part:
        part.write_text(page, encoding="utf-8")
