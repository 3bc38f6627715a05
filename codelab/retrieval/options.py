"""The options that all measures of retrieval share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from codelab.core.codes import Codes
from codelab.retrieval.ranking import Groups, Ranking, rank
from codelab.retrieval.summary import Averaging

if TYPE_CHECKING:
    from collections.abc import Mapping


class RankOptions(TypedDict, total=False):
    """Those of `Options` that say who ranks whom: `exclude_self`, `groups`, `by`, `threads`."""

    exclude_self: bool
    groups: Groups | tuple[Groups, Groups]
    by: str
    threads: int | None


class Options(RankOptions, total=False):
    """Keyword arguments of every measure of retrieval; all may be left out.

    Args:
        exclude_self: leave row i out of query i's ranking where `database` is the queries again. Default: False. A
            ranking without a `database` always leaves it out.
        groups: item column, or one value an item: the query's own group is left out of its ranking as well (near
            copies: skin tones of one emoji, frames of one video). A pair of arrays where the sets differ. Default:
            None.
        by: `codes` (default, Hamming), or `features` (cosine over `Codes.features`; set others with
            `dataclasses.replace`).
        threads: default: the cores this process may use.
        average: over queries (`query`, default), or the mean of the class means (`class`).
        bootstrap: how often the queries are resampled for the interval. Default: 1000.
        confidence: the share of resamples the interval holds. Default: 0.95.
        seed: of the resampling. Default: 0.
    """

    average: str
    bootstrap: int
    confidence: float
    seed: int


def begin(
    measure: str, queries: Codes, database: Codes | None, options: Mapping[str, Any], kind: type = Options
) -> tuple[Ranking, Averaging]:
    """The ranking and the average that a measure's options ask for.

    Args:
        measure: the function a person called.
        queries, database: as that function took them.
        options: its keyword arguments.
        kind: `Options`, or `RankOptions` where the measure takes no others.

    Raises:
        TypeError: a keyword that is not in `kind`.
        UsageError: an option that cannot be.
        DataError: sets that do not fit each other, or without labels or features.
    """
    for name in options:
        if name not in kind.__annotations__:
            known = ", ".join(kind.__annotations__)
            raise TypeError(f"{measure}() got an unexpected keyword argument {name!r}: expected {known}")
    about = {name: value for name, value in options.items() if name in Averaging.__annotations__}
    ranking = rank(queries, database, **{name: value for name, value in options.items() if name not in about})
    return ranking, Averaging(**about)
