"""Likelihood of cumulative logits against its definition and finite differences; repair of crossing probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.stats.ordinal_logit import (
    Sample,
    class_probabilities,
    cumulate,
    curvature,
    loss,
    loss_and_gradient,
    uncumulate,
)


def plain_loss(x: Any, y: Any, theta: Any) -> float:
    """The definition, row by row."""
    total = 0.0
    for row, label in zip(x, y, strict=True):
        beta = np.cumsum(theta[1:], axis=1)
        below = [0.0, *(1 / (1 + np.exp(-(theta[0, k] + row @ beta[:, k]))) for k in range(theta.shape[1])), 1.0]
        total -= np.log(below[label + 1] - below[label])
    return total / len(y)


@pytest.mark.exact
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_loss_and_gradient_are_the_definition(classes: int) -> None:
    rng = np.random.default_rng(classes)
    x, y = rng.standard_normal((80, 4)), rng.permutation(np.arange(80) % classes)
    sample = Sample.of(x, y)
    theta = sample.null() + 0.05 * rng.standard_normal((5, classes - 1))
    value, gradient = loss_and_gradient(sample, sample.eta(theta))
    assert value == pytest.approx(plain_loss(x, y, theta), rel=1e-12)
    for at in np.ndindex(theta.shape):
        ahead, behind = theta.copy(), theta.copy()
        ahead[at] += 1e-5
        behind[at] -= 1e-5
        numeric = (plain_loss(x, y, ahead) - plain_loss(x, y, behind)) / 2e-5
        assert gradient[at] == pytest.approx(numeric, abs=1e-8)


@pytest.mark.exact
def test_loss_does_not_cancel_in_the_tails() -> None:
    x, y = np.array([[1.0], [1.0], [1.0]]), np.array([0, 1, 2])
    sample = Sample.of(x, y)
    for shift in (-600.0, 0.0, 600.0):
        value = loss(sample, np.tile([shift, shift + 1e-3], (3, 1)))
        up, low = max(-shift, 0.0), max(shift + 1e-3, 0.0)
        inner = abs(shift) - np.log(1e-3) if shift else -np.log(2.5e-4)
        ends = up + low if shift else 2 * np.log(2)
        assert value == pytest.approx((ends + inner) / 3, rel=1e-3)
    assert loss(sample, np.tile([1.0, 1.0], (3, 1))) == np.inf


@pytest.mark.property
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_reverse_sum_is_the_adjoint(rows: int, boundaries: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, rows, boundaries))
    assert np.sum(cumulate(a) * b) == pytest.approx(np.sum(a * uncumulate(b)), abs=1e-12)


@pytest.mark.exact
def test_metric_is_the_expected_curvature() -> None:
    """Mean of squared scores of single rows drawn from the null model, over all classes and signs of a feature."""
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    y = np.repeat(np.arange(4), (shares * 40).astype(int))
    x = np.concatenate([np.ones(40), -np.ones(40)])[:, None]
    sample = Sample.of(x, np.tile(y, 2))
    expected = np.zeros((2, 3))
    null = sample.null()
    for label, share in enumerate(shares):
        below = np.array([0, *(1 / (1 + np.exp(-null[0]))), 1])
        density = below * (1 - below)
        d_eta = np.zeros(5)
        d_eta[label + 1] += density[label + 1] / share
        d_eta[label] -= density[label] / share
        d = d_eta[1:4]
        expected[0] += share * d**2
        expected[1] += share * np.cumsum(d[::-1])[::-1] ** 2
    assert np.allclose(curvature(sample), expected, rtol=1e-12)


@pytest.mark.property
@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=8))
def test_crossing_is_repaired_by_the_nearest_order(rows: list[list[float]]) -> None:
    from sklearn.isotonic import isotonic_regression

    below = np.array(rows)
    found = class_probabilities(below)
    assert np.allclose(found.sum(axis=1), 1) and (found >= 0).all()
    expected = np.array([isotonic_regression(row) for row in below])
    assert np.allclose(np.cumsum(found, axis=1)[:, :-1], expected, atol=1e-12)
