"""Canonical signed digits and the integers behind codes."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from hwsim.core.accumulator import unit
from hwsim.core.codes import decode, encode
from hwsim.core.errors import InputError
from hwsim.core.formats import Format, int_format, minifloat
from hwsim.cost_models.adder_graph.digits import (
    LARGEST,
    from_digits,
    multiples,
    nonzero_digits,
    signed_digits,
)

ARRAYS = hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=6), elements=st.integers(-LARGEST, LARGEST))


@pytest.mark.property
@given(ARRAYS)
def test_digits_stand_for_the_number_and_no_two_neighbours_are_nonzero(values: NDArray[np.int64]) -> None:
    digits = signed_digits(values)
    assert set(np.unique(digits)) <= {-1, 0, 1}
    np.testing.assert_array_equal(from_digits(digits), values)
    assert not (digits[..., 1:] * digits[..., :-1]).any()
    np.testing.assert_array_equal(np.abs(digits).sum(axis=-1), nonzero_digits(values))


@pytest.mark.exact
def test_no_signed_digit_form_of_a_byte_has_fewer_digits() -> None:
    fewest = {0: 0}
    for count in range(1, 6):
        for value in list(fewest):
            for place in range(10):
                for found in (value + (1 << place), value - (1 << place)):
                    fewest.setdefault(found, count)
    values = np.arange(-255, 256)
    assert nonzero_digits(values).tolist() == [fewest[int(v)] for v in values]


@pytest.mark.exact
@pytest.mark.parametrize("fmt", [int_format(5), minifloat(2, 1), minifloat(3, 2), minifloat(4, 3), minifloat(5, 2)])
def test_codes_are_multiples_of_the_smallest_step(fmt: Format) -> None:
    values = np.unique(fmt.values())  # type: ignore[union-attr]
    found = multiples(encode(values, fmt), fmt)
    np.testing.assert_array_equal(found * unit(fmt), values)
    np.testing.assert_array_equal(decode(encode(values, fmt), fmt), values)


@pytest.mark.exact
@pytest.mark.parametrize("bad", [[0.5], [LARGEST + 1], [-LARGEST * 2]])
def test_what_is_no_constant_is_refused(bad: list[float]) -> None:
    with pytest.raises(InputError):
        signed_digits(np.array(bad))
