"""Oblivious trees against scikit-learn's boosting, and their evaluation against a walk by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from hwsim.stats.oblivious_boosting import ObliviousBoosting, ObliviousTrees


def friedman(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Friedman's first function (Annals of Statistics 19, 1991)."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 8))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return x, y + rng.normal(0, 1, n)


@pytest.mark.truth
def test_as_good_as_scikit_learn() -> None:
    x, y = friedman(3000, 0)
    fresh, wanted = friedman(2000, 1)
    ours = ObliviousBoosting(trees=300, depth=5, rate=0.1).fit(x, y).predict(fresh)
    theirs = HistGradientBoostingRegressor(max_iter=300, learning_rate=0.1, max_leaf_nodes=16, random_state=0)
    error = np.mean((ours - wanted) ** 2)
    assert error < 1.05 * np.mean((theirs.fit(x, y).predict(fresh) - wanted) ** 2)
    assert error < 0.1 * np.var(wanted)


@pytest.mark.exact
def test_evaluation_by_hand() -> None:
    rng = np.random.default_rng(2)
    trees = ObliviousTrees(
        rng.integers(0, 4, (6, 3)).astype(np.int16), rng.random((6, 3)).astype(np.float32),
        rng.normal(size=(6, 8)).astype(np.float32), 0.5,
    )  # fmt: skip
    x = rng.random((300, 4)).astype(np.float32)
    assert trees.predict(x[:20]) == pytest.approx(trees.predict(x)[:20], abs=1e-5), "few rows take another way"
    for row, found in zip(x, trees.predict(x), strict=True):
        total = 0.5
        for features, thresholds, values in zip(trees.features, trees.thresholds, trees.values, strict=True):
            bits = "".join("1" if row[f] > t else "0" for f, t in zip(features, thresholds, strict=True))
            total += values[int(bits, 2)]
        assert found == pytest.approx(total, abs=1e-5)


@pytest.mark.exact
def test_seeded_and_clipped() -> None:
    x, y = friedman(500, 3)
    how = ObliviousBoosting(trees=40, depth=4)
    assert np.array_equal(how.fit(x, y).values, how.fit(x, y).values)
    wild = y.copy()
    wild[:5] += 1e4
    plain, calm = (ObliviousBoosting(trees=60, depth=4, clip=c).fit(x, wild).predict(x[5:]) for c in (None, 5.0))
    assert np.abs(calm - y[5:]).mean() < 0.2 * np.abs(plain - y[5:]).mean()


@pytest.mark.exact
def test_constant_features_and_targets() -> None:
    x = np.zeros((20, 2))
    assert ObliviousBoosting(trees=3, depth=2).fit(x, np.full(20, 7.0)).predict(x) == pytest.approx(7.0)
