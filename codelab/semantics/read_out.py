"""A linear read-out of bits: logistic regression, solved in coordinates in which few passes are enough."""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.core.errors import DataError

PASSES = 2000
"""Passes of L-BFGS after which a read-out has not converged."""

TOLERANCE = 1e-5
"""Largest slope of the mean loss, in the solver's coordinates, at which it has converged."""


@dataclasses.dataclass(frozen=True, eq=False)
class ReadOut:
    """Weights `[k + 1, C]` of labels `classes` `[C]`, the last row the intercept; of two labels the first has 0."""

    classes: np.ndarray
    weights: np.ndarray

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Of inputs `[n, k]`, `[n, C]`."""
        return x @ self.weights[:-1] + self.weights[-1]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The label of the largest logit, `[n]`."""
        return self.classes[self.logits(x).argmax(axis=1)]


def read_out(measure: str, x: np.ndarray, y: np.ndarray) -> ReadOut:
    """The logistic regression of labels on bits that scikit-learn's `LogisticRegression(C=1)` has.

    With the intercept as a last input of ones, and p the softmax of the logits x W,

        minimise  - sum over images of log p_y  +  |W|^2 / 2  (without the intercept)

    L-BFGS walks over V = L' W with L L' = H, where H = X'X / 4 + I bounds the second derivative of one column: there
    the loss is nearly round, and tens of passes are enough where hundreds were needed.

    Args:
        measure: that asks, in the error.
        x: bits as -1 and 1, `[n, k]`.
        y: labels `[n]`, two or more of them.

    Raises:
        DataError: it does not converge.

    Source: the bound: Böhning & Lindsay 1988.

    Example:
        >>> x = np.array([[-1.0, 1], [-1, -1], [1, 1], [1, -1]])
        >>> read_out("example", x, np.array([3, 3, 7, 7])).predict(x).tolist()
        [3, 3, 7, 7]
    """
    from scipy.linalg import solve_triangular
    from scipy.optimize import minimize

    classes, place = np.unique(y, return_inverse=True)
    inputs, counts = _patterns(x, place.reshape(-1), len(classes))
    counts /= len(x)  # losses are means over images
    images = counts.sum(axis=1, keepdims=True)
    free = len(classes) if len(classes) > 2 else 1  # of two labels only the second has weights
    whole = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    penalty = np.append(np.ones(x.shape[1]), 0.0)[:, None] / len(x)
    lower = np.linalg.cholesky((images * whole).T @ whole / 4 + np.diag(penalty[:, 0]))
    back = solve_triangular(lower, np.eye(len(lower)), lower=True).T

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = back @ flat.reshape(-1, free)
        logits = np.zeros(counts.shape)
        logits[:, -free:] = whole @ weights
        logits -= logits.max(axis=1, keepdims=True)
        chance = np.exp(logits)
        total = chance.sum(axis=1, keepdims=True)
        value = images[:, 0] @ np.log(total[:, 0]) - np.vdot(counts, logits) + np.vdot(penalty * weights, weights) / 2
        chance *= images / total
        slope = back.T @ (whole.T @ (chance - counts)[:, -free:] + penalty * weights)
        return value, slope.ravel()

    start = np.zeros(len(lower) * free)
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": PASSES, "maxfun": 2 * PASSES, "gtol": TOLERANCE, "ftol": 0.0},
    )
    if not found.success:
        raise DataError(f"{measure}: the read-out of {x.shape[1]} bits has not converged")
    made = np.zeros((len(lower), len(classes)))
    made[:, -free:] = back @ found.x.reshape(-1, free)
    return ReadOut(classes, made)


def _patterns(x: np.ndarray, place: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The inputs that differ, `[m, k]`, and how many images of each class have them, `[m, C]`: of few bits, few."""
    n, k = x.shape
    if 2**k >= n:
        return x, np.eye(classes)[place]
    _, first, pattern = np.unique((x > 0) @ (1 << np.arange(k)), return_index=True, return_inverse=True)
    counts = np.bincount(pattern.reshape(-1) * classes + place, minlength=len(first) * classes)
    return x[first], counts.reshape(-1, classes).astype(np.float64)
