"""The process against scikit-learn with the same covariance, and its gradient against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.cost_models.surface.gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    _loss,
    fit_hyperparameters,
    noise_variance,
)


def data(rows: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (rows, 2))
    x[0], x[1] = 0.0, 1.0
    y = 0.1 * np.sin(6 * x[:, 0]) + 0.05 * x[:, 1] + 0.01 * rng.standard_normal(rows)
    return x, y, rng.uniform(5, 200, rows)


@pytest.mark.truth
def test_predictions_are_those_of_scikit_learn() -> None:
    process = pytest.importorskip("sklearn.gaussian_process")
    kernels = pytest.importorskip("sklearn.gaussian_process.kernels")
    x, y, size = data()
    h = Hyperparameters((0.4, 0.9), 0.12, 0.02, 0.5)
    kernel = kernels.ConstantKernel(0.12**2, "fixed") * kernels.Matern((0.4, 0.9), "fixed", nu=2.5)
    outside = process.GaussianProcessRegressor(kernel, alpha=noise_variance(h, size), optimizer=None).fit(x, y)
    new = np.random.default_rng(1).uniform(-0.2, 1.2, (50, 2))
    mean, deviation = outside.predict(new, return_std=True)
    own_mean, own_deviation, open_share = GaussianProcess.condition(h, x, y, size).predict(new, np.full(50, 1e9))
    assert own_mean == pytest.approx(mean, abs=1e-8)
    assert own_deviation**2 - 0.02**2 == pytest.approx(deviation**2, abs=1e-8)
    assert open_share == pytest.approx(deviation / 0.12, abs=1e-4)


@pytest.mark.exact
def test_the_gradient_is_the_slope_of_the_loss() -> None:
    x, y, size = data(20)
    gaps = (x[:, None] - x[None]) ** 2
    theta = np.log([0.5, 1.3, 0.1, 0.03, 0.4])
    _, gradient = _loss(theta, gaps, y, size)
    for k in range(len(theta)):
        step = np.zeros(5)
        step[k] = 1e-5
        slope = (_loss(theta + step, gaps, y, size)[0] - _loss(theta - step, gaps, y, size)[0]) / 2e-5
        assert gradient[k] == pytest.approx(slope, rel=1e-4, abs=1e-5)


@pytest.mark.property
def test_search_finds_what_matters() -> None:
    """A coordinate without effect gets a long length scale; the noise is about what was put in."""
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, (120, 2))
    y = 0.2 * np.sin(8 * x[:, 0]) + 0.02 * rng.standard_normal(120)
    h = fit_hyperparameters(x, y, np.full(120, 1e6))
    assert h.lengths[1] > 3 * h.lengths[0]
    assert 0.01 < h.noise < 0.04


@pytest.mark.property
def test_far_from_data_nothing_is_known() -> None:
    x, y, size = data()
    h = Hyperparameters((0.1, 0.1), 0.12, 0.02, 0.5)
    mean, deviation, open_share = GaussianProcess.condition(h, x, y, size).predict(
        np.array([[50.0, 50.0]]), np.array([1e9])
    )
    assert mean[0] == pytest.approx(0, abs=1e-6)
    assert deviation[0] == pytest.approx(np.hypot(0.12, 0.02), rel=1e-3)
    assert open_share[0] == pytest.approx(1.0)


@pytest.mark.exact
def test_small_counts_are_noisier() -> None:
    h = Hyperparameters((1.0,), 0.1, 0.02, 0.5)
    small, large = np.sqrt(noise_variance(h, np.array([5.0, 500.0])))
    assert small == pytest.approx(np.hypot(0.02, 0.1), rel=1e-3)
    assert large == pytest.approx(0.02, rel=1e-2)
