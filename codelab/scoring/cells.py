"""Cells of a scorecard: a value with its values without each part of the images, and the difference of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from codelab.core.errors import DataError
from codelab.retrieval.deletion import Design
from codelab.statistics.intervals import CONFIDENCE
from codelab.statistics.jackknife import jackknife_interval, standard_error

FEWER = 10
"""Parts of the measures that are taken again without each."""


@dataclass(frozen=True, eq=False)
class Cell:
    """What one measure gives of one code.

    `deleted` `[m]` is the value without each part of the images, empty where there is no interval; `reason` says why
    there is no value, or no interval. Retrieval keeps what `deleted` was worked out from (see
    `codelab.retrieval.deletion.Design`): differences are taken of that.
    """

    value: float = float("nan")
    deleted: np.ndarray = field(default_factory=lambda: np.empty(0))
    reason: str = ""
    design: str = ""
    subsets: np.ndarray = field(default_factory=lambda: np.empty(0))
    effects: np.ndarray = field(default_factory=lambda: np.empty(0))


def empty(reason: str) -> Cell:
    return Cell(reason=reason)


def mean_cell(cells: Sequence[Cell]) -> Cell:
    """The mean of the cells of several codes of one method; one without a value leaves none."""
    missing = next((cell for cell in cells if np.isnan(cell.value)), None)
    if missing is not None or len(cells) == 1:
        return missing or cells[0]
    arrays = {}
    for name in ("deleted", "subsets", "effects"):
        parts = [getattr(cell, name) for cell in cells]
        arrays[name] = np.mean(parts, axis=0) if len({part.shape for part in parts}) == 1 else np.empty(0)
    same = len({cell.design for cell in cells}) == 1
    return Cell(
        float(np.mean([cell.value for cell in cells])),
        reason=next((cell.reason for cell in cells if cell.reason), ""),
        design=cells[0].design if same else "tied",
        **arrays,
    )


def spread(cells: Sequence[Cell]) -> float:
    """Standard deviation over the codes of one method; NaN below two."""
    values = [cell.value for cell in cells]
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def interval(cell: Cell, bounds: tuple[float, float]) -> tuple[float, float]:
    """95 % interval of a cell, NaN where there is none."""
    if len(cell.deleted) < 2 or np.isnan(cell.deleted).any():
        return float("nan"), float("nan")
    return jackknife_interval(cell.value, cell.deleted, bounds)


@dataclass(frozen=True)
class Difference:
    """A cell less another of the same column.

    `least` is the least reliable difference, and `p_value` that of no difference; both NaN where either cell has no
    value or no interval.
    """

    value: float
    least: float
    p_value: float

    @property
    def reliable(self) -> bool:
        return bool(abs(self.value) > self.least)


@dataclass(frozen=True)
class Seeds:
    """Standard deviation `spread` of a column over `codes` codes of one method; `variance` is that of their mean.

    `codes` 0: no chance of a method. `own`: the codes are of the row itself, not of random directions in its place.
    """

    spread: float = 0.0
    codes: int = 0
    own: bool = True

    @property
    def variance(self) -> float:
        return self.spread**2 / (self.codes if self.own else 1) if self.codes > 1 else 0.0


def difference(a: Cell, b: Cell, of_a: Seeds, of_b: Seeds) -> Difference:
    """The paired difference of two cells.

    With d_i the difference without part i of m, and s the standard deviation of a method over its k seeds,

        V = (m - 1) / m sum_i (d_i - mean d)^2  +  s_a^2 / k_a  +  s_b^2 / k_b,    least = t sqrt(V)

    with t the quantile of Student's distribution whose degrees of freedom are

        V^2 / (V_images^2 / (m - 1) + sum over methods of (s^2 / k)^2 / (k - 1)).

    Two rows that borrow the spread of random directions borrow the same one, so that their terms add before they are
    squared.

    Source: Efron & Tibshirani 1993, chapter 11; Satterthwaite 1946.
    """
    value = a.value - b.value
    nothing = Difference(value, float("nan"), float("nan"))
    if np.isnan(value) or not len(a.deleted) or a.deleted.shape != b.deleted.shape:
        return nothing
    deleted = a.deleted - b.deleted
    if "tied" in (a.design, b.design):
        return nothing
    if a.design and a.design == b.design and a.subsets.shape == b.subsets.shape:
        effects = a.effects - b.effects if a.effects.size and a.effects.shape == b.effects.shape else None
        design = Design(a.design, len(deleted))
        deleted = design.deleted(a.subsets - b.subsets, value, effects, two=True).averages
    error = standard_error(deleted)
    if np.isnan(error):
        return nothing
    borrowed = [one for one in (of_a, of_b) if not one.own]
    terms = [(error**2, len(deleted) - 1)]
    terms += [(one.variance, one.codes - 1) for one in (of_a, of_b) if one.own and one.codes > 1]
    if borrowed:
        terms.append((sum(one.variance for one in borrowed), borrowed[0].codes - 1))
    total = sum(variance for variance, _ in terms)
    if total <= 1e-24:  # the same without each part: no chance
        return Difference(value, 0.0, 1.0 if abs(value) < 1e-12 else 0.0)
    free = total**2 / sum(variance**2 / degrees for variance, degrees in terms)
    reach = float(special.stdtrit(free, 0.5 + CONFIDENCE / 2)) * total**0.5
    return Difference(value, reach, float(2 * special.stdtr(free, -abs(value) / total**0.5)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values `[m]` such that those below 5 % hold a false find in 5 % of families at most.

    Source: Holm 1979.

    Example:
        >>> holm(np.array([0.03, 0.01, 0.04])).round(3).tolist()
        [0.06, 0.03, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    found = np.empty(len(p_values))
    found[order] = np.maximum.accumulate((len(p_values) - np.arange(len(p_values))) * p_values[order])
    return np.minimum(found, 1.0)


def without_each(part: np.ndarray, measure: Callable[[np.ndarray], float]) -> Cell:
    """A measure of all images, and again without each of `FEWER` parts.

    Args:
        part: part numbers `[n]` of the images.
        measure: from bool `[n]`, which images, to the value.
    """
    fewer = part % FEWER
    value = measure(np.ones(len(part), bool))
    if np.isnan(value):
        return empty("cannot be told: no effect above noise")
    deleted = []
    for number in np.unique(fewer):
        try:
            deleted.append(measure(fewer != number))
        except DataError:  # of few images, some are too few
            deleted.append(float("nan"))
    return _kept(value, np.array(deleted))


def from_parts(value: float, deleted: np.ndarray) -> Cell:
    """A cell from what additive counts gave."""
    return _kept(float(value), np.asarray(deleted, np.float64))


def _kept(value: float, deleted: np.ndarray) -> Cell:
    if np.isnan(deleted).any():
        return Cell(value, reason="no interval: without some part of the images there is no value")
    return Cell(value, deleted)
