"""Shrinkage to 1, consistency, and honest spread of vendor factors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.errors import InputError
from hwsim.cost_models.vendor import vendor_scale


@pytest.mark.property
@given(st.floats(0.3, 3.0), st.integers(1, 40))
def test_the_factor_lies_between_one_and_the_mean(ratio: float, rows: int) -> None:
    p = np.linspace(10, 1000, rows)
    scale = vendor_scale({"lut": p}, {"lut": list(ratio * p)})["lut"]
    assert scale.raw == pytest.approx(ratio)
    assert min(1, ratio) - 1e-9 <= scale.factor <= max(1, ratio) + 1e-9
    assert scale.low < scale.factor < scale.high
    assert scale.rows == rows


@pytest.mark.property
def test_more_rows_move_it_further_and_narrow_it() -> None:
    scales = [vendor_scale({"lut": [100.0] * n}, {"lut": [80.0] * n})["lut"] for n in (1, 3, 10, 100)]
    factors, widths = [s.factor for s in scales], [s.high / s.low for s in scales]
    assert factors == sorted(factors, reverse=True) and factors[-1] == pytest.approx(0.8, rel=1e-3)
    assert widths == sorted(widths, reverse=True)


@pytest.mark.property
def test_new_designs_lie_inside_nine_times_in_ten() -> None:
    """Factors and scatter drawn as the prior says: the interval then holds 90 % of new designs, near enough."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(1500):
        n = int(rng.integers(1, 30))
        logs = rng.normal(0, 0.5) + 0.2 * rng.standard_normal(n + 1)
        scale = vendor_scale({"lut": np.full(n, 50.0)}, {"lut": list(50 * np.exp(logs[:n]))})["lut"]
        inside.append(scale.low <= np.exp(logs[n]) <= scale.high)
    assert 0.87 < np.mean(inside) < 0.93


@pytest.mark.exact
def test_counts_that_are_missing_or_zero_say_nothing() -> None:
    found = vendor_scale({"dsp": [0, 4, 4, 4], "bram18": [1, 1, 1, 1]}, {"dsp": [0, None, 0, 4]})
    assert (found["dsp"].rows, found["dsp"].factor) == (1, 1.0)
    assert (found["bram18"].rows, found["bram18"].factor, found["bram18"].raw) == (0, 1.0, 1.0)
    with pytest.raises(InputError, match="4 predicted and 1 reported"):
        vendor_scale({"lut": [1, 2, 3, 4]}, {"lut": [1]})
