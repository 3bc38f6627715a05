"""What a path from a stranger may name: something inside a folder that the user has named, and nothing else."""

from __future__ import annotations

from pathlib import Path


def inside(path: str | Path, root: str | Path) -> Path | None:
    """What a path names, with its links resolved, where that lies in the folder `root`; else None.

    A relative path starts at `root`. None tells nothing of the file system outside it: the answer is the same whether
    there is such a file or not. `~`, network shares and URLs are names of nothing.

    Example:
        >>> inside("../../etc/passwd", "."), inside("~root", "."), inside("//host/share", ".")
        (None, None, None)
        >>> inside(__file__, Path(__file__).parent).name
        'inside.py'
    """
    text = str(path)
    if not text or text.startswith(("~", "//", "\\")) or "://" in text:
        return None
    try:
        folder = Path(root).resolve(strict=True)
        found = Path(folder, text).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # not there, a NUL character, a circle of links
        return None
    return found if found.is_relative_to(folder) else None
