"""Claim: mAP@ALL is at least 150x as fast as the usual argsort script and 50x as scikit-learn, and exact under ties.

    python benchmarks/mean_average_precision.py             # N = 1e5, 1,000 queries, 1 and 2 threads
    python benchmarks/mean_average_precision.py --torchmetrics

The peers are timed on a few queries, because their time is proportional to the number of queries.
"""

import argparse

import numpy as np
from measure import KINDS, line, load, make_codes, side_by_side
from sklearn.metrics import average_precision_score

from codelab import retrieval_map

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
parser.add_argument("--n", type=int, nargs="+", default=[100_000])
parser.add_argument("--queries", type=int, default=1000)
parser.add_argument("--peer-queries", type=int, default=50)
parser.add_argument("--classes", type=int, default=100)
parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
parser.add_argument("--torchmetrics", action="store_true", help="time torchmetrics as well (needs it installed)")
options = parser.parse_args()


def argsort_script(queries, labels, database, database_labels):
    """The script of the hashing papers: a float product and a sort for each query, codes as -1 and 1."""
    values = []
    for code, label in zip(queries, labels, strict=True):
        relevant = (database_labels == label).astype(np.float32)
        distance = 0.5 * (database.shape[1] - database @ code)
        relevant = relevant[np.argsort(distance)]
        count = np.linspace(1, relevant.sum(), int(relevant.sum()))
        values.append(np.mean(count / (np.asarray(np.where(relevant == 1)) + 1.0)))
    return np.mean(values)


def scikit_learn(queries, labels, database, database_labels):
    values = []
    for code, label in zip(queries, labels, strict=True):
        values.append(average_precision_score(database_labels == label, database @ code))
    return np.mean(values)


def torchmetrics(queries, labels, database, database_labels):
    import torch
    from torchmetrics.retrieval import RetrievalMAP

    scores = torch.from_numpy(queries) @ torch.from_numpy(database).T
    scores += queries.shape[1] + 1  # its average precision is 0 for scores that are not positive
    target = torch.from_numpy(labels)[:, None] == torch.from_numpy(database_labels)
    index = torch.arange(len(queries))[:, None].expand_as(scores)
    return float(RetrievalMAP()(scores.flatten(), target.flatten(), indexes=index.flatten()))


def signs(codes):
    """The peers' input, made before the clock starts."""
    return (codes.to_bits() * 2 - 1).astype(np.float32)


def compare(kind: str, n: int) -> None:
    both = make_codes(kind, n + options.queries, classes=options.classes)
    database, queries = both[:n], both[n:]
    few = queries[: options.peer_queries]
    peer_input = signs(few), few.labels, signs(database), database.labels
    peers = {"argsort script": argsort_script, "scikit-learn": scikit_learn}
    if options.torchmetrics:
        peers["torchmetrics"] = torchmetrics
    works = {
        f"ours {t}": lambda t=t: retrieval_map(queries, database, threads=t, bootstrap=1000) for t in options.threads
    }
    works |= {name: lambda f=peer: f(*peer_input) for name, peer in peers.items()}
    times = side_by_side(works, times=2)
    scale = options.queries / len(few)
    goals = {"argsort script": 150.0, "scikit-learn": 50.0}
    for threads in options.threads:
        what = f"mAP@ALL, {kind}, N = {n:,}, {options.queries:,} queries, {threads} threads"
        for name in peers:
            line(what, times[f"ours {threads}"], name, times[name], scale=scale, goal=goals.get(name))
    exact = retrieval_map(few, database)
    low, high = (retrieval_map(few, database, ties=t).value for t in ("pessimistic", "optimistic"))
    print(
        f"  values on {len(few)} queries: expected {exact.value:.4f}, ties worst to best {low:.4f} to {high:.4f}; "
        + ", ".join(f"{name} {peer(*peer_input):.4f}" for name, peer in peers.items())
    )


print(load())
for kind in options.kinds:
    for n in options.n:
        compare(kind, n)
