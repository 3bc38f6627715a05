"""What every measure returns: a small frozen dataclass that knows what it was made from."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from codelab import __version__

if TYPE_CHECKING:
    import pandas as pd

    from codelab.codes import Codes


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
    """Base of all results: provenance, a table, a dictionary for JSON, and a number where there is one.

    A subclass with one number calls it `value`, and says in `estimator` how it corrects for chance, where it does; a
    subclass with one row a bit overrides `to_frame`.
    """

    source: Source | None = None
    seed: int | None = None

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


def plain(value: Any) -> Any:
    """`value` in types that `json.dumps` takes; NaN and infinities become None, for JSON has neither."""
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
