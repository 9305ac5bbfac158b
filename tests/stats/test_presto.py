"""PRESTO against optimality conditions, outside solvers, and cross-validation by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.errors import InputError
from hwsim.stats import OrdinalRisk
from hwsim.stats.ordinal_logit import (
    Sample,
    class_probabilities,
    cumulative,
    curvature,
    loss,
    loss_and_gradient,
)
from hwsim.stats.presto_path import OrdinalPath, PathRules, fit_path, grid, standardised
from hwsim.stats.presto_tuning import scores, stratified_folds
from hwsim.stats.proximal import minimise, soft


def graded(seed: int, rows: int = 400, features: int = 4, classes: int = 4, dummies: int = 0) -> tuple[Any, Any]:
    """Features (the last `dummies` of them 0 or 1) and labels of a non-parallel model, every class present."""
    rng = np.random.default_rng(seed)
    while True:
        x = rng.standard_normal((rows, features))
        x[:, features - dummies :] = rng.random((rows, dummies)) < 0.3
        latent = x @ rng.uniform(-1, 1, features) + rng.logistic(size=rows)
        cuts = np.quantile(latent, np.linspace(0, 1, classes + 1)[1:-1] ** 0.6)
        y = (latent[:, None] + 0.4 * x[:, :1] * np.arange(classes - 1) > cuts).sum(axis=1)
        if (np.bincount(y, minlength=classes) > 5).all():
            return x, y


def sample_of(x: Any, y: Any) -> Sample:
    return Sample.of(standardised(x)[0], y)


@pytest.mark.exact
@pytest.mark.parametrize("penalize_base", [True, False])
def test_optimality_conditions_hold_along_the_path(penalize_base: bool) -> None:
    """Zero gradient where free, gradient = -lambda sign where not zero, at most lambda where zero."""
    x, y = graded(1, dummies=1)
    sample = sample_of(x, y)
    metric, weight = curvature(sample), np.ones((5, 3))
    weight[0] = 0
    weight[1:, 0] = float(penalize_base)
    null = sample.null()
    for strength in [*grid(sample, null, weight, PathRules())[::5], 0.0]:
        penalty = strength * weight
        found = minimise(sample, null, penalty, metric, tolerance=1e-9, max_iterations=5000)
        assert found.converged
        assert found.objective <= loss(sample, sample.eta(null)) + 1e-15
        gradient = loss_and_gradient(sample, sample.eta(found.theta))[1]
        zero = (found.theta == 0) & (penalty > 0)
        assert np.all(np.abs(gradient[zero]) <= penalty[zero] + 1e-8)
        assert np.allclose(gradient[~zero], -(penalty * np.sign(found.theta))[~zero], atol=1e-8)


@pytest.mark.property
def test_objective_never_rises() -> None:
    x, y = graded(2)
    sample = sample_of(x, y)
    metric, start = curvature(sample), sample.null()
    start[0] += [-3.0, 0.0, 5.0]
    penalty = np.full((5, 3), 0.01)
    penalty[0] = 0
    reached = [
        minimise(sample, start, penalty, metric, tolerance=0.0, max_iterations=n).objective for n in range(1, 60)
    ]
    assert reached[0] <= loss(sample, sample.eta(start))
    assert np.all(np.diff(reached) <= 1e-15)


@pytest.mark.property
@given(st.floats(-5, 5), st.floats(0, 3))
def test_soft_threshold_minimises(value: float, threshold: float) -> None:
    found = float(soft(np.array([value]), np.array([threshold]))[0])
    objective = [0.5 * (z - value) ** 2 + threshold * abs(z) for z in (found, 0.0, found + 1e-3, found - 1e-3)]
    assert objective[0] == min(objective)


@pytest.mark.truth
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_two_classes_are_the_lasso_of_scikit_learn(share: float) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = graded(3, classes=2)
    features = standardised(x)[0]
    sample = Sample.of(features, y)
    weight = np.array([[0.0], *[[1.0]] * 4])
    strength = share * float(grid(sample, sample.null(), weight, PathRules())[0])
    outside = LogisticRegression(
        l1_ratio=1.0, C=1 / (len(y) * strength), solver="saga", tol=1e-8, max_iter=5_000, random_state=0
    ).fit(features, y)
    model = OrdinalRisk(strength=strength, tolerance=1e-8).fit(x, y)
    assert np.allclose(model.psi_[0] * x.std(axis=0), -outside.coef_[0], atol=1e-5)
    assert np.allclose(model.predict_proba(x), outside.predict_proba(features), atol=1e-5)


@pytest.mark.truth
@pytest.mark.parametrize("penalty", ["presto", "proportional_odds"])
def test_without_penalty_it_is_the_maximum_of_the_likelihood(penalty: Any) -> None:
    """scipy's L-BFGS on the likelihood written plainly, with its own finite differences."""
    from scipy.optimize import minimize as outside

    x, y = graded(4, rows=600, dummies=1)
    blocks = 3 if penalty == "presto" else 1

    def objective(flat: Any) -> float:
        theta = np.zeros((5, 3))
        theta[0], theta[1:, :blocks] = flat[:3], flat[3:].reshape(4, blocks)
        beta = np.cumsum(theta[1:], axis=1)
        below = 1 / (1 + np.exp(-(theta[0] + x @ beta)))
        own = np.diff(np.column_stack([np.zeros(len(y)), below, np.ones(len(y))]), axis=1)[np.arange(len(y)), y]
        return float(-np.log(np.maximum(own, 1e-12)).mean())

    start = np.concatenate([Sample.of(x, y).null()[0], np.zeros(4 * blocks)])
    found = outside(objective, start, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-9})
    model = OrdinalRisk(penalty, strength=0.0, tolerance=1e-8).fit(x, y)
    assert model.converged_
    assert model.path_ is not None and model.path_.objective[0] <= found.fun + 1e-12
    assert model.path_.objective[0] == pytest.approx(found.fun, abs=1e-8)
    assert np.allclose(model.alpha_, found.x[:3], atol=1e-3)
    assert np.allclose(model.psi_.T[:, :blocks].ravel(), found.x[3:], atol=1e-3)


@pytest.mark.truth
def test_logistic_is_scikit_learn_without_penalty() -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = graded(5)
    outside = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(x, y == 3)
    model = OrdinalRisk("logistic", tolerance=1e-9).fit(x, y)
    assert np.allclose(model.rare_probability(x), outside.predict_proba(x)[:, 1], atol=1e-6)
    assert model.classes_.tolist() == [2, 3]
    assert model.predict_proba(x).shape == (400, 2)


@pytest.mark.exact
def test_the_strongest_penalty_leaves_the_null_model() -> None:
    x, y = graded(6)
    top = fit_path(x, y, PathRules(count=2))
    assert np.all(top.psi[0] == 0) and np.any(top.psi[1] != 0)
    assert np.allclose(cumulative(top.alpha[0]), np.cumsum(np.bincount(y))[:-1] / len(y))
    assert np.any(fit_path(x, y, PathRules(), top.strengths[:1] * 0.99).psi != 0)
    parallel = OrdinalRisk("proportional_odds", tolerance=1e-8).fit(x, y)
    fused = fit_path(x, y, PathRules(penalize_base=False, count=2, tolerance=1e-8))
    assert np.all(fused.psi[0, 1:] == 0) and np.any(fused.psi[1, 1:] != 0)
    assert np.allclose(fused.beta[0], parallel.beta_, atol=1e-6)
    assert np.allclose(parallel.beta_, parallel.beta_[0])
    far = OrdinalRisk(strength=1e6, penalize_base=False, tolerance=1e-8).fit(x, y)
    assert np.allclose(far.predict_proba(x), parallel.predict_proba(x), atol=1e-7)


@pytest.mark.property
@pytest.mark.parametrize("penalty", ["presto", "proportional_odds", "logistic"])
def test_units_and_origins_of_features_do_not_matter(penalty: Any) -> None:
    """With dummy variables and K = 4: the intercepts need the cumulated weights."""
    x, y = graded(7, features=5, dummies=2)
    factor, shift = np.array([1e3, -1e-2, 7.0, 2.0, -1.0]), np.array([5e3, 1.0, -40.0, 3.0, 1.0])
    ours = OrdinalRisk(penalty, tolerance=1e-8, strengths=8).fit(x, y)
    theirs = OrdinalRisk(penalty, tolerance=1e-8, strengths=8).fit(x * factor + shift, y)
    probabilities = ours.predict_proba(x)
    assert np.allclose(probabilities, theirs.predict_proba(x * factor + shift), atol=1e-7)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-14) and (probabilities >= 0).all()
    assert np.allclose(ours.beta_, theirs.beta_ * factor, atol=1e-6)
    assert np.allclose(ours.beta_, np.cumsum(ours.psi_, axis=0))


@pytest.mark.exact
def test_coefficients_in_units_are_optimal_in_standard_units() -> None:
    """With dummies and K = 4: alpha is moved by the mean times the cumulated weights."""
    x, y = graded(7, features=5, dummies=2)
    model = OrdinalRisk(strength=0.02, tolerance=1e-9).fit(x, y)
    features = standardised(x)[0]
    sample = Sample.of(features, y)
    theta = np.vstack([model.alpha_ + model.beta_ @ x.mean(axis=0), model.psi_.T * x.std(axis=0)[:, None]])
    gradient = loss_and_gradient(sample, sample.eta(theta))[1]
    assert np.allclose(gradient[0], 0, atol=1e-8)
    assert np.all(np.abs(gradient[1:]) <= 0.02 + 1e-8)


@pytest.mark.exact
def test_crossing_is_counted() -> None:
    path = OrdinalPath(
        np.zeros(1), np.array([[0.0, 1.0]]), np.array([[[0.0], [1.0]]]), np.zeros(1), np.ones(1, int), np.ones(1)
    )
    x = np.array([[-3.0], [-1.5], [0.0], [1.0]])
    assert path.crossing(x).tolist() == [0.5]
    assert np.allclose(path.probabilities(x)[0, 0].sum(), 1)
    assert path.probabilities(x)[0, 0, 1] == 0


@pytest.mark.exact
def test_scores_are_their_definitions() -> None:
    p, y = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]]), np.array([0, 0])
    assert scores(p, y, "brier") == pytest.approx((0.09 + 0.04 + 0.01 + 1 + 0.25 + 0.25) / 2)
    assert scores(p, y, "rare_brier") == pytest.approx((0.01 + 0.25) / 2)
    assert scores(p, y, "log_loss") == pytest.approx(-(np.log(0.7) + np.log(1e-8)) / 2)


@pytest.mark.property
@given(st.lists(st.integers(2, 40), min_size=2, max_size=5), st.integers(2, 10), st.integers(0, 99))
def test_folds_spread_every_class(counts: list[int], folds: int, seed: int) -> None:
    codes = np.repeat(np.arange(len(counts)), counts)
    found = stratified_folds(codes, folds, seed)
    used = min(folds, *counts)
    assert set(found.tolist()) == set(range(used))
    for label in range(len(counts)):
        inside = np.bincount(found[codes == label], minlength=used)
        assert inside.max() - inside.min() <= 1 and inside.min() >= 1


@pytest.mark.exact
def test_cross_validation_scores_cumulated_weights() -> None:
    """By hand: fits without the fold, probabilities from sums of psi, the largest lambda of the smallest mean."""
    x, y = graded(8, rows=200, classes=3)
    model = OrdinalRisk(folds=4, strengths=6, seed=3).fit(x, y)
    assert model.cv_ is not None and model.path_ is not None
    fold = stratified_folds(y, 4, 3)
    expected = []
    for number in range(4):
        out = fold == number
        path = fit_path(x[~out], y[~out], PathRules(), model.path_.strengths)
        for alpha, psi in zip(path.alpha, path.psi, strict=True):
            below = cumulative(alpha + x[out] @ np.cumsum(psi, axis=0).T)
            p = class_probabilities(below)
            expected.append(((p - np.eye(3)[y[out]]) ** 2).sum(axis=1).mean())
    mean = np.reshape(expected, (4, 6)).mean(axis=0)
    assert np.allclose(model.cv_.score, mean, rtol=1e-12)
    assert model.chosen_ == int(mean.argmin()) and model.lambda_ == model.path_.strengths[mean.argmin()]


@pytest.mark.exact
@pytest.mark.parametrize("score", ["brier", "log_loss", "rare_brier"])
def test_it_is_deterministic_and_survives_json(score: Any) -> None:
    x, y = graded(9, rows=150)
    model = OrdinalRisk(score=score, strengths=5, seed=2).fit(x, y * 10 - 5)
    again = OrdinalRisk(score=score, strengths=5, seed=2).fit(x, y * 10 - 5)
    text = json.dumps(model.as_dict(), allow_nan=False)
    assert text == json.dumps(again.as_dict())
    found = OrdinalRisk.from_dict(json.loads(text))
    assert found.as_dict() == model.as_dict()
    assert np.array_equal(found.predict_proba(x), model.predict_proba(x))
    assert set(found.predict(x).tolist()) <= {-5, 5, 15, 25}
    plain = OrdinalRisk("proportional_odds").fit(x, y)
    assert OrdinalRisk.from_dict(json.loads(json.dumps(plain.as_dict()))).as_dict() == plain.as_dict()


@pytest.mark.exact
def test_features_may_be_constant_and_labels_of_any_integer_kind() -> None:
    x, y = graded(10)
    padded = np.column_stack([x, np.full(len(y), 0.1)])
    expected = OrdinalRisk(strength=0.01).fit(x, y)
    for labels in (y.astype(np.uint8), y.astype(float), y.tolist()):
        found = OrdinalRisk(strength=0.01).fit(padded, labels)
        assert np.all(found.beta_[:, -1] == 0)
        assert np.allclose(found.predict_proba(padded), expected.predict_proba(x), atol=1e-12)
    nothing = OrdinalRisk(strengths=3).fit(np.ones((len(y), 1)), y)
    assert np.allclose(nothing.predict_proba([[1.0]]), np.bincount(y) / len(y))
    binary = OrdinalRisk(strength=0.01).fit(x, y == 3)
    assert binary.classes_.tolist() == [0, 1]


@pytest.mark.exact
def test_separated_classes_end_and_say_so() -> None:
    x = np.linspace(-1, 1, 30)[:, None]
    model = OrdinalRisk("proportional_odds", max_iterations=200).fit(x, np.repeat([0, 1, 2], 10))
    assert not model.converged_
    assert np.isfinite(model.predict_proba(x)).all()
    assert model.predict(x).tolist() == np.repeat([0, 1, 2], 10).tolist()


@pytest.mark.exact
@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        ({}, lambda x, y: (np.where(np.eye(len(y), 2) > 0, np.nan, x), y), "not finite, the first in row 0, column 0"),
        ({}, lambda x, y: (x, np.zeros(len(y), int)), "1 class among"),
        ({}, lambda x, y: (x, y + 0.5), "not integers, for instance 0.5"),
        ({}, lambda x, y: (x, y.astype(str)), "not integers, for instance '0'"),
        ({}, lambda x, y: (x, np.where(y == 2, np.nan, y)), "not integers, for instance nan"),
        ({}, lambda x, y: (x[:, 0], y), "features of shape"),
        ({}, lambda x, y: ([["a", "b"]], [1]), "not numbers"),
        ({}, lambda x, y: (x, y[:-1]), "labels of shape"),
        ({}, lambda x, y: (x, np.where(np.arange(len(y)) == 0, 3, np.minimum(y, 2))), "class number 4 of 4"),
        ({"penalty": "lasso"}, lambda x, y: (x, y), "penalty 'lasso'"),
        ({"score": "brie"}, lambda x, y: (x, y), "did you mean 'brier'"),
        ({"strength": -1.0}, lambda x, y: (x, y), "strength -1"),
        ({"folds": 1}, lambda x, y: (x, y), "1 folds"),
        ({"least": 1.0}, lambda x, y: (x, y), "a path of 20"),
    ],
)
def test_errors_name_what_is_wrong(settings: Any, change: Any, message: str) -> None:
    x, y = graded(11, rows=100, features=2, classes=3)
    with pytest.raises(InputError, match=message):
        OrdinalRisk(**settings).fit(*change(x, y))


@pytest.mark.exact
def test_few_rows_of_a_class_lower_the_folds() -> None:
    x, y = graded(11, rows=100, features=2, classes=3)
    rare = np.where(np.arange(len(y)) < 3, 3, np.minimum(y, 2))
    model = OrdinalRisk(strengths=3).fit(x, rare)
    assert model.cv_ is not None and model.cv_.folds == 3
    with pytest.raises(InputError, match="not fitted"):
        OrdinalRisk().predict(x)
    with pytest.raises(InputError, match="3 features, fitted on 2"):
        model.predict(np.zeros((1, 3)))


@pytest.mark.exact
def test_fit_and_prediction_need_numpy_alone() -> None:
    code = """
import sys
import numpy as np
from hwsim.stats import OrdinalRisk
x = np.random.default_rng(0).standard_normal((60, 2))
OrdinalRisk(strengths=2).fit(x, np.arange(60) % 3).predict_proba(x)
print(sorted({"scipy", "sklearn", "pandas", "torch"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.property
def test_two_classes_without_a_penalised_base_are_logistic_regression() -> None:
    x, y = graded(12, classes=2)
    ours = OrdinalRisk(penalize_base=False, strengths=2, tolerance=1e-8).fit(x, y)
    assert np.allclose(ours.predict_proba(x), OrdinalRisk("logistic", tolerance=1e-8).fit(x, y).predict_proba(x))
