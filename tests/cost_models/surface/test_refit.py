"""Refits: errors are of rows left out, on both sides, and processes change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.cost_models.surface import family, fit_surface
from hwsim.cost_models.surface.refit import Refit, refit, refit_all
from hwsim.cost_models.surface.synthesised_rows import UnitRows

Floats = NDArray[np.float64]


def units(bits: tuple[int, ...], factor: float = 1.0, noise: float = 0.1) -> UnitRows:
    """Multipliers whose counts are a plain law with noise that no law can know."""
    w, a = (grid.ravel() for grid in np.meshgrid(bits, bits))
    counts = factor * w * a * np.exp(noise * np.random.default_rng(0).standard_normal(len(w))) + 5
    parameters = {"w_bits": w, "a_bits": a, "a_signed": np.zeros(len(w), dtype=bool)}
    return UnitRows(family("int_mul"), parameters, {"lut": counts})


@pytest.mark.property
def test_errors_are_of_rows_left_out() -> None:
    """Noise of a tenth cannot be known beforehand, so that an honest error is of its size on both sides."""
    rows = units((2, 3, 4, 5, 6, 8))
    old = fit_surface(rows.family, rows.parameters, rows.counts["lut"])
    found = refit(rows, "lut", old)
    assert found.before is not None and len(found.before) == len(found.after) == 36
    assert 0.03 < np.median(found.after) < 0.15
    assert np.array_equal(found.before, found.after)


@pytest.mark.property
def test_a_tool_that_counts_otherwise_is_learned() -> None:
    here, there = units((2, 3, 4, 5, 6)), units((2, 3, 4, 5, 6, 7), factor=2.0)
    found = refit(there, "lut", fit_surface(here.family, here.parameters, here.counts["lut"]))
    assert found.before is not None
    assert np.median(found.before) > 0.3
    assert np.median(found.after) < 0.15


@pytest.mark.exact
def test_worse_is_worse_in_the_middle_and_at_the_end() -> None:
    whole = units((2, 3, 4, 5, 6, 7, 8), noise=0.0)
    old = fit_surface(whole.family, whole.parameters, whole.counts["lut"])
    assert not refit(whole, "lut", old).worse  # equal
    assert not refit(units((2, 3, 4, 5, 6, 7, 8), factor=3.0, noise=0.0), "lut", old).worse  # another tool
    small, large = np.linspace(0.0, 0.1, 20), np.linspace(0.0, 0.2, 20)
    assert Refit(old, small, large).worse and not Refit(old, large, small).worse
    assert not Refit(old, np.append(small, 9.0), np.append(small[:-3], [0.3] * 3)).worse  # at the end alone
    assert Refit(old, small, small[:0]).worse and not Refit(old, None, large).worse  # nothing to tell it by


@pytest.mark.exact
def test_without_an_old_surface_there_is_no_before() -> None:
    assert refit(units((2, 3, 4, 5)), "lut").before is None
    with pytest.raises(InputError, match="4 rows"):
        refit(units((2, 3)), "lut")


@pytest.mark.exact
def test_families_with_few_rows_are_passed_over() -> None:
    seen: list[tuple[int, int]] = []
    table = {"int_mul": units((2, 3, 4)), "few": units((2, 3))}
    found = list(refit_all(table, ("lut",), {}, progress=lambda done, total: seen.append((done, total))))
    assert [one.surface.resource for one in found] == ["lut"] and seen == [(1, 1)]


@pytest.mark.slow
@pytest.mark.exact
def test_processes_give_the_same() -> None:
    rows = units((2, 3, 4, 5))
    both = UnitRows(rows.family, rows.parameters, {"lut": rows.counts["lut"], "ff": rows.counts["lut"] + 1})
    old = {("int_mul", "lut"): fit_surface(rows.family, rows.parameters, rows.counts["lut"] * 1.5)}
    one, two = (
        {r.surface.resource: r for r in refit_all({"int_mul": both}, ("lut", "ff"), old, workers)} for workers in (1, 2)
    )
    for resource in ("lut", "ff"):
        assert np.allclose(one[resource].after, two[resource].after, rtol=1e-4)
        assert one[resource].surface.as_dict() == two[resource].surface.as_dict()
