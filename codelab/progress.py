"""Progress bars for long work, on stderr so that stdout stays clean for results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(work: Iterable[T], label: str, total: int | None = None, *, show: bool = True) -> Iterator[T]:
    """Yield from `work` under a bar with the count, the rate of finishing and the time left.

    A pipe or a log file gets no bar, only silence: bars are for eyes.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (show and console.is_terminal)) as progress:
        yield from progress.track(work, total=total, description=label)
