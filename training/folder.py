"""The run folder: the lock that one process holds, and its logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from codelab.core import lock
from codelab.core.errors import DataError, UsageError
from codelab.core.io import atomic_path, naming
from codelab.core.result import plain


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and lock it; the system unlocks it when the process ends, however it ends.

    A folder that was made here and is still empty at the end is removed.

    Raises:
        UsageError: another process has locked it, or it is a file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "run")
        >>> with locked(folder):
        ...     folder.exists()
        True
        >>> folder.exists()
        False
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: a file, expected a folder for the run")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock.locked(folder / ".training.codelab-lock", f"{folder}: another process is training in this folder"):
            yield
    finally:
        if made:
            with suppress(OSError):  # not empty
                folder.rmdir()


class Log:
    """A file of JSON lines; rows past the step a run resumes from are dropped first, so none is doubled.

    Args:
        path: `metrics.jsonl` or `evaluation.jsonl` in the run folder.
        step: the step the run goes on from.
        board: a TensorBoard writer, or None.
    """

    def __init__(self, path: Path, step: int, board: Any = None) -> None:
        self.path, self.board = path, board
        rows = path.read_text().splitlines() if path.exists() else []
        with atomic_path(path) as part:
            part.write_text("".join(f"{row}\n" for i, row in enumerate(rows) if self._stays(i, row, rows, step)))

    def write(self, values: dict[str, Any]) -> None:
        with naming(self.path), self.path.open("a") as file:
            file.write(json.dumps(plain(values), allow_nan=False) + "\n")
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)) and name not in ("step", "best"):
                    self.board.add_scalar(f"{self.path.stem}/{name}", value, values["step"])
            self.board.flush()

    def _stays(self, i: int, row: str, rows: list[str], step: int) -> bool:
        try:
            return int(json.loads(row)["step"]) <= step
        except (ValueError, KeyError, TypeError):
            if i == len(rows) - 1:  # the line a kill cut short
                return False
            raise DataError(f"{self.path}: line {i + 1} is not a JSON object with a step") from None


def tensorboard(folder: Path, step: int) -> Any:
    """A writer into the run folder that hides the readings of an interrupted run past `step`.

    Raises:
        UsageError: the package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "config: tensorboard is true, and it is not installed: pip install 'codelab[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
