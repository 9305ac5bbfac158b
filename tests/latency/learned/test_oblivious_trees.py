"""Oblivious trees: evaluation by definition, and fits as good as scikit-learn's."""

import numpy as np
import pytest

from hwsim.stats.oblivious_boosting import ObliviousBoosting, ObliviousTrees


@pytest.mark.parametrize("depth", [1, 6, 8, 9])
def test_sum_is_that_of_the_leaves(depth: int) -> None:
    rng = np.random.default_rng(depth)
    features = rng.integers(0, 5, (20, depth)).astype(np.int16)
    thresholds = rng.random((20, depth)).astype(np.float32)
    values = rng.random((20, 1 << depth)).astype(np.float32)
    x = rng.random((17_000, 5)).astype(np.float32)
    leaf = np.zeros((len(x), 20), dtype=int)
    for level in range(depth):
        leaf = 2 * leaf + (x[:, features[:, level]] > thresholds[:, level])
    expected = 0.5 + values[np.arange(20), leaf].sum(axis=1)
    found = ObliviousTrees(features, thresholds, values, 0.5).predict(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_as_good_as_other_boosting() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    x = rng.random((4000, 6))
    y = np.sin(6 * x[:, 0]) * x[:, 1] + (x[:, 2] > 0.4) + 0.05 * rng.standard_normal(4000)
    ours = ObliviousBoosting(trees=300, depth=5, feature_share=1.0).fit(x[:3000], y[:3000]).predict(x[3000:])
    other = ensemble.HistGradientBoostingRegressor(max_iter=300, random_state=0).fit(x[:3000], y[:3000])
    theirs = other.predict(x[3000:])
    assert np.std(ours - y[3000:]) < 1.1 * np.std(theirs - y[3000:])
