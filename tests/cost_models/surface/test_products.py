"""Structural features against the hardware that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.formats import minifloat
from hwsim.cost_models.surface.catalogue import FAMILIES
from hwsim.cost_models.surface.partial_products import reduction, reductions
from hwsim.cost_models.surface.products import bit_length, minifloat_product, shifted_product_positions, table_luts


@pytest.mark.exact
def test_reduction_of_a_3_by_3_product() -> None:
    """Columns of 1, 2, 3, 2, 1 partial products: one layer, of one full and two half adders."""
    found = reduction(3, 3, False, False)
    assert (found.gated, found.gated_full, found.later, found.layers, found.chain) == (3, 1, 0, 1, 4)
    two = reduction(2, 5, False, False)
    assert (two.gated, two.later, two.layers) == (0, 0, 0)
    one = reduction(1, 5, False, False)
    assert (one.chain, one.layers) == (0, 0)


@pytest.mark.property
@given(st.integers(1, 12), st.integers(1, 12))
def test_full_adders_take_away_one_bit_each(rows: int, columns: int) -> None:
    """A full adder turns three bits into two: what is left fits two rows of the width."""
    rows, columns = sorted((rows, columns))
    found = reduction(rows, columns, False, False)
    assert found.gated_full <= found.gated and found.later_full <= found.later
    assert rows * columns - found.gated_full - found.later_full <= 2 * (rows + columns)
    layers, height = 0, rows
    while height > 2:
        height, layers = height // 3 * 2 + height % 3, layers + 1
    assert found.layers == layers


@pytest.mark.property
@given(st.integers(2, 10), st.integers(2, 10))
def test_signs_cost_adders_but_less_than_full_rows(rows: int, columns: int) -> None:
    """Repeated signs give equal adders, which are counted once."""
    rows, columns = sorted((rows, columns))
    plain, signed = reduction(rows, columns, False, False), reduction(rows, columns, True, True)
    assert plain.gated + plain.later <= signed.gated + signed.later <= rows * (rows + columns)


@pytest.mark.exact
def test_columns_of_reductions() -> None:
    """The shorter operand makes the rows: w of 3 x 5, a of 8 x 4."""
    three, four = np.array([3.0, 8.0]), np.array([5.0, 4.0])
    found = reductions(three, four, np.array([1.0, 1.0]), np.array([0.0, 0.0]))
    singles = (reduction(3, 5, False, True), reduction(4, 8, True, False))
    for name, values in found.items():
        assert values.tolist() == [getattr(single, name) for single in singles]


@pytest.mark.exact
def test_tables() -> None:
    """3 x 3: six outputs of at most six inputs; 4 x 4: outputs 3 and up see all eight inputs, as four LUTs each."""
    found = table_luts(np.array([3.0, 4.0, 2.0]), np.array([3.0, 4.0, 2.0]))
    assert found.tolist() == [6.0, 23.0, 4.0]


@pytest.mark.exact
@pytest.mark.parametrize("ew", range(1, 6))
@pytest.mark.parametrize("mw", (0, 1, 3, 7))
@pytest.mark.parametrize(("ea", "ma"), [(1, 2), (2, 0), (2, 1), (3, 0), (4, 3), (5, 2)])
def test_widths_of_exact_products(ew: int, mw: int, ea: int, ma: int) -> None:
    """Against the formats: the largest product in units of the smallest one."""
    largest = minifloat(ew, mw).max_multiple * minifloat(ea, ma).max_multiple
    found = minifloat_product(*(np.array([float(v)]) for v in (ew, mw, ea, ma)))
    assert found["width"][0] == largest.bit_length()


@pytest.mark.exact
def test_sides_of_a_minifloat_product_are_alike() -> None:
    """Swapping the formats moves nothing; an integer of b bits stands where a minifloat of b - 1 mantissa bits does."""
    one, other = ({"ew": 2.0, "mw": 1.0, "ea": 4.0, "ma": 3.0}, {"ew": 4.0, "mw": 3.0, "ea": 2.0, "ma": 1.0})
    places = []
    for pair in (one, other):
        columns = {name: np.array([value]) for name, value in pair.items()} | {"a_signed": np.ones(1)}
        places.append(np.stack(shifted_product_positions(columns)))
    assert np.array_equal(*places)
    mixed = shifted_product_positions(
        {n: np.array([v]) for n, v in (("ew", 1.0), ("mw", 3.0), ("a_bits", 4.0), ("a_signed", 1.0))}
    )
    assert np.stack(mixed).ravel().tolist() == [2.0, 2.0, 0.0, 1.0]


@pytest.mark.property
@given(st.integers(0, 2**50))
def test_bit_length(value: int) -> None:
    assert bit_length(np.array([float(value)]))[0] == value.bit_length()


@pytest.mark.property
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_features_of_every_family_are_finite_on_its_lattice(name: str) -> None:
    family = FAMILIES[name]
    columns = family.lattice()
    rows = np.random.default_rng(0).permutation(len(next(iter(columns.values()))))[:3000]
    names, values = family.feature_matrix({k: v[rows] for k, v in columns.items()})
    assert np.isfinite(values).all() and len(set(names)) == len(names)
    assert np.prod(family.shape) == len(next(iter(columns.values()))) <= 300_000
    assert all(np.all(np.diff(axis.nodes) > 0) for axis in family.axes)
