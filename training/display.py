"""Progress of a run on stderr: a bar with the health line on a terminal, lines in a pipe."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

_WIDE = 120  # columns that take a long bar beside a whole health line
_ETA = len("0:00:00")
_LINES = 20  # health lines a whole run prints into a pipe


class Display:
    """A context manager around the run.

    Args:
        done, total: steps.
        show: False for silence; warnings are still recorded in the metrics.
        console: where to write; stderr where None.
    """

    def __init__(self, done: int, total: int, *, show: bool, console: Console | None = None) -> None:
        self.show = show
        self.total = total
        self.console = Console(stderr=True) if console is None else console
        # on a narrow terminal the end of the health line is cut, and all else keeps its width
        columns = (
            TextColumn("epoch {task.fields[epoch]}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=20 if self.console.width >= _WIDE else 8),
            TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=_ETA)),
            TextColumn("{task.fields[line]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        )
        shown = show and self.console.is_terminal
        self.bar = Progress(*columns, console=self.console, disable=not shown, expand=True)
        self.task = self.bar.add_task("", total=total, completed=done, epoch="", line="")
        self._lines = done * _LINES // total

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.bar.stop()

    def update(self, step: int, epoch: str, line: str) -> None:
        """Show a new health line."""
        self.bar.update(self.task, completed=step, epoch=epoch, line=line)
        due = step * _LINES // self.total
        if self.show and not self.console.is_terminal and due > self._lines:
            self._lines = due
            self.console.print(f"epoch {epoch}  {line}", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a line that stays on the screen."""
        if self.show:
            self.console.print(text, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning that stays on the screen."""
        if self.show:
            self.console.print(f"warning: {text}", style="yellow", highlight=False, soft_wrap=True)
