"""The options that all measures of retrieval share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from codelab.core.attributes import Groups
from codelab.core.codes import Codes
from codelab.retrieval.ranking import CosineRanking, Ranking, rank
from codelab.retrieval.summary import Averaging
from codelab.statistics.intervals import RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping


MOST_PAIRS = 1_000_000
"""Pairs of query and item up to which features are ranked again for the jackknife without being asked: seconds."""


class RankOptions(TypedDict, total=False):
    """The part of `Options` that defines the ranking: `exclude_self`, `groups`, `by`, `threads`."""

    exclude_self: bool | None
    groups: Groups | tuple[Groups, Groups]
    by: str
    threads: int | None


class Options(RankOptions, total=False):
    """Keyword arguments of every measure of retrieval; each has a default.

    Args:
        exclude_self: leave row i out of query i's ranking, as always without a `database`. Default: where the
            `database` is the queries again (the same bits, labels and ids, by features the same features too). False:
            such a `database` keeps it, and each query finds itself. The result's `left_out` says `self` where it is.
        groups: item column, or one value an item: the query's own group is left out of its ranking as well (near
            copies: skin tones of one emoji, frames of one video). A pair of arrays where the sets differ. Default:
            None.
        by: `codes` (default, Hamming), or `features` (cosine over `Codes.features`; set others with
            `dataclasses.replace`).
        threads: default: the cores this process may use.
        average: over queries (`query`, default), or the mean of the class means (`class`).
        bootstrap: None (default): the interval has the variance of the measure between subsets of the items, made of
            16 or 20 parts of whole groups, which are taken as queries and as database, because both are samples: a
            jackknife, or halves for k-NN (`codelab.retrieval.deletion.Design`), which has no interval where equal
            codes decide the votes. Features and k-NN are ranked again on each subset, which takes 10 to 20 times as
            long; histograms of codes take 3 times as long at 100,000 items. A number: the interval of so many
            resamples of the queries, conditional on the database: too narrow where the queries are the database. For
            features and more than a million pairs of query and item the default is 1,000 resamples; None asks for the
            subsets. Results name their interval.
        confidence: of the interval. Default: 0.95.
        seed: of the parts or the resampling. Default: 0.
    """

    average: str
    bootstrap: int | None
    confidence: float
    seed: int


def begin(
    measure: str, queries: Codes, database: Codes | None, options: Mapping[str, Any], kind: type = Options
) -> tuple[Ranking, Averaging]:
    """Check a measure's options, and turn them into a ranking and an average.

    Args:
        measure: the name of the measure, for messages.
        queries, database: the measure's arguments.
        options: its keyword arguments.
        kind: the options it takes, `Options` or `RankOptions`.

    Raises:
        TypeError: a keyword that is not in `kind`.
        UsageError: an option out of range.
        DataError: sets that do not fit each other, or without labels or features.
    """
    for name in options:
        if name not in kind.__annotations__:
            known = ", ".join(kind.__annotations__)
            raise TypeError(f"{measure}() got an unexpected keyword argument {name!r}: expected {known}")
    about = {name: value for name, value in options.items() if name in Averaging.__annotations__}
    ranking = rank(queries, database, **{name: value for name, value in options.items() if name not in about})
    if isinstance(ranking, CosineRanking) and len(ranking.queries) * len(ranking.database) > MOST_PAIRS:
        about = {"bootstrap": RESAMPLES, **about}
    return ranking, Averaging(**about)
