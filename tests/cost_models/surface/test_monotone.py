"""The projection on monotone functions: its properties, and brute force on small lattices."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hwsim.cost_models.surface.monotone import highest_below, is_monotone, lowest_above, monotone, monotone_by_trust

shapes = array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)
lattices = arrays(np.float64, shapes, elements=st.integers(-9, 9).map(float))


@pytest.mark.property
@given(lattices, st.data())
def test_projection(values: np.ndarray, data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.integers(0, values.ndim - 1), unique=True))
    found = monotone(values, axes)
    assert is_monotone(found, axes)
    assert np.array_equal(monotone(found, axes), found)
    assert found.min() >= values.min() and found.max() <= values.max()
    if is_monotone(values, axes):
        assert np.array_equal(found, values)


@pytest.mark.exact
def test_it_gives_up_half_the_largest_fall() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 20, (4, 3, 3)).astype(float)
    points = list(product(*(range(n) for n in values.shape)))
    largest = max(
        values[p] - values[q] for p in points for q in points if all(a <= b for a, b in zip(p, q, strict=True))
    )
    found = monotone(values, (0, 1, 2))
    assert np.abs(found - values).max() == pytest.approx(largest / 2)
    for p in points:
        below = [values[q] for q in points if all(a >= b for a, b in zip(p, q, strict=True))]
        above = [values[q] for q in points if all(a <= b for a, b in zip(p, q, strict=True))]
        assert highest_below(values, (0, 1, 2))[p] == max(below)
        assert lowest_above(values, (0, 1, 2))[p] == min(above)
        assert found[p] == (max(below) + min(above)) / 2


@pytest.mark.property
@given(lattices, st.data())
def test_trusted_points_come_first(values: np.ndarray, data: st.DataObject) -> None:
    axes = tuple(range(values.ndim))
    distrust = data.draw(arrays(np.float64, values.shape, elements=st.sampled_from([0.1, 0.5, 0.9])))
    found = monotone_by_trust(values, axes, distrust, (0.3, 0.7))
    assert is_monotone(found, axes)
    trusted = distrust <= 0.3
    others = np.where(trusted, values, 1e6 * (data.draw(st.booleans()) - 0.5))
    assert np.array_equal(monotone_by_trust(others, axes, distrust, (0.3, 0.7))[trusted], found[trusted])
    if is_monotone(values, axes):
        assert np.array_equal(found, values)


@pytest.mark.exact
def test_one_bad_corner_moves_nothing_else() -> None:
    values = np.add.outer(np.arange(5.0), np.arange(5.0))
    spoilt = values.copy()
    spoilt[4, 4] = -50.0
    distrust = np.zeros((5, 5))
    distrust[4, 4] = 1.0
    assert monotone(spoilt, (0, 1))[0, 0] == -25.0
    found = monotone_by_trust(spoilt, (0, 1), distrust, (0.5,))
    assert np.array_equal(found[:4, :4], values[:4, :4]) and found[4, 4] == 7.0
