"""What all figures share: palette, look, empty axes. A result draws itself with these in its `plot()`.

Colours are Okabe and Ito's, which people with any colour vision tell apart. Meanings are fixed: blue is the 1 side of
a bit, orange its 0 side; green is the same class, vermillion another one; grey is everything, or chance.
Plotly is imported when a figure is drawn.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY, INK = "#56B4E9", "#CC79A7", "#8A919C", "#1F2933"
ONE, ZERO, SAME, DIFFERENT = BLUE, ORANGE, GREEN, VERMILLION
GRID = "#E8EBEF"
LEVELS = {"good": GREEN, "watch": ORANGE, "bad": VERMILLION, "note": GREY}
"""The colour of a verdict."""

FONT = "'Source Sans', 'Source Sans Pro', 'Segoe UI', Helvetica, Arial, sans-serif"


@cache
def template() -> go.layout.Template:
    """The look all figures share."""
    import plotly.graph_objects as go

    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": INK},
            "colorway": [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION],
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 56, "r": 16, "t": 30, "b": 44},
            "hoverlabel": {"bgcolor": "white", "bordercolor": "#D5DAE1", "font": {"family": FONT, "color": INK}},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": {"text": ""}},
            "xaxis": {
                "showgrid": False,
                "zeroline": False,
                "linecolor": "#C3CAD4",
                "ticks": "outside",
                "ticklen": 4,
                "title": {"font": {"size": 12}},
            },
            "yaxis": {"gridcolor": GRID, "zeroline": False, "automargin": True, "title": {"font": {"size": 12}}},
            "bargap": 0.25,
        }
    )


def blank(x: str, y: str, *, height: int = 300) -> go.Figure:
    """A figure with titled axes and nothing drawn.

    Example:
        >>> blank("bits", "share of ones").add_bar(y=[0.2, 0.7]).layout.yaxis.title.text
        'share of ones'
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.update_layout(template=template(), height=height, xaxis_title=x, yaxis_title=y)
    return figure


def level_line(value: float) -> dict[str, object]:
    """Arguments of `add_hline` that draw a level to compare with."""
    return {"y": value, "line": {"color": GREY, "width": 1, "dash": "dot"}}


def plain_name(name: str, most: int = 28) -> str:
    """A class name as plain text on an axis: Plotly reads HTML in it.

    Example:
        >>> plain_name("cats & <b>dogs</b>")
        'cats &amp; &lt;b&gt;dogs&lt;/b&gt;'
    """
    cut = name if len(name) <= most else f"{name[: most - 1]}…"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
