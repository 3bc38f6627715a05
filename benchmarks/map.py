"""Claim: a map of 1e5 codes and its control of shuffled bits take less than 2 minutes and 2 GB on 2 cores.

    python benchmarks/map.py [--codes 100000] [--peer 10000] [--kind clustered]

Prints time, memory, and the recall of the neighbour graph, exact and by pynndescent. The peer, umap-learn on the same
bits with its own metrics, is timed on fewer codes (its `hamming` takes all bits as floats), and codelab beside it.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import KINDS, Timing, load, make_codes

from codelab import project
from codelab.neighbours.graph import neighbour_graph
from codelab.neighbours.layout import EPOCHS


def timed(work: Callable[[], Any]) -> tuple[Any, Timing]:
    clock, used = time.perf_counter(), time.process_time()
    result = work()
    return result, Timing(time.perf_counter() - clock, time.process_time() - used)


def peak() -> float:
    """The most memory this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def in_words(found: Timing) -> str:
    return f"{found.wall:.1f} s ({found.cpu:.1f} of CPU)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--codes", type=int, default=100_000)
    parser.add_argument("--peer", type=int, default=10_000)
    parser.add_argument("--kind", choices=KINDS, default="clustered")
    parser.add_argument("--classes", type=int, default=100)
    options = parser.parse_args()
    print(load(), flush=True)
    project(make_codes("clustered", 2000), cache=False)  # compiles
    before = peak()
    codes = make_codes(options.kind, options.codes, classes=options.classes)
    found, took = timed(lambda: project(codes, cache=False))
    print(
        f"{len(codes):,} {options.kind} codes, map and control: {in_words(took)}, peak {peak():.2f} GB "
        f"({before:.2f} before); goal 120 s and 2 GB\n  {found.headline()}",
        flush=True,
    )
    for exact in (True, False):
        graph, took = timed(lambda exact=exact: neighbour_graph(codes, 15, exact=exact))
        name = "exact" if exact else "pynndescent"
        print(f"  neighbour graph, {name}: {in_words(took)}, recall {graph.recall:.3f}", flush=True)

    from umap import UMAP

    few = make_codes(options.kind, options.peer, classes=options.classes)
    epochs = next(epochs for most, epochs in EPOCHS if len(few) <= most)
    _, ours = timed(lambda: project(few, cache=False))
    given = {"hamming": few.to_bits().astype(np.float32), "bit_hamming": np.array(few.packed)}
    for metric, data in given.items():
        model = UMAP(n_neighbors=16, metric=metric, n_epochs=epochs, random_state=0, n_jobs=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, theirs = timed(lambda model=model, data=data: model.fit_transform(data))
        print(
            f"{len(few):,} codes: codelab's two maps {in_words(ours)}; one of umap-learn's, metric={metric!r}, "
            f"{in_words(theirs)}, so two take {2 * theirs.wall / ours.wall:.1f}x as long on the clock, "
            f"{2 * theirs.cpu / ours.cpu:.1f}x by CPU time",
            flush=True,
        )


if __name__ == "__main__":
    main()
