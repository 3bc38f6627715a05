"""Naive Bayes on bits, judged by its log-loss on images that it was not fitted on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MOST = 4.0
"""Largest weight of the evidence: on bits that separate the classes there is no best one."""

BLOCK = 1 << 16
"""Numbers of images x classes at a time: 256 KB."""

STEPS = 8
"""Newton's steps; the loss is convex in the weight, and fewer are needed."""


def loss_saved(bits: np.ndarray, labels: np.ndarray, part: np.ndarray, ones: np.ndarray, class_n: np.ndarray) -> float:
    """Share of the prior's log-loss on held-out images that naive Bayes saves: 1 - loss / loss of the prior.

    With n_c fitted images in class c, of C classes, and n_cb of them with bit b,

        log P(c | z) = log q_c + w sum over b of [z_b log p_cb + (1 - z_b) log(1 - p_cb)] + constant,
        p_cb = (n_cb + 1/2) / (n_c + 1),    q_c = (n_c + 1/2) / (n + C/2),

    and the prior's guess is q. The weight w (an inverse temperature: bits that go together are one observation) is
    chosen on one part of the held-out images for the other, and the other way round.

    Args:
        bits: float32 `[M, B]` of the held-out images.
        labels: `[M]`, 0 to C - 1, -1 = none.
        part: bool `[M]`, the held-out images of the first part.
        ones: n_cb, `[C, B]`.
        class_n: n_c, `[C]`.

    Returns:
        1 if all is read, 0 where nothing is, below 0 where the guess is worse than the prior's.

    Source: Guo et al. 2017 (temperature scaling); Platt 1999.

    Example:
        >>> labels = np.arange(40) % 2
        >>> bits = np.stack([labels, np.arange(40) % 3 == 0], axis=1).astype(np.float32)
        >>> ones = np.stack([bits[labels == c].sum(axis=0) for c in (0, 1)])
        >>> round(loss_saved(bits, labels, np.arange(40) < 20, ones, np.array([20, 20])), 2)
        1.0
    """
    known = labels >= 0
    if not known.all():
        bits, labels, part = bits[known], labels[known], part[known]
    if part.all() or not part.any():
        return 0.0
    prior = np.log((class_n + 0.5) / (class_n.sum() + len(class_n) / 2)).astype(np.float32)
    odds, off = _log_odds(ones, class_n)
    evidence = bits @ odds.T.astype(np.float32)
    evidence += off.sum(axis=1).astype(np.float32)
    evidence -= evidence.max(axis=1, keepdims=True)
    loss = 0.0
    for scored in (part, ~part):
        weight = _weight(evidence[~scored], labels[~scored], prior)
        loss += _loss(evidence[scored], labels[scored], prior, weight)
    return 1 - loss / -float(prior[labels].sum(dtype=np.float64))


def _log_odds(ones: np.ndarray, class_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log p_cb / (1 - p_cb) and log(1 - p_cb), `[C, B]` each: of many small classes each pair of counts once."""
    most = int(class_n.max(initial=0)) + 1
    if 2 * most**2 > ones.size:
        p = (ones + 0.5) / (class_n[:, None] + 1)
        return np.log(p / (1 - p)), np.log(1 - p)
    n, k = np.arange(most), np.minimum(np.arange(most), np.arange(most)[:, None])  # no class has more ones than images
    place = class_n[:, None] * most + ones.astype(np.int64)
    odds, off = _log_odds(k, n)
    return odds.ravel()[place], off.ravel()[place]


def _blocks(evidence: np.ndarray) -> Iterator[slice]:
    """Rows in blocks that stay in the cache."""
    step = max(1, BLOCK // evidence.shape[1])
    for start in range(0, len(evidence), step):
        yield slice(start, start + step)


def _loss(evidence: np.ndarray, labels: np.ndarray, prior: np.ndarray, weight: float) -> float:
    if weight == 0:
        return -float(prior[labels].sum(dtype=np.float64))
    right = prior[labels] + np.float32(weight) * evidence[np.arange(len(labels)), labels]
    loss = -right.sum(dtype=np.float64)
    for rows in _blocks(evidence):
        loss += np.log(_shares(evidence[rows], prior, weight).sum(axis=1)).sum(dtype=np.float64)
    return float(loss)


def _shares(evidence: np.ndarray, prior: np.ndarray, weight: float) -> np.ndarray:
    """exp(prior + weight evidence), which can neither overflow nor all be 0: the largest evidence of a row is 0."""
    logits = np.float32(weight) * evidence
    logits += prior
    return np.exp(logits, out=logits)


def _weight(evidence: np.ndarray, labels: np.ndarray, prior: np.ndarray) -> float:
    """The weight from 0 to `MOST` with the least loss, by Newton's steps from 0."""
    right = evidence[np.arange(len(labels)), labels].sum(dtype=np.float64)
    weight = 0.0
    for _ in range(STEPS):
        total = curvature = 0.0
        for rows in _blocks(evidence):
            part = evidence[rows]
            shares = _shares(part, prior, weight)
            whole = shares.sum(axis=1)
            shares *= part
            mean = shares.sum(axis=1) / whole
            shares *= part
            square = shares.sum(axis=1) / whole
            total += mean.sum(dtype=np.float64)
            curvature += (square.astype(np.float64) - mean.astype(np.float64) ** 2).sum()
        if curvature <= 0:
            break
        step = np.clip(weight + (right - total) / curvature, 0.0, MOST) - weight
        weight += float(step)
        if abs(step) < 0.01:
            break
    return weight
