"""Arrays that take long to compute, kept on disk under a hash of what they were computed from."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codelab.core.errors import DataError, first_line
from codelab.core.io import atomic_path
from codelab.core.numpy_files import read_npz


def cache_folder() -> Path:
    """Where derived files live: `CODELAB_CACHE`, or `codelab` under the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CODELAB_CACHE") or Path(base) / "codelab")


def cached_arrays(
    kind: str, key: Mapping[str, Any], names: tuple[str, ...], make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What `make` returns, or what it returned for the same key before.

    A file that is damaged is made anew; where the folder cannot be written to, a warning says so and nothing is kept.

    Args:
        kind: the subfolder.
        key: everything the arrays depend on, as values of JSON.
        names: of the arrays.
        make: computes them; plain numbers alone.

    Example:
        >>> import tempfile
        >>> os.environ["CODELAB_CACHE"] = tempfile.mkdtemp()
        >>> for seed in (0, 0, 1):
        ...     found = cached_arrays("example", {"seed": seed}, ("a",), lambda: print("made") or {"a": np.ones(2)})
        made
        made
        >>> del os.environ["CODELAB_CACHE"]
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    path = cache_folder() / kind / f"{digest}.npz"
    if path.is_file():
        try:
            found, _ = read_npz(path, names)
            if set(found) == set(names):
                return found
        except DataError:
            pass
    made = dict(make())
    try:
        with atomic_path(path) as part, part.open("wb") as file:
            np.savez(file, **made)  # type: ignore[arg-type]
    except OSError as error:
        warnings.warn(f"{path}: not kept for the next call ({error.strerror or first_line(error)})", stacklevel=2)
    return made
