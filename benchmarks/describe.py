"""Claim: `describe` scores 10,000 formulas a second at N = 1e6 and 256 bits on 2 cores.

    OMP_NUM_THREADS=1 python benchmarks/describe.py

The peers are the same beam search in NumPy: one scores each candidate by a packed bit column (`bitwise_count`), one by
a column of bools. The first runs whole, and its formulas must be the same; the second is timed on a few candidates.
"""

import argparse

import numpy as np
from measure import load, make_codes, side_by_side

from codelab import describe
from codelab.semantics.formulas import Formula, Literal, _search

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
parser.add_argument("--n", type=int, default=1_000_000)
parser.add_argument("--bits", type=int, default=256)
parser.add_argument("--literals", type=int, default=4)
parser.add_argument("--beam", type=int, default=10)
parser.add_argument("--times", type=int, default=2)
parser.add_argument("--candidates", type=int, default=100, help="of the search by columns of bools")
options = parser.parse_args()

GOAL = 10_000


def numpy_search(columns: np.ndarray, wanted: np.ndarray) -> tuple[list[tuple[Formula, float]], int]:
    """The beam search of `describe` on packed columns `[2 B, N / 64]`, bits and then complements."""
    bits = len(columns) // 2
    n_wanted = np.bitwise_count(wanted).sum()

    def iou(picked: np.ndarray) -> float:
        both, every = np.bitwise_count(picked & wanted).sum(), np.bitwise_count(picked).sum()
        return float(both / max(every + n_wanted - both, 1))

    nothing = np.zeros_like(wanted)
    heads: list[tuple[Formula, np.ndarray, np.ndarray]] = [(Formula(()), nothing, nothing)]  # closed terms, last term
    best, tried = [], 0
    for _ in range(options.literals):
        scores, made = [], []
        for head, closed, last in heads:
            for new in range(2):
                for place, column in enumerate(columns):
                    if not new and not head.terms:
                        scores.append(-np.inf)
                    else:
                        scores.append(iou(closed | last | column if new else closed | last & column))
                        tried += 1
                    made.append((head, closed, last, new, place))
        flat = np.array(scores)
        if best and flat.max() <= best[-1][1] + 1e-12:
            break
        heads, seen = [], set()
        for at in np.argsort(-flat, kind="stable")[: 20 * options.beam].tolist():
            if np.isfinite(flat[at]) and flat[at] not in seen and len(heads) < options.beam:
                seen.add(flat[at])
                head, closed, last, new, place = made[at]
                literal = Literal(place % bits, place >= bits)
                if new:
                    heads.append((Formula((*head.terms, (literal,))), closed | last, columns[place]))
                else:
                    grown = Formula((*head.terms[:-1], (*head.terms[-1], literal)))
                    heads.append((grown, closed, last & columns[place]))
        best.append((heads[0][0], float(flat.max())))
    return best, tried


def packed_columns(codes, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bits and complements as uint64 `[2 B, N / 64]`, and the selection, made before the clock starts."""
    n = len(chosen) // 64 * 64
    rows = np.ascontiguousarray(np.packbits(codes.to_bits()[:n].T, axis=1)).view(np.uint64)
    return np.concatenate([rows, ~rows]), np.packbits(chosen[:n]).view(np.uint64)


def by_bools(bits: np.ndarray, chosen: np.ndarray) -> None:
    """`candidates` formulas of two literals, one column of bools each."""
    last = bits[0]
    for b in range(options.candidates):
        picked = last & bits[b % len(bits)]
        (picked & chosen).sum() / (picked | chosen).sum()


print(load())
n = options.n // 64 * 64  # the packed columns of the peer have no remainder
codes = make_codes("clustered", n, bits=options.bits, classes=100)
chosen = codes.labels < 5
columns, wanted = packed_columns(codes, chosen)
some = np.ascontiguousarray(codes.to_bits()[:, :64].T)
works = {
    "codelab": lambda: _search(codes, chosen, options.literals, options.beam),
    "packed": lambda: numpy_search(columns, wanted),
    "bools": lambda: by_bools(some, chosen),
}
(ours, tried), (theirs, tried_there) = works["codelab"](), works["packed"]()
same = [(str(f), round(iou, 9)) for f, iou in ours] == [(str(f), round(iou, 9)) for f, iou in theirs]
times = side_by_side(works, times=options.times)
print(f"beam search of at most {options.literals} literals, beam {options.beam}, N = {n:,}, {options.bits} bits:")
rates = {
    "codelab": (tried / times["codelab"].wall, tried / times["codelab"].cpu),
    "NumPy, packed columns": (tried_there / times["packed"].wall, tried_there / times["packed"].cpu),
    "NumPy, columns of bools": tuple(options.candidates / t for t in (times["bools"].wall, times["bools"].cpu)),
}
for name, (wall, cpu) in rates.items():
    ratio = f"{rates['codelab'][0] / wall:.1f}x on the clock, {rates['codelab'][1] / cpu:.1f}x by CPU time"
    goal = f"goal {GOAL:,}" if name == "codelab" else f"codelab {ratio}"
    print(f"  {name}: {wall:,.0f} candidates a second ({cpu:,.0f} a second of CPU); {goal}")
print(f"  {tried:,} and {tried_there:,} candidates, the same formulas: {same}; the best: {ours[-1][0]}")
found = describe(codes, chosen, literals=options.literals, beam=options.beam, permutations=1)
print(f"  {found}")
