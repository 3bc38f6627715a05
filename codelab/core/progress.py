"""Progress bars on stderr; stdout is kept for results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def counter(label: str, total: int, *, show: bool = True) -> Iterator[Callable[..., None]]:
    """A bar with the count and the time left; call the function it yields with the number of items just done, and
    where that changes with what comes next, in words.

    Nothing is drawn where stderr is not a terminal.

    Example:
        >>> with counter("reading", 10) as advance:
        ...     advance(10)
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (show and console.is_terminal)) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done, coming=None: progress.update(task, advance=done, description=coming, refresh=bool(coming))


def track(work: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Yield from `work`, with a bar that counts what was yielded."""
    with counter(label, total) as advance:
        for thing in work:
            yield thing
            advance(1)
