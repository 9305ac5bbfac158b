"""A drift that is no line is found again."""

import numpy as np

from hwsim.latency.measured.drift import drift_curve, drift_us


def test_a_bent_drift_is_found_to_a_few_microseconds() -> None:
    rng = np.random.default_rng(0)
    place = np.linspace(0, 1, 4000)
    true = np.exp(rng.normal(6, 1, 4000))
    drift = 300 * place**2
    measured = true * np.exp(rng.normal(0, 0.05, 4000)) + drift
    found = drift_curve(place, measured, true).at(place)
    assert np.abs(found - drift).max() < 12
    assert np.abs(drift_us(place, measured) * place - drift).max() > 30


def test_no_drift_no_overhead() -> None:
    place = np.linspace(0, 1, 400)
    assert np.all(drift_curve(place, np.full(400, 50.0), np.full(400, 50.0)).at(place) == 0)
