"""Claim: mAP@ALL is at least 150x as fast as the usual argsort script and 50x as scikit-learn, and exact under ties.

    python benchmarks/mean_average_precision.py             # N = 1e5, 1,000 queries, 1 and 2 threads
    python benchmarks/mean_average_precision.py --torchmetrics

The peers are timed on a few queries, for each query costs them the same.
"""

import argparse

import numpy as np
from measure import KINDS, line, load, make_codes, side_by_side
from sklearn.metrics import average_precision_score

from codelab import retrieval_map

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--n", type=int, nargs="+", default=[100_000])
parser.add_argument("--queries", type=int, default=1000)
parser.add_argument("--peer-queries", type=int, default=50)
parser.add_argument("--classes", type=int, default=100)
parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
parser.add_argument("--torchmetrics", action="store_true", help="time torchmetrics as well (needs it installed)")
options = parser.parse_args()


def argsort_script(queries, database):
    """The script of the hashing papers, as they have it: a float product, a sort a query, a running mean."""
    signs = database.to_bits() * 2.0 - 1
    values = []
    for code, label in zip(queries.to_bits() * 2.0 - 1, queries.labels, strict=True):
        relevant = (database.labels == label).astype(np.float32)
        distance = 0.5 * (database.bits - signs @ code)
        relevant = relevant[np.argsort(distance)]
        count = np.linspace(1, relevant.sum(), int(relevant.sum()))
        values.append(np.mean(count / (np.asarray(np.where(relevant == 1)) + 1.0)))
    return np.mean(values)


def scikit_learn(queries, database):
    signs = (database.to_bits() * 2 - 1).astype(np.float32)
    mine = (queries.to_bits() * 2 - 1).astype(np.float32)
    return np.mean(
        [
            average_precision_score(database.labels == lab, signs @ c)
            for c, lab in zip(mine, queries.labels, strict=True)
        ]
    )


def torchmetrics(queries, database):
    import torch
    from torchmetrics.retrieval import RetrievalMAP

    signs = torch.from_numpy((database.to_bits() * 2 - 1).astype(np.float32))
    mine = torch.from_numpy((queries.to_bits() * 2 - 1).astype(np.float32))
    scores = mine @ signs.T + queries.bits + 1  # its average precision is 0 for scores that are not positive
    target = torch.from_numpy(queries.labels)[:, None] == torch.from_numpy(database.labels)
    index = torch.arange(len(mine))[:, None].expand_as(scores)
    return RetrievalMAP()(scores.flatten(), target.flatten(), indexes=index.flatten())


def compare(kind: str, n: int) -> None:
    both = make_codes(kind, n + options.queries, classes=options.classes)
    database, queries = both[:n], both[n:]
    few = queries[: options.peer_queries]
    works = {f"ours {t}": lambda t=t: retrieval_map(queries, database, threads=t) for t in options.threads}
    works |= {"argsort": lambda: argsort_script(few, database), "sklearn": lambda: scikit_learn(few, database)}
    if options.torchmetrics:
        works["torchmetrics"] = lambda: torchmetrics(few, database)
    times = side_by_side(works, times=2)
    scale = options.queries / len(few)
    for threads in options.threads:
        what = f"mAP@ALL, {kind}, N = {n:,}, {options.queries:,} queries, {threads} threads"
        for name, peer, goal in (
            ("argsort", "argsort script", 150.0),
            ("sklearn", "scikit-learn", 50.0),
            ("torchmetrics", "torchmetrics", None),
        ):
            if name in times:
                line(what, times[f"ours {threads}"], peer, times[name], scale=scale, goal=goal)
    exact = retrieval_map(few, database)
    low, high = (retrieval_map(few, database, ties=t).value for t in ("pessimistic", "optimistic"))
    print(
        f"  values on {len(few)} queries: expected {exact.value:.4f}, ties worst to best {low:.4f} to {high:.4f}, "
        f"argsort {argsort_script(few, database):.4f}, scikit-learn {scikit_learn(few, database):.4f}"
    )


print(load())
for kind in options.kinds:
    for n in options.n:
        compare(kind, n)
