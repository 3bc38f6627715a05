"""Threads that share the work of compiled loops, which release Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from codelab.core.checks import check_whole


def thread_count(threads: int | None) -> int:
    """The number of threads to use: `threads`, or the cores this process may use."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return check_whole("threads", threads, 1)


def one_blas_thread() -> AbstractContextManager[Any]:
    """Within it products of matrices use one thread each, where several threads of ours compute them side by side.

    Example:
        >>> with one_blas_thread():
        ...     run(abs, [-1, 2], 2)
        [1, 2]
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


def run(work: Callable[[Any], Any], parts: Iterable[Any], threads: int | None) -> list[Any]:
    """The results of `work` on each part, in order, from up to `threads` threads.

    Example:
        >>> run(len, ["a", "bc"], 2)
        [1, 2]
    """
    parts = list(parts)
    workers = min(thread_count(threads), len(parts))
    if workers <= 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, parts))
