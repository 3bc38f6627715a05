"""The result of a scorecard: every cell with its interval, and every row beside every other one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from codelab.core.errors import UsageError
from codelab.core.formats import number
from codelab.core.result import Result
from codelab.scoring.cells import holm
from codelab.scoring.columns import Column
from codelab.scoring.rows import ORACLE

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row as it is shown: its `name`, how its codes were made, `given` by the caller or a control, and how many
    codes it is the mean of."""

    name: str
    how: str
    given: bool
    codes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scorecard(Result):
    """Codes and their controls, R rows and C columns.

    `value` is not one number: `values` `[R, C]` with their 95 % intervals `low` to `high`, NaN where there is none,
    and `spread` `[R, C]` over the codes of one method, NaN where there is one. `difference` `[R, R, C]` is a row less
    another, `least` the least reliable difference and `p_value` that of no difference (see
    `codelab.scoring.cells.difference`). `reasons` says why cells are empty or have no interval, by row and column.
    `invalid` `[C]` says why a column is no valid score on this data set, empty where it is one. `notes` are lines
    about all of it; `provenance` is version, commit, inputs, seeds and command.

    The line quotes how many columns are valid and in how many of them the first codes are above each control.
    """

    rows: tuple[Entry, ...]
    columns: tuple[Column, ...]
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray
    difference: np.ndarray
    least: np.ndarray
    p_value: np.ndarray
    reasons: dict[tuple[str, str], str]
    invalid: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: dict[str, Any]

    def headline(self) -> str:
        controls = [row for row in self.rows if not row.given and row.name != ORACLE]
        above = ", ".join(f"{row.name} in {len(self.better(self.rows[0].name, row.name))}" for row in controls)
        return f"{self.rows[0].name} above {above} of {self.invalid.count('')} valid columns"

    def better(self, a: str, b: str) -> list[str]:
        """The valid columns in which row `a` is above row `b`, all columns taken together (Holm, 5 %).

        Source: Holm 1979.
        """
        i, j = self.row(a), self.row(b)
        valid = self._compared(i, j)
        sure = holm(self.p_value[i, j, valid]) < LEVEL
        return [self.columns[c].name for c, s in zip(valid, sure, strict=True) if s and self.difference[i, j, c] > 0]

    def _compared(self, i: int, j: int) -> list[int]:
        """The valid columns in which two rows have a difference with its chance."""
        return [c for c, why in enumerate(self.invalid) if not why and not np.isnan(self.p_value[i, j, c])]

    def reliable(self) -> np.ndarray:
        """Bool `[R, R, C]`: the difference is larger than the least reliable one."""
        return np.abs(self.difference) > np.where(np.isnan(self.least), np.inf, self.least)

    def sentences(self) -> list[str]:
        """In which columns each of the codes given is better than each other row but the oracle, in words."""
        lines = []
        for one in self.rows:
            for other in self.rows:
                if one is other or ORACLE in (one.name, other.name) or not (one.given or other.given):
                    continue
                if columns := self.better(one.name, other.name):
                    lines.append(f"{one.name} is better than {other.name} in {self._list(columns, one, other)}.")
                elif one.given and not self._compared(self.row(one.name), self.row(other.name)):
                    lines.append(f"{one.name} and {other.name}: not compared: no valid column has both intervals.")
                elif one.given and not self.better(other.name, one.name):
                    lines.append(f"{one.name} and {other.name}: no reliable difference in any valid column.")
        return lines

    def _list(self, columns: Sequence[str], one: Entry, other: Entry) -> str:
        i, j = self.row(one.name), self.row(other.name)
        parts = []
        for c, column in enumerate(self.columns):
            if column.name in columns:
                parts.append(f"{label(column)} (+{number(self.difference[i, j, c], column.decimals)})")
        return ", ".join(parts)

    def row(self, name: str) -> int:
        try:
            return [row.name for row in self.rows].index(name)
        except ValueError:
            names = ", ".join(row.name for row in self.rows)
            raise UsageError(f"scorecard: there is no row {name!r}, the rows are {names}") from None

    def to_frame(self) -> pd.DataFrame:
        """One line a cell: `row`, `column`, `value`, `low`, `high`, `spread`, `valid`, `why`."""
        import pandas as pd

        cells = [(i, c) for i in range(len(self.rows)) for c in range(len(self.columns))]
        return pd.DataFrame(
            [
                {
                    "row": self.rows[i].name,
                    "column": self.columns[c].name,
                    **{name: getattr(self, name if name != "value" else "values")[i, c] for name in _NUMBERS},
                    "valid": not self.invalid[c],
                    "why": self.invalid[c] or self.reasons.get((self.rows[i].name, self.columns[c].name), ""),
                }
                for i, c in cells
            ]
        )

    def differences(self) -> pd.DataFrame:
        """One line a pair of rows and column: `row`, `against`, `column`, `difference`, `least`, `p_value`,
        `reliable`."""
        import pandas as pd

        reliable, lines = self.reliable(), []
        for i, row in enumerate(self.rows):
            for j, other in enumerate(self.rows):
                if i == j:
                    continue
                for c, column in enumerate(self.columns):
                    lines.append(
                        {
                            "row": row.name,
                            "against": other.name,
                            "column": column.name,
                            "difference": self.difference[i, j, c],
                            "least": self.least[i, j, c],
                            "p_value": self.p_value[i, j, c],
                            "reliable": bool(reliable[i, j, c]),
                        }
                    )
        return pd.DataFrame(lines)


_NUMBERS = ("value", "low", "high", "spread")


def label(column: Column) -> str:
    """A column in a sentence, where its block is not seen."""
    attribute = column.name.partition(":")[2]
    return f"{column.heading} of {attribute}" if attribute else column.heading
