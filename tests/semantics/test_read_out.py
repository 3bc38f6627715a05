"""The read-out is the optimum that scikit-learn finds at a tight tolerance."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from codelab import DataError
from codelab.semantics import read_out as solver
from codelab.semantics.read_out import read_out


def planted(n, k, classes, *, rare=False, seed=0):
    """Bits that hold the class, two of them repeated and one constant: the inputs are of lower rank than k."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.zipf(2.0, n) - 1, classes - 1) if rare else rng.integers(0, classes, n)
    bits = (rng.random((classes, k)) < 0.5)[y] ^ (rng.random((n, k)) < 0.2)
    if k > 3:
        bits[:, 1], bits[:, 2] = bits[:, 0], True
    return 2.0 * bits - 1, np.array([5, *range(7, 6 + classes)])[y]


@pytest.mark.parametrize(
    ("n", "k", "classes", "rare"),
    [
        (300, 1, 2, False),
        (300, 1, 4, False),
        (300, 6, 2, False),
        (300, 6, 5, True),
        (200, 40, 5, True),
        (60, 80, 3, 0),
    ],
)
def test_it_is_the_optimum_of_scikit_learn(n, k, classes, rare):
    x, y = planted(n, k, classes, rare=rare)
    found, peer = read_out("test", x, y), LogisticRegression(C=1, tol=1e-10, max_iter=20_000).fit(x, y)
    logits = found.logits(x)
    assert found.classes.tolist() == peer.classes_.tolist()
    theirs = peer.decision_function(x)
    if theirs.ndim == 1:
        theirs = np.stack([np.zeros(n), theirs], axis=1)
    apart = (logits - logits.mean(axis=1, keepdims=True)) - (theirs - theirs.mean(axis=1, keepdims=True))
    assert np.abs(apart).max() < 0.02
    sure = np.diff(np.sort(theirs, axis=1)[:, -2:], axis=1)[:, 0] > 0.05
    assert sure.mean() > 0.5
    assert (found.predict(x) == peer.predict(x))[sure].all()


def test_without_convergence_there_is_no_read_out(monkeypatch):
    monkeypatch.setattr(solver, "PASSES", 2)
    with pytest.raises(DataError, match=r"^probe_curve: the read-out of 40 bits has not converged$"):
        read_out("probe_curve", *planted(300, 40, 5))
