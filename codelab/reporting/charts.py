"""The figures of an analysis, in the order of its sections: the report and the explorer's overview show these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codelab.analysis.section import Chart
from codelab.analysis.sections import SECTIONS
from codelab.core.result import Result, Skipped

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Drawing:
    """One figure: `name` of its first section, how to present it, and why there is none where `figure` is None."""

    name: str
    chart: Chart
    figure: go.Figure | None
    text: str


def drawings(results: Mapping[str, Result]) -> list[Drawing]:
    """Every chart that a section declares; sections with one chart in common are drawn into one figure."""
    names: dict[Chart, list[str]] = {}
    for section in SECTIONS:
        if section.chart is not None:
            names.setdefault(section.chart, []).append(section.name)
    missing = Skipped(reason="not measured")
    return [_drawing(chart, own, [results.get(name, missing) for name in own]) for chart, own in names.items()]


def _drawing(chart: Chart, names: list[str], results: list[Any]) -> Drawing:
    measured = [result for result in results if not isinstance(result, Skipped)]
    if not measured:
        return Drawing(names[0], chart, None, results[0].reason)
    first, *others = measured
    return Drawing(names[0], chart, first.plot(*others), chart.text(first).strip())
