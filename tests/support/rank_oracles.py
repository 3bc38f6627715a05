"""Slow and plain answers to hold the fast ones against: distances bit by bit, and every order of ties in fractions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from codelab.core.codes import Codes

AWAY = 1 << 20
"""Distance of an item that is left out."""


def hamming(queries: np.ndarray, database: np.ndarray) -> np.ndarray:
    """Differing bits of every pair of rows of two bool arrays."""
    mine, theirs = queries.astype(np.int64), database.astype(np.int64)
    return mine @ (1 - theirs).T + (1 - mine) @ theirs.T


def ordered(distances: np.ndarray, k: int | None = None) -> np.ndarray:
    """Rows in order of (distance, row)."""
    return np.argsort(distances, axis=-1, kind="stable")[..., :k]


def orders(distances: np.ndarray, grades: np.ndarray) -> Iterator[tuple[int, ...]]:
    """The grades of the items in every ranking their distances allow; equally likely, if ties fall by chance."""
    groups = [grades[distances == d].tolist() for d in np.unique(distances)]
    for ranking in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield sum(ranking, ())


def average_precision(ranking: tuple[int, ...], k: int, normalise: str) -> Fraction:
    """Average precision of one ranking of 0s and 1s, by its definition."""
    places, found, total = ranking[:k], 0, Fraction(0)
    for place, relevant in enumerate(places, start=1):
        if relevant:
            found += 1
            total += Fraction(found, place)
    divisor = {"relevant": sum(ranking), "min_k": min(sum(ranking), k), "found": found}[normalise]
    return total / divisor if divisor else Fraction(0)


def tied_average_precision(distances: np.ndarray, relevant: np.ndarray, k: int, ties: str, normalise: str) -> Fraction:
    """Average precision over all orders of ties, or with the relevant items first or last in every tie.

    First or last is an order, not a bound: divided by what is found, an order with more relevant items in the first k
    places has a larger divisor, and its value may be the lower one.
    """
    rankings = list(orders(distances, relevant.astype(int)))
    if ties == "expected":
        return sum((average_precision(r, k, normalise) for r in rankings), Fraction(0)) / len(rankings)
    first = max(rankings) if ties == "optimistic" else min(rankings)  # as text: the most relevant items at the front
    return average_precision(first, k, normalise)


def relevance(queries: Codes, database: Codes) -> np.ndarray:
    """Number of labels each pair shares."""
    if queries.multilabel:
        return queries.labels.astype(int) @ database.labels.T.astype(int)
    return ((queries.labels[:, None] == database.labels) & (queries.labels[:, None] >= 0)).astype(int)


def noisy_codes(n: int, bits: int, classes: int, *, flip: float = 0.25, seed: int = 0, **rest: object) -> Codes:
    """A random code a class with some bits flipped: labels that codes tell apart, not perfectly."""
    generator = np.random.default_rng(seed)
    centres = generator.random((classes, bits)) < 0.5
    labels = generator.integers(0, classes, n)
    return Codes.from_bits(centres[labels] ^ (generator.random((n, bits)) < flip), labels, **rest)
