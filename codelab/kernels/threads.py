"""Threads that share the work of compiled loops, and the loops' modules, imported when first needed."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from codelab.core.checks import check_whole

# -- threads and compilation --------------------------------------------------------------------------------------


def thread_count(threads: int | None) -> int:
    """How many threads to use: those asked for, or the cores this process may use."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return check_whole("threads", threads, 1)


def run(work: Callable[[Any], Any], parts: Iterable[Any], threads: int | None) -> list[Any]:
    """`work` on each part, in order, on up to `threads` threads."""
    parts = list(parts)
    workers = min(thread_count(threads), len(parts))
    if workers <= 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, parts))


@functools.cache
def compiled(module: str) -> Any:
    """A module of compiled loops, imported when first needed (numba alone takes half a second to import).

    Where numba finds no folder it may write its results to, they go to a private temporary one, until this process
    ends.
    """
    with _ONE_IMPORT:
        return _imported(module)


_ONE_IMPORT = threading.Lock()
"""Two threads that import numba at the same time wait for each other for ever (llvmlite's lock and the importer's)."""


def _imported(module: str) -> Any:
    _announce_compilation()
    try:
        return import_module(f"codelab.kernels.{module}")
    except RuntimeError as problem:
        if "no locator available" not in str(problem):
            raise
        from numba.core import config

        folder = tempfile.mkdtemp(prefix="codelab-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        config.CACHE_DIR = folder  # type: ignore[attr-defined]
        return import_module(f"codelab.kernels.{module}")


@functools.cache
def _announce_compilation() -> None:
    """Say so, once, when loops are compiled and not just loaded from disk: a silent pause looks like a fault."""
    from numba.core import event

    class Announce(event.Listener):
        said = False

        def on_start(self, event: Any) -> None:
            ours = event.data["dispatcher"].py_func.__module__.startswith("codelab.")
            if ours and not Announce.said:
                Announce.said = True
                print("codelab: compiling its kernels for this machine, once (some seconds)", file=sys.stderr)

        def on_end(self, event: Any) -> None:
            """Nothing to say."""

    event.register("numba:compile", Announce())
