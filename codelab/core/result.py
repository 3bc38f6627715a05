"""What every measure returns: a small frozen dataclass that knows what it was made from."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from codelab import __version__
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.formats import number, text_rows

if TYPE_CHECKING:
    import pandas as pd


MOST_ROWS = 20
"""Rows of a result's table that a notebook shows."""

LONGEST = 199
"""Characters of the line that a result is quoted by."""


@dataclasses.dataclass(frozen=True)
class Source:
    """The codes a number was computed from, so that it can be computed again."""

    n: int
    bits: int
    sha256: str
    split: str
    version: str = __version__

    @classmethod
    def of(cls, codes: Codes) -> Source:
        return cls(len(codes), codes.bits, codes.sha256, "+".join(codes.splits) or "all")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """Base of all results: provenance, a line to quote, a table, a dictionary for JSON, a number where there is one.

    A subclass puts its figure into words in `headline`; `repr` is that with the number of items and bits. One with one
    number calls it `value`, and names in `estimator` how it corrects for chance, where it does; one with one row a bit
    overrides `to_frame`; one with a figure draws it in `plot`, with what `codelab.core.drawing` has.
    """

    source: Source | None = None
    seed: int | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # the dataclass decorator writes a repr of all arrays into a class that has none of its own
        if "__repr__" not in cls.__dict__:
            setattr(cls, "__repr__", Result.__repr__)  # noqa: B010  mypy refuses the plain assignment

    def headline(self) -> str:
        """The figure to quote, with its interval or null where it has one, in a few words."""
        return number(float(self)) if hasattr(self, "value") else ""

    def size(self) -> str:
        """What the figure was measured on: `N=1716, B=64`."""
        return "" if self.source is None else f"N={self.source.n}, B={self.source.bits}"

    def __repr__(self) -> str:
        name, head, size = type(self).__name__, " ".join(self.headline().split()), self.size()
        most = LONGEST - len(name) - len(size) - 4
        if len(head) > most:  # names of classes and files can be of any length
            head = f"{head[: most - 1]}…"
        gap = ": " if any(c.isalpha() for c in head.partition("(")[0]) else " "  # a bare figure needs no colon
        return ", ".join(part for part in (f"{name}{gap}{head}" if head else name, size) if part)

    def _first_rows(self, most: int) -> tuple[pd.DataFrame, int]:
        """The first rows of the table, and how many it has in all."""
        frame = self.to_frame()
        return frame.head(most), len(frame)

    def _repr_html_(self) -> str:
        """The line to quote and the first rows of the table, as a notebook shows them."""
        frame, total = self._first_rows(MOST_ROWS)
        return html_table(repr(self), [str(name) for name in frame.columns], text_rows(frame), total)

    if not TYPE_CHECKING:  # to the type checker this would be a promise of any attribute

        def __getattr__(self, name: str) -> Any:
            if name == "plot":
                raise AttributeError(f"{type(self).__name__} has no figure to plot; its table is .to_frame()")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __float__(self) -> float:
        if not hasattr(self, "value"):
            raise TypeError(f"{type(self).__name__} is not one number: read its fields or its .to_frame()")
        return float(self.value)

    def to_frame(self) -> pd.DataFrame:
        """The result as a table: here one row, a column for each scalar field."""
        import pandas as pd

        flat = {k: v for k, v in self.to_dict().items() if not isinstance(v, (list, dict))}
        return pd.DataFrame([flat])

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain JSON values (arrays as lists, NaN as None)."""
        fields = {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        # a number that follows from the fields, where it is no field itself
        return fields if "value" in fields or not hasattr(self, "value") else fields | {"value": plain(self.value)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skipped(Result):
    """A section that could not be measured, and why, in one line."""

    reason: str

    def headline(self) -> str:
        return self.reason


R = TypeVar("R", bound=Result)


def all_of(kind: type[R], results: Mapping[str, Result]) -> list[R]:
    """The results of one kind, in order; those about an attribute (`attribute_information:NAME`) are left out."""
    return [result for name, result in results.items() if isinstance(result, kind) and ":" not in name]


def only(kind: type[R], results: Mapping[str, Result]) -> R | None:
    """The first result of one kind; None where it was not measured.

    Example:
        >>> from codelab import Codes, bit_usage
        >>> results = {"bit_usage": bit_usage(Codes.from_bits([[1, 0]])), "geometry": Skipped(reason="no features")}
        >>> only(type(results["bit_usage"]), results).p.tolist()
        [1.0, 0.0]
    """
    return next(iter(all_of(kind, results)), None)


def html_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], total: int) -> str:
    """A table as HTML that a notebook shows, every text escaped; below it how many rows there are beyond these."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    more = f"<p>… and {total - len(rows):,} more</p>" if total > len(rows) else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p><b>{escape(caption)}</b></p>{table}{more}</div>"


def plain(value: Any) -> Any:
    """`value` in types that `json.dumps` takes; NaN and infinities become None, as JSON has neither."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerBit(Result):
    """A result whose table has one row a bit: `bit`, then the arrays named in `COLUMNS`, each `[B]`."""

    COLUMNS: ClassVar[tuple[str, ...]] = ()

    def to_frame(self) -> pd.DataFrame:
        """One row a bit."""
        import pandas as pd

        table = {name: getattr(self, name) for name in self.COLUMNS}
        rows = len(next(iter(table.values())))
        return pd.DataFrame({"bit": range(rows), **table})


@dataclasses.dataclass(frozen=True)
class FeatureSource(Source):
    """Codes whose features a number was computed from: how many dimensions, and the SHA-256 of the float32 values."""

    dimensions: int = 0
    features_sha256: str = ""

    @classmethod
    def of(cls, codes: Codes) -> FeatureSource:
        if codes.features is None:
            raise DataError("by='features' needs features, and these codes have none")
        digest = hashlib.sha256(codes.features.data if codes.features.size else b"").hexdigest()
        return cls(**vars(Source.of(codes)), dimensions=codes.features.shape[1], features_sha256=digest)
