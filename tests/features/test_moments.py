"""One pass of moments: NumPy's own, whatever the blocks and however far the mean is from zero."""

import numpy as np
import pytest

from codelab import DataError, UsageError
from codelab.features.moments import block_moments


def blocks(x, rows):
    return (x[start : start + rows] for start in range(0, len(x), rows))


@pytest.mark.parametrize("rows", [1, 7, 500])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8])
def test_they_are_those_of_numpy(rows, kind):
    x = (10 * np.random.default_rng(0).normal(size=(200, 5))).astype(kind)
    x[:, 3] = 7
    found = block_moments(blocks(x, rows), covariance=True)
    wide = x.astype(np.float64)
    assert found.mean == pytest.approx(wide.mean(axis=0))
    assert found.covariance == pytest.approx(np.cov(wide.T, bias=True), abs=1e-10)
    assert found.variance == pytest.approx(wide.var(axis=0), abs=1e-10)
    assert found.variance[3] == 0
    alone = block_moments(blocks(x, rows), covariance=False)
    assert alone.covariance is None
    assert alone.variance == pytest.approx(found.variance)
    assert alone.variance[3] == 0


def test_a_far_mean_costs_no_digits():
    x = np.random.default_rng(0).normal(size=(1000, 2))
    near, far = (block_moments(blocks(x + offset, 64), covariance=True) for offset in (0, 1e7))
    assert far.covariance == pytest.approx(near.covariance, rel=1e-6)


def test_torch_gives_the_same():
    x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    found, peer = (block_moments(blocks(x, 64), covariance=True, device=device) for device in ("cpu", "cpu:0"))
    assert peer.covariance == pytest.approx(found.covariance, rel=1e-12)
    assert peer.mean == pytest.approx(found.mean, rel=1e-12)


def test_what_cannot_be():
    with pytest.raises(DataError, match="no row"):
        block_moments([], covariance=True)
    with pytest.raises(UsageError, match="device 'abacus'"):
        block_moments([np.eye(2)], covariance=True, device="abacus")
