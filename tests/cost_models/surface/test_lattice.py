"""Reading tables between lattice points, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.cost_models.surface.family import Axis
from hwsim.cost_models.surface.lattice import outside, read

AXES = (Axis("x", (1.0, 2.0, 4.0, 8.0)), Axis("y", (0.0, 1.0)), Axis("z", (-3.0, 0.0, 5.0)))


@pytest.mark.truth
@given(st.lists(st.tuples(st.floats(1, 8), st.floats(0, 1), st.floats(-3, 5)), min_size=1, max_size=30))
def test_it_is_linear_interpolation(points: list[tuple[float, float, float]]) -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    table = np.random.default_rng(0).standard_normal((4, 2, 3))
    outside_reader = interpolate.RegularGridInterpolator([axis.nodes for axis in AXES], table)
    columns = {axis.name: np.array(points)[:, i] for i, axis in enumerate(AXES)}
    assert read([table, 2 * table], AXES, columns)[1] == pytest.approx(2 * outside_reader(points), abs=1e-12)


@pytest.mark.exact
def test_nodes_are_exact_and_outside_is_the_edge() -> None:
    table = np.arange(24.0).reshape(4, 2, 3)
    grid = np.array(np.meshgrid(*(axis.nodes for axis in AXES), indexing="ij")).reshape(3, -1)
    columns = {axis.name: grid[i] for i, axis in enumerate(AXES)}
    assert np.array_equal(read([table], AXES, columns)[0], table.ravel())
    assert not outside(AXES, columns).any()
    beyond = {"x": np.array([0.5, 99.0]), "y": np.array([0.0, 1.0]), "z": np.array([-3.0, 6.0])}
    assert read([table], AXES, beyond)[0].tolist() == [0.0, 23.0]
    assert outside(AXES, beyond).tolist() == [True, True]


@pytest.mark.exact
def test_an_axis_of_one_node() -> None:
    found = read([np.array([7.0])], (Axis("x", (3.0,)),), {"x": np.array([1.0, 3.0, 5.0])})
    assert found[0].tolist() == [7.0, 7.0, 7.0]
