"""Relative-error least squares against scikit-learn and by its defining properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.cost_models.surface.linear import LARGE, SMALL, least_absolute_fit, relative_fit


@pytest.mark.property
@given(st.integers(0, 1000))
def test_an_exact_law_is_found_and_scales_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.uniform(1, 50, (30, 3))
    beta = rng.uniform(0.5, 5, 3)
    factor = np.array([1e-3, 1.0, 1e4])
    assert relative_fit(x * factor, x @ beta).coefficients == pytest.approx(beta / factor, rel=1e-4)
    assert least_absolute_fit(x * factor, x @ beta) == pytest.approx(beta / factor, rel=1e-4)


@pytest.mark.truth
def test_with_small_errors_it_is_ridge_regression_on_ratios() -> None:
    ridge = pytest.importorskip("sklearn.linear_model").Ridge
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 50, (40, 4))
    y = x @ [1.0, 2.0, 3.0, 4.0] * np.exp(0.002 * rng.standard_normal(40))
    columns = x / y[:, None]
    scale = np.sqrt(np.mean(columns**2, axis=0))
    outside = ridge(alpha=1e-6 * 40, fit_intercept=False, tol=1e-12).fit(columns / scale, np.ones(40))
    assert relative_fit(x, y, ridges=(1e-6,)).coefficients == pytest.approx(outside.coef_ / scale, rel=1e-6)


@pytest.mark.exact
def test_rows_left_out_by_the_hat_matrix_are_rows_left_out() -> None:
    """With small errors, the ridge it picks is the one that refitting without each row in turn would pick."""
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.uniform(1, 50, (24, 6)), np.ones(24)])
    y = x @ rng.uniform(0.1, 2, 7) * np.exp(0.003 * rng.standard_normal(24))
    ridges = (1e-7, 1e-5, 1e-3, 1e-1)
    columns = x / y[:, None]
    scale = np.sqrt(np.mean(columns**2, axis=0))
    errors = []
    for ridge in ridges:
        one = []
        for i in range(24):
            a = np.delete(columns / scale, i, axis=0)
            beta = np.linalg.solve(a.T @ a + ridge * 24 * np.eye(7), a.sum(axis=0))
            one.append(min(abs(columns[i] / scale @ beta - 1), LARGE))
        errors.append(one)
    means = np.mean(errors, axis=1)
    allowed = means.min() + 0.5 * np.std(errors[int(np.argmin(means))]) / np.sqrt(24)
    expected = max(r for r, m in zip(ridges, means, strict=True) if m <= allowed)
    assert expected < ridges[-1]
    picked, fixed = (relative_fit(x, y, ridges=r).coefficients for r in (ridges, (expected,)))
    assert picked == pytest.approx(fixed)


@pytest.mark.property
def test_a_few_strange_rows_do_not_bend_a_law() -> None:
    rng = np.random.default_rng(1)
    x = np.column_stack([rng.uniform(1, 50, (60, 2)), np.ones(60)])
    y = x @ [3.0, 1.0, 20.0]
    y[:5] *= 0.3
    assert least_absolute_fit(x, y) == pytest.approx([3.0, 1.0, 20.0], rel=1e-3)
    assert np.abs(x @ relative_fit(x, y).coefficients / (x @ [3.0, 1.0, 20.0]) - 1).max() < SMALL


@pytest.mark.truth
def test_with_large_errors_it_is_the_least_huber_loss() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(2)
    x = np.column_stack([rng.uniform(1, 50, (50, 2)), np.ones(50)])
    y = x @ [3.0, 1.0, 20.0] * np.exp(0.3 * rng.standard_normal(50))

    def loss(beta: np.ndarray) -> float:
        error = np.abs(x @ beta / y - 1)
        return float(np.where(error < SMALL, error**2 / 2, SMALL * (error - SMALL / 2)).sum())

    best = optimize.minimize(
        loss, [3.0, 1.0, 20.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 9000}
    )
    assert loss(relative_fit(x, y, ridges=(1e-12,)).coefficients) == pytest.approx(best.fun, rel=1e-3)


@pytest.mark.property
def test_leverage_is_the_spread_of_predictions() -> None:
    """Over draws of the errors; large where the rows say nothing."""
    rng = np.random.default_rng(4)
    x = np.column_stack([rng.uniform(1, 50, (40, 2)), np.ones(40)])
    law, new = x @ [3.0, 1.0, 20.0], np.array([[25.0, 25.0, 1.0], [5.0, 45.0, 1.0], [400.0, 1.0, 1.0]])
    fits = [relative_fit(x, law * (1 + 0.002 * rng.standard_normal(40)), ridges=(1e-12,)) for _ in range(300)]
    spread = np.std([new @ fit.coefficients for fit in fits], axis=0)
    leverage = fits[0].leverage(new)
    assert 0.002 * leverage == pytest.approx(spread, rel=0.15)
    assert leverage[2] / (new[2] @ [3.0, 1.0, 20.0]) > 2 * leverage[0] / (new[0] @ [3.0, 1.0, 20.0])
    unseen = relative_fit(np.column_stack([x, np.zeros(40)]), law).leverage(np.array([[0.0, 0.0, 0.0, 1.0]]))
    assert unseen[0] > 1
