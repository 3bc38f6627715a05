"""Plotly figures: a function takes a result and returns a figure; nothing is computed here.

Colours are Okabe and Ito's, which people with any colour vision tell apart. Meanings are fixed: blue is the 1 side of
a bit, orange its 0 side; green is the same class, vermillion another one; grey is everything, or chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from codelab.core.formats import p_phrase
from codelab.measures.bit_usage import RARE, BitUsage
from codelab.measures.block_entropy import BlockEntropy
from codelab.measures.class_information import ClassInformation
from codelab.measures.pair_distances import PairDistances
from codelab.semantics.exemplars import Exemplars
from codelab.semantics.signatures import ClassShares

if TYPE_CHECKING:
    from codelab.semantics.describe import BitDescription

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY, INK = "#56B4E9", "#CC79A7", "#8A919C", "#1F2933"
ONE, ZERO, SAME, DIFFERENT = BLUE, ORANGE, GREEN, VERMILLION
LEVELS = {"good": GREEN, "watch": ORANGE, "bad": VERMILLION, "note": GREY}
"""The colour of a verdict."""

FONT = "'Source Sans', 'Source Sans Pro', 'Segoe UI', Helvetica, Arial, sans-serif"

TEMPLATE = go.layout.Template(
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
        "yaxis": {"gridcolor": "#E8EBEF", "zeroline": False, "automargin": True, "title": {"font": {"size": 12}}},
        "bargap": 0.25,
    }
)
"""The look all figures share."""


def bit_usage(usage: BitUsage) -> go.Figure:
    """Share of ones of every bit, lowest first, with its interval; the bands of rare bits are shaded."""
    order = np.argsort(usage.p, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    figure = blank("bits, in order of their share", "share of ones", height=300)
    for low, high in ((0, RARE), (1 - RARE, 1)):
        figure.add_hrect(low, high, fillcolor=VERMILLION, opacity=0.08, line_width=0)
    figure.add_hline(0.5, line={"color": GREY, "width": 1, "dash": "dot"})
    colours = {"active": BLUE, "rare": ORANGE, "dead": VERMILLION}
    for state, colour in colours.items():
        bits = order[usage.state[order] == state]
        if len(bits):
            figure.add_scatter(
                x=place[bits],
                y=usage.p[bits],
                error_y={
                    "array": usage.high[bits] - usage.p[bits],
                    "arrayminus": usage.p[bits] - usage.low[bits],
                    "width": 0,
                    "thickness": 1,
                },
                mode="markers",
                name=f"{state} ({len(bits)})",
                marker={"color": colour, "size": 7, "symbol": "circle" if state == "active" else "diamond"},
                customdata=np.column_stack([bits, usage.entropy[bits]]),
                hovertemplate="bit %{customdata[0]:d}<br>share of ones %{y:.3f}<br>"
                "entropy %{customdata[1]:.3f} bit<extra></extra>",
            )
    figure.update_xaxes(showticklabels=False, ticks="")
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    figure.update_layout(showlegend=True)
    return figure


def distance_histogram(distances: PairDistances) -> go.Figure:
    """Hamming distances of random pairs, of one class and of two, beside what independent bits would give."""
    figure = blank("Hamming distance (bits that differ)", "share of pairs", height=300)
    x = np.arange(len(distances.every))
    figure.add_scatter(
        x=x,
        y=distances.independent,
        name="if bits were independent",
        mode="lines",
        line={"color": GREY, "width": 1.5, "dash": "dot", "shape": "hvh"},
    )
    lines: list[tuple[np.ndarray | None, str, str, str]] = [
        (distances.every, "any two images", INK, "solid"),
        (distances.different, "different classes", DIFFERENT, "dash"),
        (distances.same, "same class", SAME, "solid"),
    ]
    for counts, name, colour, dash in lines:
        if counts is not None:
            figure.add_scatter(
                x=x,
                y=counts / counts.sum(),
                name=name,
                mode="lines",
                line={"color": colour, "width": 2, "dash": dash, "shape": "hvh"},
            )
    drawn = [c for c in (distances.every, distances.same, distances.different) if c is not None]
    top = max(int(np.flatnonzero(c).max()) for c in drawn)
    likely = np.flatnonzero(distances.independent > 1e-4)
    figure.update_traces(hovertemplate="distance %{x}: %{y:.2%}")
    figure.update_xaxes(range=[-0.5, max(top, int(likely.max())) + 0.5])
    figure.update_yaxes(rangemode="tozero", tickformat=".0%")
    figure.update_layout(hovermode="x unified")
    return figure


def information_ranking(information: ClassInformation, alpha: float = 0.05) -> go.Figure:
    """Corrected information of every bit about the class, most first; bits no better than chance are grey."""
    order = np.argsort(-information.information, kind="stable")
    figure = blank("bits, from the most informative", "information (bits)", height=300)
    sure = information.q_value[order] < alpha
    for chosen, colour, name in ((sure, BLUE, f"q < {alpha}"), (~sure, GREY, f"no better than chance (q ≥ {alpha})")):
        places = np.flatnonzero(chosen)
        if len(places):
            bits = order[places]
            figure.add_bar(
                x=places + 1,
                y=information.information[bits],
                name=name,
                marker_color=colour,
                customdata=np.column_stack([bits, information.plugin[bits]]),
                hovertext=[p_phrase("q", float(q)) for q in information.q_value[bits]],
                hovertemplate="bit %{customdata[0]:d}, rank %{x}<br>%{y:.3f} bit (plug-in %{customdata[1]:.3f})<br>"
                "%{hovertext}<extra></extra>",
            )
    figure.update_layout(barmode="overlay", bargap=0.15)
    figure.update_xaxes(range=[0.25, len(order) + 0.75])
    return figure


def block_entropies(*results: BlockEntropy) -> go.Figure:
    """Entropy of each block, one colour an arrangement, with the plug-in value as an open circle."""
    width = results[0].width
    figure = blank("block", f"entropy of a block of {width} bits", height=300)
    for number, (blocks, colour) in enumerate(zip(results, (BLUE, ORANGE, PURPLE), strict=False)):
        x = np.arange(1, len(blocks.entropy) + 1)
        names = [" ".join(map(str, block)) for block in blocks.members.tolist()]
        figure.add_bar(
            x=x,
            y=blocks.entropy,
            name=f"{blocks.blocks} ({blocks.value:.2f})",
            marker_color=colour,
            customdata=names,
            hovertemplate="bits %{customdata}<br>%{y:.2f} bits<extra></extra>",
            offsetgroup=str(number),
        )
        figure.add_scatter(
            x=x + (number - (len(results) - 1) / 2) * 0.75 / len(results),
            y=blocks.plugin,
            name="plug-in",
            mode="markers",
            marker={"color": "white", "size": 6, "line": {"color": INK, "width": 1.2}},
            showlegend=number == 0,
            hovertemplate="plug-in %{y:.2f} bits<extra></extra>",
        )
    figure.add_hline(width, line={"color": GREY, "width": 1, "dash": "dot"})
    figure.update_xaxes(dtick=1 if len(results[0].entropy) <= 16 else None)
    figure.update_yaxes(range=[0, width * 1.05])
    return figure


def class_shares(shares: ClassShares, most: int = 40) -> go.Figure:
    """Share of ones in each class with its 95 % interval; of many classes, the highest and the lowest `most / 2`."""
    keep = np.arange(len(shares.share))
    if len(keep) > most:
        keep = np.concatenate([keep[: most // 2], keep[-(most // 2) :]])
    keep = keep[::-1]  # Plotly draws the first bar lowest
    share, low, high = shares.share[keep], shares.low[keep], shares.high[keep]
    figure = blank("share of images with bit = 1", "", height=90 + max(24 * len(keep), 60))
    figure.add_bar(
        y=np.arange(len(keep)),
        x=share,
        orientation="h",
        marker_color=ONE,
        error_x={"array": high - share, "arrayminus": share - low, "color": INK, "thickness": 1.2, "width": 3},
        customdata=np.column_stack([shares.n[keep], low, high]),
        hovertemplate="%{x:.1%} of %{customdata[0]:d} images<br>95% interval %{customdata[1]:.1%} to "
        "%{customdata[2]:.1%}<extra></extra>",
    )
    figure.add_vline(
        shares.overall,
        line={"color": GREY, "width": 1.5, "dash": "dot"},
        annotation={"text": f"all {shares.overall:.0%}", "font": {"size": 11, "color": INK}, "yanchor": "bottom"},
    )
    names = [f"{plain_name(shares.classes[i])}  {shares.share[i]:.0%} " for i in keep]
    figure.update_yaxes(tickvals=np.arange(len(keep)), ticktext=names, showgrid=False, ticks="")
    figure.update_xaxes(range=[0, 1.005], dtick=0.25, tickformat=".0%", showgrid=True, gridcolor="#E8EBEF")
    figure.update_layout(margin={"r": 24})  # room to write 100%
    figure.update_layout(showlegend=False)
    return figure


def margins(found: Exemplars) -> go.Figure:
    """The logits of one bit over all images, its two sides in their colours."""
    figure = blank(f"logit of bit {found.bit}", "images", height=190)
    if found.counts is None or found.edges is None:
        return figure
    middle, width = (found.edges[:-1] + found.edges[1:]) / 2, float(found.edges[1] - found.edges[0])
    for side, colour, name in ((middle < 0, ZERO, "bit = 0"), (middle > 0, ONE, "bit = 1")):
        counts = found.counts[side]
        figure.add_bar(
            x=middle[side],
            y=counts,
            width=width,
            name=f"{name} ({counts.sum():,} images)",
            marker={"color": colour, "line": {"color": "white", "width": 0.5}},
            hovertemplate="logit about %{x:.2f}: %{y} images<extra></extra>",
        )
    figure.add_vline(0, line={"color": INK, "width": 1.2})
    return figure


def one_bit(found: BitDescription) -> go.Figure:
    """The logits of a bit over all images, and its share of ones in each class; what there is of the two."""
    parts = [margins(found.exemplars)] if found.exemplars.counts is not None else []
    parts += [class_shares(found.shares)] if found.shares is not None else []
    if not parts:
        figure = blank("share of images with bit = 1", "", height=150)
        spread = {"array": [found.high - found.p], "arrayminus": [found.p - found.low], "color": INK}
        figure.add_bar(x=[found.p], y=[f"bit {found.bit}"], orientation="h", marker_color=ONE, error_x=spread)
        return figure.update_xaxes(range=[0, 1.005], tickformat=".0%")
    if len(parts) == 1:
        return parts[0]
    figure = make_subplots(rows=2, row_heights=[part.layout.height for part in parts], vertical_spacing=0.2)
    for row, part in enumerate(parts, start=1):
        figure.add_traces(part.data, rows=row, cols=1)
        for axis in ("xaxis", "yaxis"):
            own = {k: v for k, v in part.layout[axis].to_plotly_json().items() if k not in ("anchor", "domain")}
            figure.layout[axis if row == 1 else f"{axis}{row}"].update(own)
        for shape in part.layout.shapes:  # the threshold, and the share of all
            figure.add_vline(shape.x0, line=shape.line.to_plotly_json(), row=row, col=1)
    figure.update_layout(template=TEMPLATE, height=sum(part.layout.height for part in parts) + 40)
    figure.update_traces(selector={"orientation": "h"}, showlegend=False)
    return figure


def blank(x: str, y: str, *, height: int) -> go.Figure:
    """A figure with titled axes and nothing drawn."""
    figure = go.Figure()
    figure.update_layout(template=TEMPLATE, height=height, xaxis_title=x, yaxis_title=y)
    return figure


def plain_name(name: str, most: int = 28) -> str:
    """A class name as plain text for an axis: Plotly reads HTML in it."""
    cut = name if len(name) <= most else f"{name[: most - 1]}…"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
