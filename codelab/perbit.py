"""Results with one row a bit."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from codelab.result import Result

if TYPE_CHECKING:
    import pandas as pd


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
