"""The control experiments: which runs are paired, and the interval of their differences."""

import numpy as np
import pytest

from benchmarks.objectives import FIXED, NUMBERS, OBJECTIVES, Scores, differences, pairs, resets
from training.config import load_config


def seeds(values):
    return [Scores(name="", **dict.fromkeys(NUMBERS, value)) for value in values]


def test_resets_are_compared_with_the_fixed_head_and_with_each_other():
    variants = resets([1, 2])
    names = ["reset every 1, restart", "reset every 1, plain", "reset every 2, restart", "reset every 2, plain"]
    assert list(variants) == [FIXED, *names]
    expected = [*((name, FIXED) for name in names), (names[0], names[1]), (names[2], names[3])]
    assert pairs(list(variants)) == expected
    found = [(c.reset_every, c.head_ema) for c in (load_config("demo", v) for v in variants.values())]
    assert found == [(0, "restart"), (1, "restart"), (1, "plain"), (2, "restart"), (2, "plain")]


def test_differences_are_paired_by_seed():
    a, b = np.array([0.31, 0.29, 0.35, 0.30, 0.33]), np.array([0.30, 0.27, 0.35, 0.28, 0.33])
    d = a - b
    half = 2.7764451 * d.std(ddof=1) / 5**0.5  # Student's t with 4 degrees of freedom, 97.5 %
    expected = f"{d.mean():+.4f} [{d.mean() - half:+.4f}, {d.mean() + half:+.4f}]"
    assert differences(seeds(a), seeds(b)) == [expected] * len(NUMBERS)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_is_a_config(name):
    assert load_config("demo", OBJECTIVES[name]).epochs == 18
