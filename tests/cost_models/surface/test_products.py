"""Structural features against the hardware that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.formats import minifloat
from hwsim.cost_models.surface.catalogue import FAMILIES
from hwsim.cost_models.surface.multiplied import multiplied_luts
from hwsim.cost_models.surface.products import bit_length, minifloat_product, shifted_product_positions
from hwsim.cost_models.synthesis.table import SHIPPED, read_table


@pytest.mark.exact
def test_multipliers_by_hand() -> None:
    """A gate a bit; a table an output bit; 4 digits over 8 bits; two tables of 6 and 6 outputs and an adder of 6."""
    x, y = np.array([1.0, 3.0, 8.0, 4.0]), np.array([9.0, 3.0, 8.0, 4.0])
    signed = np.array([0.0, 1.0, 1.0, 0.0])
    assert multiplied_luts(x, signed, y, signed).tolist() == [9, 6, 4 * 10, 6 + 2 * 6]


@pytest.mark.property
@given(st.integers(1, 16), st.integers(1, 16), st.booleans(), st.booleans())
def test_multipliers_take_either_order(x: int, y: int, x_signed: bool, y_signed: bool) -> None:
    sides = [np.array([float(v)]) for v in (x, x_signed, y, y_signed)]
    one, other = multiplied_luts(*sides), multiplied_luts(*sides[2:], *sides[:2])
    assert one == other >= 1


@pytest.mark.truth
def test_multipliers_are_those_of_synthesis() -> None:
    """Every integer multiplier of the table, exactly; `multiply` builds the cheaper order by the same law."""
    rows = [row for row in read_table(SHIPPED) if row.family == "int_mul" and row.flow == "base"]
    fields = {name: np.array([float(row.values[name]) for row in rows]) for name in ("w_bits", "a_bits", "a_signed")}
    found = multiplied_luts(fields["w_bits"], np.ones(len(rows)), fields["a_bits"], fields["a_signed"])
    assert len(rows) >= 500
    np.testing.assert_array_equal(found, [row.lut for row in rows])


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


@pytest.mark.property
@pytest.mark.parametrize(("name", "kin"), [(f.name, kin) for f in FAMILIES.values() for kin in f.kin])
def test_kin_have_the_same_features_in_other_words(name: str, kin: str) -> None:
    """Of one unit, whichever family's words name it; a multiply-accumulate unit is a dot product of one lane."""
    family, other = FAMILIES[name], FAMILIES[kin]
    every = other.lattice()
    rows = np.random.default_rng(0).permutation(len(every["ew"]))[:2000]
    columns = {axis: values[rows] for axis, values in every.items()}
    names, values = family.feature_matrix(family.kin[kin](columns))
    theirs, wanted = other.feature_matrix(columns)
    found = dict(zip(names, values.T, strict=True))
    lanes = any(axis.name == "lanes" for axis in family.axes) and "lanes" not in columns
    for feature, column in zip(theirs, wanted.T, strict=True):
        own = f"lanes {feature}" if lanes and feature != "acc" else feature
        np.testing.assert_array_equal(found[own], column, err_msg=feature)
