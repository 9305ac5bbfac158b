"""Probabilities of missing a deadline against the law that made the residuals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from hwsim.latency.networks.lateness import BOUNDS, fit_lateness


def law(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Student residuals whose spread grows with the last column."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    return x, 0.1 * np.exp(0.3 * x[:, -1]) * rng.standard_t(4, rows)


@pytest.mark.property
def test_rare_misses_are_told_apart() -> None:
    found = fit_lateness(*law(0, 4000))
    assert found.bounds == BOUNDS
    fresh, residual = law(1, 4000)
    told = np.array([found.share_above(row, 0.3) for row in fresh])
    true = student.sf(0.3 / (0.1 * np.exp(0.3 * fresh[:, -1])), 4)
    assert np.mean((told - true) ** 2) < np.mean((np.mean(residual > 0.3) - true) ** 2) / 3
    assert told.mean() == pytest.approx(np.mean(residual > 0.3), abs=0.01)


@pytest.mark.property
def test_falls_with_the_deadline_and_is_never_certain() -> None:
    found = fit_lateness(*law(2, 1000))
    for row in law(3, 50)[0]:
        values = [found.share_above(row, r) for r in np.linspace(-2, 2, 60)]
        assert values == sorted(values, reverse=True)
        assert values[0] == pytest.approx(1 - 1 / 1000) and values[-1] == pytest.approx(1 / 1000)


@pytest.mark.exact
def test_bounds_without_outcomes_are_left_out() -> None:
    x, residual = law(4, 200)
    assert fit_lateness(x, residual / 4).bounds[-1] < BOUNDS[-1]
