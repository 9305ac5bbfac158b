"""Scores of quantiles against their definitions, and the operators that make quantiles ascend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hwsim.stats import weighted_interval_score
from hwsim.stats.monotone_quantiles import monotone
from hwsim.stats.quantile_metrics import (
    coverage_errors,
    crossing_rate,
    interval_score,
    interval_widths,
    pinball_loss,
    pinball_losses,
)

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
VALUES = st.floats(-9, 9, width=32)


@pytest.mark.property
@given(arrays(np.float64, (6, 5), elements=VALUES), arrays(np.float64, 6, elements=VALUES))
def test_sorting_and_isotonic_regression_never_cost(quantiles: Any, truth: Any) -> None:
    before = pinball_losses(truth, quantiles, LEVELS).mean(axis=1)
    for how in ("sort", "isotonic"):
        mended = monotone(quantiles, how)
        assert np.all(pinball_losses(truth, mended, LEVELS).mean(axis=1) <= before + 1e-9)
        assert (
            weighted_interval_score(truth, mended, LEVELS) <= weighted_interval_score(truth, quantiles, LEVELS) + 1e-9
        )


@pytest.mark.property
@given(arrays(np.float64, (4, 7), elements=VALUES))
def test_isotonic_is_scikit_learns_and_operators_ascend(quantiles: Any) -> None:
    from sklearn.isotonic import IsotonicRegression

    expected = [IsotonicRegression().fit_transform(np.arange(7), row) for row in quantiles]
    np.testing.assert_allclose(monotone(quantiles, "isotonic"), expected, atol=1e-9)
    for how in ("sort", "isotonic", "sweep"):
        once = monotone(quantiles, how)
        assert crossing_rate(once) == 0
        np.testing.assert_allclose(monotone(once, how), once, atol=1e-12)
    np.testing.assert_array_equal(monotone(quantiles, "sweep")[:, 3], quantiles[:, 3])
    np.testing.assert_array_equal(monotone(quantiles, None), quantiles)


@pytest.mark.exact
def test_sweep_runs_outward_from_the_median() -> None:
    assert monotone([[3.0, 1.0, 2.0, 0.0, 5.0]], "sweep").tolist() == [[1.0, 1.0, 2.0, 2.0, 5.0]]


@pytest.mark.property
@given(arrays(np.float64, (6, 5), elements=VALUES), arrays(np.float64, 6, elements=VALUES))
def test_weighted_interval_score_is_twice_the_pinball_loss(quantiles: Any, truth: Any) -> None:
    score = weighted_interval_score(truth, quantiles, LEVELS)
    assert score == pytest.approx(2 * pinball_loss(truth, quantiles, LEVELS), abs=1e-9)


@pytest.mark.exact
def test_metrics_by_hand_and_by_scikit_learn() -> None:
    from sklearn.metrics import mean_pinball_loss

    assert interval_score([5.0, 1.0, 0.0], [1, 1, 1], [3, 3, 3], 0.1).tolist() == [42.0, 2.0, 22.0]
    assert coverage_errors([0, 1, 2, 3], np.full((4, 3), [0.5, 1.5, 2.5]), (0.25, 0.5, 0.75)).tolist() == [0, 0, 0]
    assert interval_widths([[0, 1, 2, 4, 9.0], [0, 0, 0, 0, 1]], LEVELS).tolist() == [5.0, 1.5]
    assert crossing_rate([[0, 1, 2], [0, 2, 1.0]]) == 0.5
    rng = np.random.default_rng(0)
    y, found = rng.standard_normal(120), rng.standard_normal((120, 5))
    expected = np.mean([mean_pinball_loss(y, found[:, k], alpha=t) for k, t in enumerate(LEVELS)])
    assert pinball_loss(y, found, LEVELS) == pytest.approx(expected)
