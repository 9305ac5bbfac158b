"""The path of PRESTO: one fit a penalty strength, from the null model down, each starting at the one before.

Features are standardised (population standard deviation) for the fit and the coefficients are given in the units of
the features: beta_k / sd, and alpha_k - mean'beta_k / sd with the *cumulated* beta_k. (The public R code of the paper
takes psi_k there, which is wrong for features whose mean is not zero once K >= 3.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.stats.ordinal_logit import (
    Codes,
    Floats,
    Sample,
    class_probabilities,
    crossed,
    cumulate,
    cumulative,
    curvature,
    loss_and_gradient,
)
from hwsim.stats.proximal import Minimum, held, minimise

_CONSTANT = 1e-12  # a standard deviation below this share of the largest value is rounding


@dataclass(frozen=True, slots=True)
class PathRules:
    """How a path is fitted.

    Attributes
    ----------
    penalize_base : psi_1 is penalised too, so that infinite strength leaves only intercepts (as in the paper's code);
        without it, infinite strength leaves proportional odds.
    parallel : no differences at all and no penalty: proportional odds, or logistic regression with two classes.
    count, least : strengths, and the last as a share of the first.
    tolerance, max_iterations : of each fit, see `stats.proximal.minimise`.
    """

    penalize_base: bool = True
    parallel: bool = False
    count: int = 20
    least: float = 0.01
    tolerance: float = 1e-5
    max_iterations: int = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class OrdinalPath:
    """Coefficients of every strength, strongest first, in the units of the features.

    Attributes
    ----------
    strengths : lambda, on standardised features, (strengths,).
    alpha : intercepts, (strengths, boundaries).
    psi : beta_1 and differences of neighbouring boundaries, (strengths, boundaries, features).
    objective : mean of minus the log-likelihood, plus penalty.
    iterations, converged : of each fit.
    """

    strengths: Floats
    alpha: Floats
    psi: Floats
    objective: Floats
    iterations: Codes
    converged: Floats

    @property
    def beta(self) -> Floats:
        """Weights of the boundaries, (strengths, boundaries, features)."""
        return np.asarray(np.cumsum(self.psi, axis=1))

    def only(self, index: int) -> OrdinalPath:
        """The path of one of the strengths."""
        return OrdinalPath(*(getattr(self, name)[index : index + 1] for name in self.__slots__))

    def below(self, x: Floats) -> Floats:
        """P(Y <= k | x) before any repair, (strengths, rows, boundaries)."""
        return cumulative(x @ self.beta.transpose(0, 2, 1) + self.alpha[:, None, :])

    def probabilities(self, x: Floats) -> Floats:
        """Of every class, (strengths, rows, classes)."""
        return class_probabilities(self.below(x))

    def crossing(self, x: Floats) -> Floats:
        """Share of rows whose cumulative probabilities cross and are projected, (strengths,)."""
        return np.asarray(crossed(self.below(x)).mean(axis=1))

    def as_dict(self) -> dict[str, Any]:
        """Lists of numbers."""
        return {name: getattr(self, name).tolist() for name in self.__slots__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OrdinalPath:
        numbers = {name: np.asarray(data[name], dtype=np.float64) for name in cls.__slots__ if name != "iterations"}
        return cls(**numbers, iterations=np.asarray(data["iterations"], dtype=np.intp))


def standardised(x: Floats) -> tuple[Floats, Floats, Floats]:
    """(features of mean 0 and standard deviation 1, means, deviations); a constant feature becomes zero."""
    mean = x.mean(axis=0)
    deviation = x.std(axis=0)
    deviation[deviation <= _CONSTANT * np.abs(x).max(axis=0)] = np.inf
    return (x - mean) / deviation, mean, deviation


def fit_path(x: Floats, codes: Codes, rules: PathRules, strengths: Floats | None = None) -> OrdinalPath:
    """Fit every strength; without any, `rules.count` of them from the smallest that leaves the null model.

    Parameters
    ----------
    x : (rows, features), finite.
    codes : 0..K-1, all of which occur.
    strengths : decreasing.
    """
    features, mean, deviation = standardised(x)
    sample = Sample.of(features, codes)
    metric = curvature(sample)
    weight = np.ones_like(metric)
    weight[0] = 0
    weight[1:, 0] = float(rules.penalize_base)
    if rules.parallel:
        weight[1:, 0] = 0
    fit = _null(sample, metric, weight, rules)
    if strengths is None:
        strengths = grid(sample, fit.theta, weight, rules)
    fits: list[Minimum] = []
    for strength in [] if rules.parallel else strengths:
        fit = minimise(
            sample,
            fit.theta,
            strength * weight,
            metric,
            tolerance=rules.tolerance,
            max_iterations=rules.max_iterations,
            stiffness=max(fit.stiffness / 2, 1.0),
        )
        fits.append(fit)
    return _in_units(fits or [fit], np.zeros(1) if rules.parallel else strengths, mean, deviation)


def _null(sample: Sample, metric: Floats, weight: Floats, rules: PathRules) -> Minimum:
    """The fit with everything that is penalised at zero."""
    start, bound = sample.null(), held(weight)
    return minimise(sample, start, bound, metric, tolerance=rules.tolerance, max_iterations=rules.max_iterations)


def grid(sample: Sample, null: Floats, weight: Floats, rules: PathRules) -> Floats:
    """Strengths in even ratios from the largest score at the null model, below which some penalised entry moves."""
    score = np.abs(loss_and_gradient(sample, sample.eta(null))[1])
    largest = float(score[weight > 0].max(initial=0.0))
    if not largest > 0:  # nothing to penalise, or constant features: any strength is as good
        largest = 1.0
    return np.asarray(largest * rules.least ** np.linspace(0, 1, rules.count))


def _in_units(fits: list[Minimum], strengths: Floats, mean: Floats, deviation: Floats) -> OrdinalPath:
    theta = np.stack([fit.theta for fit in fits])
    psi = (theta[:, 1:] / deviation[:, None]).transpose(0, 2, 1)
    beta = np.stack([cumulate(one)[1:].T for one in theta]) / deviation
    return OrdinalPath(
        strengths=strengths,
        alpha=theta[:, 0] - beta @ mean,
        psi=psi,
        objective=np.array([fit.objective for fit in fits]),
        iterations=np.array([fit.iterations for fit in fits], dtype=np.intp),
        converged=np.array([float(fit.converged) for fit in fits]),
    )
