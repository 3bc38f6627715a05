"""The modules of compiled loops, each imported when its first loop is needed: numba alone takes half a second.

Call a loop as `loops.scan.distances(...)`.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import sys
import tempfile
import threading
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["columns", "hypergeometric", "scan", "sort", "ties"]

if TYPE_CHECKING:
    from codelab.kernels import _columns as columns
    from codelab.kernels import _hypergeometric as hypergeometric
    from codelab.kernels import _scan as scan
    from codelab.kernels import _sort as sort
    from codelab.kernels import _ties as ties
else:

    def __getattr__(name: str) -> ModuleType:
        """Called where this module does not have the name yet, so a loop that has run once costs nothing more."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with _ONE_IMPORT:
            module = globals()[name] = _imported(f"codelab.kernels._{name}")
        return module


_ONE_IMPORT = threading.Lock()
"""Two threads that import numba at the same time can deadlock: one holds llvmlite's lock, one the importer's."""


def _imported(module: str) -> ModuleType:
    """The module; where numba may write to no folder, its cache is a temporary one until this process ends."""
    _announce_compilation()
    try:
        return import_module(module)
    except RuntimeError as problem:
        if "no locator available" not in str(problem):
            raise
        from numba.core import config

        folder = tempfile.mkdtemp(prefix="codelab-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        config.CACHE_DIR = folder  # type: ignore[attr-defined]
        return import_module(module)


@functools.cache
def _announce_compilation() -> None:
    """Print one line when loops are compiled, which takes seconds, and none when they are loaded from disk."""
    from numba.core import event

    class Announce(event.Listener):
        done = False

        def on_start(self, event: Any) -> None:
            ours = event.data["dispatcher"].py_func.__module__.startswith("codelab.")
            if ours and not Announce.done:
                Announce.done = True
                print("codelab: compiling its kernels for this machine, once (some seconds)", file=sys.stderr)

        def on_end(self, event: Any) -> None:
            """Required by numba; nothing to print."""

    event.register("numba:compile", Announce())
