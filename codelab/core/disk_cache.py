"""Results kept on disk under a hash of what they were made from, so that a second start measures nothing again.

An entry is an `.npz` file: the arrays, and one JSON text with all else. Reading it builds dataclasses of codelab and
runs nothing (no pickle). An entry that cannot be read, or that other code wrote, is made anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from codelab import __version__
from codelab.core.io import atomic_path

MOST = 2 << 30
"""Bytes that all entries take, at most: the oldest go first."""

T = TypeVar("T")


class _CannotKeepError(Exception):
    """A value of a kind that is not kept."""


def cache_folder() -> Path:
    """Where derived files live: `CODELAB_CACHE`, or `codelab` under the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CODELAB_CACHE") or Path(base) / "codelab")


def on_disk(made_from: Mapping[str, Any], make: Callable[[], T]) -> T:
    """What `make` gives, made once for each value of `made_from` and state of codelab's own files.

    A value that holds anything but numbers, text, arrays, lists, tuples, dictionaries and dataclasses of codelab is
    not kept, nor is any where the cache folder cannot be written: it is then made at each call.

    Args:
        made_from: all that the value depends on, as JSON takes it; content hashes in place of data.
        make: called where nothing is kept.

    Example:
        >>> import tempfile
        >>> os.environ["CODELAB_CACHE"] = tempfile.mkdtemp()
        >>> [on_disk({"of": "three"}, lambda: print("made") or np.arange(3)).tolist() for _ in range(2)]
        made
        [[0, 1, 2], [0, 1, 2]]
        >>> del os.environ["CODELAB_CACHE"]
    """
    path = _path(made_from)
    # a damaged entry can fail anywhere: in the archive, in its JSON, in a class that has other fields now
    with suppress(Exception):
        return _read(path)
    value = make()
    with suppress(OSError, _CannotKeepError):
        _write(path, value)
        _drop_oldest(path.parent)
    return value


def is_on_disk(made_from: Mapping[str, Any]) -> bool:
    """Whether there is an entry for it."""
    return _path(made_from).exists()


@cache
def _code() -> str:
    """Changes with any file of the package: in a clone the version stays the same while the code changes."""
    package = Path(__file__).parents[1]
    files = [(str(path.relative_to(package)), path.stat()) for path in sorted(package.rglob("*.py"))]
    stamps = [(name, status.st_size, status.st_mtime_ns) for name, status in files]
    return hashlib.sha256(repr((__version__, stamps)).encode()).hexdigest()


def _path(made_from: Mapping[str, Any]) -> Path:
    named = json.dumps({**made_from, "code": _code()}, sort_keys=True)
    return cache_folder() / "results" / f"{hashlib.sha256(named.encode()).hexdigest()[:40]}.npz"


def _read(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as kept:
        return _unpacked(json.loads(str(kept["value"])), kept)


def _write(path: Path, value: Any) -> None:
    arrays: list[np.ndarray] = []
    text = json.dumps(_packed(value, arrays))
    with atomic_path(path) as part, part.open("wb") as file:
        named: Any = {f"a{i}": array for i, array in enumerate(arrays)}
        np.savez(file, value=np.array(text), **named)


def _packed(value: Any, arrays: list[np.ndarray]) -> Any:
    """The value as JSON; arrays go to the list and leave their number."""
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise _CannotKeepError
        arrays.append(array)
        return {"array": len(arrays) - 1, "scalar": isinstance(value, np.generic)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [_packed(v, arrays) for v in value]
    if type(value) is tuple:
        return {"tuple": [_packed(v, arrays) for v in value]}
    if type(value) is dict:
        return {"dict": [[_packed(k, arrays), _packed(v, arrays)] for k, v in value.items()]}
    kind = type(value)
    if not (dataclasses.is_dataclass(value) and kind.__module__.startswith("codelab.")):
        raise _CannotKeepError
    fields = {f.name: _packed(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
    return {"class": [kind.__module__, kind.__name__], "fields": fields}


def _unpacked(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpacked(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        array = arrays[f"a{value['array']}"]
        array.flags.writeable = False  # all readers share it
        return array[()] if value["scalar"] else array
    if "tuple" in value:
        return tuple(_unpacked(v, arrays) for v in value["tuple"])
    if "dict" in value:
        return {_unpacked(k, arrays): _unpacked(v, arrays) for k, v in value["dict"]}
    module, name = value["class"]
    kind = getattr(import_module(module), name) if module.startswith("codelab.") else None
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise ValueError(f"{module}.{name}: no dataclass of codelab")
    if {f.name for f in dataclasses.fields(kind)} != set(value["fields"]):
        raise ValueError(f"{module}.{name}: other fields")
    made = object.__new__(kind)
    for field, inner in value["fields"].items():
        object.__setattr__(made, field, _unpacked(inner, arrays))
    return made


def _drop_oldest(folder: Path) -> None:
    entries = sorted(((s.st_mtime, s.st_size, p) for p in folder.glob("*.npz") if (s := p.stat())), reverse=True)
    taken = 0
    for _, size, path in entries:
        taken += size
        if taken > MOST:
            path.unlink(missing_ok=True)
