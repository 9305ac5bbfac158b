"""CV+ and the jackknife+ against a slow reading of their definition, and their coverage."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pytest

from hwsim.core.errors import InputError
from hwsim.stats import CrossConformal, coverage


class Line:
    """Least squares."""

    def fit(self, x: Any, y: Any) -> Self:
        self.beta = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
        return self

    def predict(self, x: Any) -> Any:
        return np.column_stack([x, np.ones(len(x))]) @ self.beta


def slow_interval(x: Any, y: Any, fold: Any, new: Any, alpha: float) -> tuple[float, float]:
    """Barber et al. 2021, equation for CV+: order statistics floor(alpha (n + 1)) and ceil((1 - alpha)(n + 1))."""
    below, above = [], []
    for i in range(len(y)):
        model = Line().fit(x[fold != fold[i]], y[fold != fold[i]])
        r = abs(y[i] - model.predict(x[i : i + 1])[0])
        at = model.predict(new[None])[0]
        below.append(at - r)
        above.append(at + r)
    n = len(y)
    k = int(np.floor(round(alpha * (n + 1), 9)))
    m = int(np.ceil(round((1 - alpha) * (n + 1), 9)))
    low = sorted(below)[k - 1] if k >= 1 else -np.inf
    high = sorted(above)[m - 1] if m <= n else np.inf
    return low, high


@pytest.mark.exact
@pytest.mark.parametrize("rows", [5, 19, 24])
def test_it_is_the_definition(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x, new = rng.standard_normal((rows, 2)), rng.standard_normal((6, 2))
    y = x @ [1.0, -2.0] + rng.standard_normal(rows)
    for groups in (np.arange(rows), rng.integers(0, 4, rows)):
        model = CrossConformal(Line, coverage=0.9).fit(x, y, groups)
        low, high = model.predict_interval(new)
        slow = [slow_interval(x, y, groups, point, 0.1) for point in new]
        assert np.allclose(low, [s[0] for s in slow])
        assert np.allclose(high, [s[1] for s in slow])


@pytest.mark.property
@pytest.mark.parametrize(("folds", "rows"), [(40, 40), (5, 40)])
def test_coverage_of_exchangeable_rows(folds: int, rows: int) -> None:
    rng = np.random.default_rng(3)
    inside = []
    for trial in range(150):
        x = rng.standard_normal((rows + 20, 3))
        y = x @ [1.0, 2.0, 3.0] + rng.standard_t(3, rows + 20)
        model = CrossConformal(Line, coverage=0.8, folds=folds, seed=trial).fit(x[:rows], y[:rows])
        inside.append(coverage(y[rows:], *model.predict_interval(x[rows:])).share)
    assert 0.78 < np.mean(inside) < 0.88


@pytest.mark.property
def test_rows_of_a_new_group_need_groups_left_out() -> None:
    """Rows of a group share an offset: leaving out rows sees too little of it."""
    rng = np.random.default_rng(4)
    inside: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(100):
        offset = rng.standard_normal(21) * 3
        group = np.repeat(np.arange(21), 10)
        one_hot = np.eye(21)[group]
        y = offset[group] + 0.3 * rng.standard_normal(len(group))
        seen, new = group < 20, group == 20
        for by_group, shares in inside.items():
            names = group[seen] if by_group else None
            model = CrossConformal(Line, coverage=0.9, seed=1).fit(one_hot[seen], y[seen], names)
            shares.append(coverage(y[new], *model.predict_interval(one_hot[new])).share)
    assert np.mean(inside[False]) < 0.5
    assert np.mean(inside[True]) > 0.8  # 1 - 2 alpha, what the theorem promises


@pytest.mark.property
@pytest.mark.parametrize("residual", ["relative", "log"])
def test_relative_residuals_cover_too(residual: str) -> None:
    class Mean:
        def fit(self, x: Any, y: Any) -> Self:
            self.mean = float(np.exp(np.mean(np.log(y))))
            return self

        def predict(self, x: Any) -> Any:
            return np.full(len(x), self.mean)

    rng = np.random.default_rng(5)
    y = np.exp(rng.standard_normal(4000) * 0.2) * 50
    x = np.zeros((4000, 1))
    model = CrossConformal(Mean, residual=residual).fit(x[:400], y[:400])  # type: ignore[arg-type]
    low, high = model.predict_interval(x[400:])
    assert abs(coverage(y[400:], low, high).share - 0.9) < 0.04
    assert (low > 0).all()


@pytest.mark.exact
def test_one_group_is_refused() -> None:
    with pytest.raises(InputError, match="one fold"):
        CrossConformal(Line).fit(np.zeros((3, 1)), np.zeros(3), ["a", "a", "a"])
    with pytest.raises(InputError, match="before fit"):
        CrossConformal(Line).predict(np.zeros((1, 1)))


@pytest.mark.truth
def test_mapie_gives_the_same_interval() -> None:
    """MAPIE 1.x, `CrossConformalRegressor(method="plus")` on the same folds."""
    regression = pytest.importorskip("mapie.regression", reason="MAPIE is not installed")
    linear = pytest.importorskip("sklearn.linear_model")
    selection = pytest.importorskip("sklearn.model_selection")
    rng = np.random.default_rng(6)
    x, new = rng.standard_normal((60, 2)), rng.standard_normal((8, 2))
    y = x @ [1.0, -2.0] + rng.standard_normal(60)
    folds = np.arange(60) % 5
    cut = selection.PredefinedSplit(folds)
    outside = regression.CrossConformalRegressor(
        linear.LinearRegression(), confidence_level=0.9, method="plus", cv=cut
    ).fit_conformalize(x, y)
    _, ends = outside.predict_interval(new)
    low, high = CrossConformal(Line, coverage=0.9).fit(x, y, folds).predict_interval(new)
    assert np.allclose(low, ends[:, 0, 0])
    assert np.allclose(high, ends[:, 1, 0])
