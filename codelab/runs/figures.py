"""Plotly figures of training runs: curves over steps, head resets as dotted lines, alarms as bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from codelab.core.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILLION, blank, plain_name
from codelab.runs.readings import Curves

MOST = 2000
"""Points of a curve; of more readings, evenly spaced ones are drawn."""
FEW = 30
"""Up to so many points are marked, as a line through one point cannot be seen."""
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, INK)
DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot")
"""Not as many as colours, so that 30 lines differ in one or the other; `dot` is for limits and resets."""

Axis = Literal["step", "epoch"]


@dataclass(frozen=True)
class Line:
    """One figure of a run over time.

    Args:
        label: in words.
        reading: its name in the readings; empty where only evaluations have it.
        score: its name in the evaluations; empty where only readings have it.
        limit: a level to compare it with and what that is.
    """

    label: str
    reading: str = ""
    score: str = ""
    limit: tuple[float, str] | None = None

    def known(self, run: Curves) -> bool:
        return run.readings.has(self.reading) or run.evaluations.has(self.score)


@dataclass(frozen=True)
class Panel:
    """Lines that share an axis.

    Args:
        lines: what is drawn.
        y: title of the axis, with its unit.
        span: the least that the axis shows; None where the lines alone decide.
        tick: format of the axis.
        hover: format of a number.
    """

    lines: tuple[Line, ...]
    y: str
    span: tuple[float, float] | None = None
    tick: str = ""
    hover: str = ".3f"


def axis_of(runs: Sequence[Curves]) -> Axis:
    """Steps, but epochs where the runs have epochs of different lengths and all are known."""
    lengths = {run.steps_per_epoch for run in runs}
    return "epoch" if len(lengths) > 1 and None not in lengths else "step"


def curves(panel: Panel, runs: Sequence[Curves], *, best_by: str = "") -> go.Figure:
    """A panel of one run, or one of its lines over several runs.

    Args:
        panel: what to draw; a line for which no run has a number is left out.
        runs: one, whose lines have a colour and a dash each; or several, each in a colour and dash of its own.
        best_by: name of an evaluation figure; the last teacher kept as the best by it has a star.
    """
    axis = axis_of(runs)
    figure = blank(_x_title(axis, runs), panel.y, height=320)
    named = False  # the star, once
    for number, run in enumerate(runs):
        for place, line in enumerate(line for line in panel.lines if line.known(run)):
            index, label = (place, line.label) if len(runs) == 1 else (number, plain_name(run.name, 60))
            _draw(figure, run, line, label, index, axis, panel.hover, several=len(runs) > 1)
            if best_by and line.score == best_by:
                named = _star(figure, run, best_by, axis, panel.hover, named=not named) or named
    end = max(_at(axis, run, np.array([run.step]))[0] for run in runs)
    for value, text in (line.limit for line in panel.lines if line.limit):
        figure.add_scatter(
            x=[0, end],
            y=[value, value],
            name=text,
            legendrank=1050,
            mode="lines",
            line={"color": GREY, "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
        )
    shapes = [shape for number, run in enumerate(runs) for shape in _marks(run, axis, number, runs)]
    entries = sum(trace.showlegend is not False for trace in figure.data)
    figure.update_layout(shapes=shapes, hovermode="x unified", legend_traceorder="normal", height=280 + 12 * entries)
    figure.update_xaxes(range=[0, end * 1.015 or 1], hoverformat=",d" if axis == "step" else ".2f")
    figure.update_yaxes(tickformat=panel.tick, range=_range(panel, runs))
    return figure


def _draw(
    figure: go.Figure, run: Curves, line: Line, label: str, index: int, axis: Axis, hover: str, *, several: bool
) -> None:
    """The readings as a line, the evaluations as diamonds: joined where there is nothing else."""
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    both = run.readings.has(line.reading) and run.evaluations.has(line.score)
    for rows, name, held in ((run.readings, line.reading, False), (run.evaluations, line.score, True)):
        if not rows.has(name):
            continue
        rows = rows.thinned(MOST)
        mode = "markers" if held and both else "lines+markers" if len(rows) <= FEW else "lines"
        figure.add_scatter(
            x=_at(axis, run, rows.step),
            y=rows[name],
            name=f"{label}, evaluated" if held and both else label,
            legendgroup=label,
            showlegend=not (held and both and several),
            mode=mode,
            line={"color": colour, "width": 2, "dash": dash},
            marker={
                "color": colour,
                "size": 8 if held else 5,
                "symbol": "diamond" if held else "circle",
                "line": {"color": "white", "width": int(held)},
            },
            hovertemplate=f"%{{y:{hover}}}",
        )


def _star(figure: go.Figure, run: Curves, name: str, axis: Axis, hover: str, *, named: bool) -> bool:
    """Mark the teacher that was kept last; whether there is one."""
    row = np.flatnonzero(run.evaluations["best"] == 1)[-1:]
    if len(row):
        figure.add_scatter(
            x=_at(axis, run, run.evaluations.step[row]),
            y=run.evaluations[name][row],
            name="kept as the best",
            legendgroup="kept",
            legendrank=1100,
            showlegend=named,
            mode="markers",
            marker={"color": "white", "size": 15, "symbol": "star", "line": {"color": INK, "width": 1.5}},
            hovertemplate=f"%{{y:{hover}}}",
        )
    return len(row) > 0


def _marks(run: Curves, axis: Axis, number: int, runs: Sequence[Curves]) -> list[dict[str, Any]]:
    """Head resets and alarms of one of the runs, as shapes with an entry in the legend."""
    alone = len(runs) == 1
    colour, whose = COLOURS[number % len(COLOURS)], "" if alone else f"{plain_name(run.name, 60)}: "
    band = VERMILLION if alone else colour
    shapes = [
        _shape("rect", whose + "alarm", place, _at(axis, run, since), _at(axis, run, last))
        | {"fillcolor": band, "opacity": 0.18, "line": {"color": band, "width": 1}}
        for place, (since, last) in enumerate(_bands(run))
    ]
    alike = len({other.resets for other in runs}) == 1  # then they are drawn once, and are no run's own
    for place, step in enumerate(() if alike and number else run.resets):
        name, x = f"{'' if alike else whose}head reset", _at(axis, run, step)
        line = {"color": INK if alike else colour, "width": 1.3, "dash": "dot"}
        shapes.append(_shape("line", name, place, x, x) | {"line": line})
    return shapes


def _bands(run: Curves) -> list[tuple[int, int]]:
    """From the reading before an alarm to its last one; those too near each other to be seen apart are one."""
    bands: list[tuple[int, int]] = []
    for alarm in run.alarms:
        if bands and alarm.since - bands[-1][1] < run.step / 500:
            bands[-1] = (bands[-1][0], alarm.last)
        else:
            bands.append((alarm.since, alarm.last))
    return bands


def _shape(kind: str, name: str, place: int, x0: float, x1: float) -> dict[str, Any]:
    """Over the whole height; those of one name have one entry in the legend and are hidden by it together."""
    across = {"type": kind, "x0": x0, "x1": x1, "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    return across | {"name": name, "legendgroup": name, "showlegend": place == 0}


def _at(axis: Axis, run: Curves, step: Any) -> Any:
    """Where a step lies on the axis."""
    return step / run.steps_per_epoch if axis == "epoch" and run.steps_per_epoch else step


def _x_title(axis: Axis, runs: Sequence[Curves]) -> str:
    length = runs[0].steps_per_epoch
    return axis if axis == "epoch" or length is None else f"step ({length:,} an epoch)"


def _range(panel: Panel, runs: Sequence[Curves]) -> list[float] | None:
    """At least the panel's span, and all numbers."""
    if panel.span is None:
        return None
    columns = [
        c for run in runs for line in panel.lines for c in (run.readings[line.reading], run.evaluations[line.score])
    ]
    limits = [line.limit[0] for line in panel.lines if line.limit]
    values = np.concatenate([*columns, panel.span, limits])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = (high - low) * 0.03
    return [low - margin if low < 0 else low, high + margin]
