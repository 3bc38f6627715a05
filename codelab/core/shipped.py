"""Files shipped beside the code: the explorer's script and the training recipes."""

from __future__ import annotations

from pathlib import Path


def shipped(name: str) -> Path:
    """The path of a file that is shipped with the code and is no module, in a clone or an installed wheel.

    Args:
        name: its path in the clone, such as `app/main.py`.

    Example:
        >>> shipped("configs/demo.yaml").is_file()
        True
    """
    package = Path(__file__).parents[1]
    installed = package / "_share"  # where the wheel puts app/ and configs/, see pyproject.toml
    return (installed if installed.is_dir() else package.parent) / name


def recipe(name: str | Path) -> Path:
    """The file of a training recipe: `name` itself where there is such a file, else the shipped recipe of that name.

    Args:
        name: a path, or `demo` or `configs/demo.yaml` for the shipped `configs/demo.yaml`. A name that fits nothing
            comes back unchanged, so that the error names what was typed.

    Example:
        >>> recipe("demo") == shipped("configs/demo.yaml")
        True
        >>> recipe("nothing.yaml").as_posix()
        'nothing.yaml'
    """
    path = Path(name)
    if path.is_file() or path.is_absolute() or path.parent not in (Path(), Path("configs")):
        return path
    found = shipped(f"configs/{path.stem}.yaml")
    return found if path.suffix in ("", ".yaml") and found.is_file() else path
