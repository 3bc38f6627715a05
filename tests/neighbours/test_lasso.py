"""Points in a lasso against an oracle that sums angles, and simplified lassos against the shape they came from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codelab.core.errors import UsageError
from codelab.neighbours.lasso import CORNERS, inside_polygon, simplified


def winding(point, corners):
    """The winding number by angles."""
    angles = np.arctan2(*(corners - point).T[::-1])
    turns = np.diff(np.append(angles, angles[0]))
    return round(float(((turns + np.pi) % (2 * np.pi) - np.pi).sum() / (2 * np.pi)))


def star(corners, seed):
    """A polygon that does not cross itself."""
    draw = np.random.default_rng(seed)
    angle = np.sort(draw.uniform(0, 2 * np.pi, corners))
    return np.stack([np.cos(angle), np.sin(angle)], 1) * draw.uniform(0.3, 1, (corners, 1))


@given(st.integers(3, 40), st.integers(0, 10**6))
def test_inside_is_a_winding_number_that_is_not_zero(corners, seed):
    polygon = star(corners, seed)
    points = np.random.default_rng(seed + 1).uniform(-1.2, 1.2, (50, 2))
    expected = [winding(point, polygon) != 0 for point in points]
    assert inside_polygon(points, polygon).tolist() == expected


def test_a_lasso_that_crosses_itself_has_a_hole():
    twice = np.array([[0, 0], [4, 0], [4, 4], [0, 4], [0, 0], [1, 1], [3, 1], [3, 3], [1, 3], [1, 1]])
    assert inside_polygon(np.array([[0.5, 2], [2, 2]]), twice).tolist() == [True, False]


def test_a_simplified_lasso_selects_nearly_the_same():
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    drawn = np.stack([np.cos(angle), 0.6 * np.sin(angle)], 1) * (1 + 0.1 * np.sin(5 * angle))[:, None]
    few = simplified(drawn)
    assert len(few) == CORNERS
    points = np.random.default_rng(0).uniform(-1.2, 1.2, (20_000, 2))
    a, b = inside_polygon(points, drawn), inside_polygon(points, few)
    assert (a & b).sum() / (a | b).sum() > 0.97
    assert {tuple(corner) for corner in few} <= {tuple(corner) for corner in drawn}


@pytest.mark.parametrize("corners", [[[0, 0], [1, 1]], [[0, 0, 0]] * 3, [[0, 0], [1, 0], [np.nan, 1]], []])
def test_what_is_no_polygon_is_refused(corners):
    with pytest.raises(UsageError, match="lasso: found corners of shape"):
        inside_polygon(np.zeros((2, 2)), np.array(corners, dtype=float))
