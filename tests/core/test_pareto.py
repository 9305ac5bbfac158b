"""Dominance by its definition, hypervolume against moocore, the knee by its picture."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.core.pareto import dominates, hypervolume, knee, non_dominated, robustly_non_dominated

pytestmark = pytest.mark.property

Points = NDArray[np.float64]


@st.composite
def points(draw: st.DrawFn, most: int = 12, least: int = 1, dims: tuple[int, int] = (1, 5)) -> Points:
    """Coarse coordinates, so that ties and duplicates are common."""
    shape = (draw(st.integers(least, most)), draw(st.integers(*dims)))
    return draw(hnp.arrays(np.float64, shape, elements=st.integers(-4, 6).map(lambda i: i / 2)))


@given(points())
def test_non_dominated_by_definition(v: Points) -> None:
    keep = [not any(dominates(b, a) for b in v) for a in v]
    assert non_dominated(v).tolist() == keep
    assert any(keep)


@given(points(least=2), st.randoms(use_true_random=False))
def test_dominance_does_not_depend_on_order(v: Points, rng: object) -> None:
    order = np.array(sorted(range(len(v)), key=lambda _: rng.random()))  # type: ignore[attr-defined]
    assert_array_equal(non_dominated(v[order]), non_dominated(v)[order])


def test_dominates() -> None:
    assert dominates([1, 2], [1, 3])
    assert not dominates([1, 2], [1, 2])
    assert not dominates([1, 3], [2, 2])
    assert non_dominated([[0, np.inf], [1, 5], [1, 5], [2, 5]]).tolist() == [True, True, True, False]
    assert non_dominated(np.empty((0, 3))).tolist() == []


@given(points(), st.data())
def test_robust_dominance_by_definition(mid: Points, data: st.DataObject) -> None:
    widths = st.integers(0, 4).map(lambda i: i / 2)
    lo = mid - data.draw(hnp.arrays(np.float64, mid.shape, elements=widths))
    hi = mid + data.draw(hnp.arrays(np.float64, mid.shape, elements=widths))
    robust = robustly_non_dominated(lo, hi)
    beaten = [any(dominates(hi[j], lo[i]) for j in range(len(mid)) if j != i) for i in range(len(mid))]
    assert_array_equal(robust, ~np.array(beaten))
    assert np.all(robust[non_dominated(mid)])  # wide intervals only ever add contenders
    assert_array_equal(robustly_non_dominated(mid, mid), non_dominated(mid))


@settings(max_examples=300)
@given(points(most=14, dims=(2, 5)), st.lists(st.integers(-2, 7).map(lambda i: i / 2), min_size=5, max_size=5))
def test_hypervolume_agrees_with_moocore(v: Points, reference: list[float]) -> None:
    """Ties, duplicates, dominated points and points on or beyond the reference included."""
    ref = np.array(reference[: v.shape[1]])
    assert_allclose(hypervolume(v, ref), moocore.hypervolume(v, ref=ref), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dims", "n"), [(2, 300), (3, 120), (4, 60), (5, 25)])
def test_hypervolume_of_large_fronts_agrees_with_moocore(dims: int, n: int) -> None:
    x = np.abs(np.random.default_rng(dims).normal(size=(n, dims)))
    v = 1 - x / np.linalg.norm(x, axis=1, keepdims=True)  # on a sphere: nothing is dominated
    v = np.concatenate([v, v[:5], v[:5] + 0.3, v[5:9] + 2])
    assert_allclose(hypervolume(v, np.full(dims, 1.1)), moocore.hypervolume(v, ref=np.full(dims, 1.1)), rtol=1e-12)


@given(points(dims=(2, 4)), points(most=1, dims=(2, 4)))
def test_hypervolume_grows_with_points_and_ignores_dominated_ones(v: Points, extra: Points) -> None:
    ref = np.full(v.shape[1], 2.5)
    assert_allclose(hypervolume(v[non_dominated(v)], ref), hypervolume(v, ref), rtol=1e-12)
    more = np.vstack([v, np.resize(extra, (1, v.shape[1]))])
    assert hypervolume(more, ref) >= hypervolume(v, ref) - 1e-12


def test_hypervolume_by_hand() -> None:
    assert hypervolume([[1, 1]], [3, 4]) == 6
    assert hypervolume([[1, 2], [2, 1]], [3, 3]) == 3
    assert hypervolume([[0.25]], [1]) == 0.75
    assert hypervolume([[1, 1], [3, 0], [0, 4]], [3, 4]) == 6  # points on the edge of the box add nothing
    assert hypervolume(np.empty((0, 2)), [1, 1]) == 0
    assert hypervolume([[0, 0, 0], [0, 0, 0]], [1, 2, 3]) == 6


def test_knee_of_a_bent_front() -> None:
    v = [[0, 1], [0.1, 0.1], [1, 0], [0.5, 0.05], [0.9, 0.9]]
    assert knee(v) == 1
    assert knee([[0, 100], [1, 10], [10, 0]]) == 1  # scaled: (0, 1), (0.1, 0.1), (1, 0)
    assert knee([[5, 5]]) == 0
    assert knee([[0, 0, 1], [1, 0, 0], [0.2, 0.2, 0.2], [0, 1, 0]]) == 2
    assert knee([[3, 1], [1, 1], [2, 1]]) == 1
    # with three objectives the nearest to the ideal point (0.95 against 1.02), not the least sum (1.65 against 1.2)
    assert knee([[0.55, 0.55, 0.55], [0, 0.25, 1], [1, 0, 0.8], [0.2, 1, 0]]) == 0


@given(points(dims=(2, 3)), st.integers(1, 9), st.integers(-5, 5))
def test_knee_is_on_the_front_and_has_no_unit(v: Points, factor: int, shift: int) -> None:
    k = knee(v)
    assert non_dominated(v)[k]
    assert_array_equal(v[knee(v * 2.0**factor + shift)], v[k])


def test_what_cannot_be_compared_says_so() -> None:
    with pytest.raises(InputError, match="NaN"):
        non_dominated([[0, np.nan]])
    with pytest.raises(InputError, match="shape"):
        non_dominated([1, 2])
    with pytest.raises(InputError, match="reference of 3"):
        hypervolume([[0, 0]], [1, 1, 1])
    with pytest.raises(InputError, match="lo <= hi"):
        robustly_non_dominated([[1.0]], [[0.0]])
    with pytest.raises(InputError, match="no points"):
        knee(np.empty((0, 2)))
