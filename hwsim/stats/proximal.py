"""Accelerated proximal gradient descent (FISTA) on ordinal likelihoods with an L1 penalty.

Steps are taken in a fixed diagonal metric, the curvature at the null model, in which rare boundaries are as stiff as
common ones; the soft threshold stays separable. Backtracking doubles 1 / step (Beck and Teboulle, A fast iterative
shrinkage-thresholding algorithm, SIAM J. Imaging Sciences 2009, section 4); momentum is dropped whenever the
objective rises (O'Donoghue and Candes, Adaptive restart for accelerated gradient schemes, Found. Comput. Math. 2015)
or the extrapolated point leaves the domain. The objective therefore never rises.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, sqrt

import numpy as np

from hwsim.stats.ordinal_logit import Floats, Sample, loss, loss_and_gradient

_ROUNDING = 1e-14  # differences of the mean loss below this are noise
_STIFFEST = 1e16


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where a descent ended.

    Attributes
    ----------
    theta : (1 + features, boundaries), see `stats.ordinal_logit`.
    objective : loss plus penalty.
    iterations : steps taken.
    converged : the last step in the metric was within the tolerance.
    stiffness : 1 / step at the end, a good start for a neighbouring problem.
    """

    theta: Floats
    objective: float
    iterations: int
    converged: bool
    stiffness: float


def soft(values: Floats, threshold: Floats) -> Floats:
    """Move towards zero by `threshold`, and no further."""
    return np.asarray(np.sign(values) * np.maximum(np.abs(values) - threshold, 0))


def minimise(
    sample: Sample,
    start: Floats,
    penalty: Floats,
    metric: Floats,
    *,
    tolerance: float,
    max_iterations: int,
    stiffness: float = 1.0,
) -> Minimum:
    """Minimise loss + sum(penalty * |theta|) from `start`, which has to lie in the domain.

    Parameters
    ----------
    penalty : of each entry of theta; 0 leaves it free, inf holds it at zero.
    metric : positive, of each entry.
    tolerance : of the largest entry of a step times `stiffness`: an estimate of the error in theta.
    """
    free = np.isfinite(penalty)
    scale, cost = free / metric, np.where(free, penalty, 0.0)
    best = point = start * free
    eta_best = eta = sample.eta(best)
    objective, momentum, converged = loss(sample, eta) + float((cost * np.abs(best)).sum()), 1.0, False
    iteration = 0
    while iteration < max_iterations and not converged:
        iteration += 1
        value, gradient = loss_and_gradient(sample, eta)
        if not isfinite(value):
            point, eta, momentum = best, eta_best, 1.0
            continue
        gradient *= free
        while True:
            step = scale / stiffness
            new = soft(point - step * gradient, step * cost)
            move = new - point
            eta_new = sample.eta(new)
            value_new = loss(sample, eta_new)
            bound = value + float((gradient * move).sum() + stiffness / 2 * (metric * move * move).sum())
            if value_new <= bound + _ROUNDING * max(1.0, abs(value)) or stiffness > _STIFFEST:
                break
            stiffness *= 2
        converged = float(np.abs(move).max(initial=0)) * stiffness <= tolerance
        objective_new = value_new + float((cost * np.abs(new)).sum())
        if objective_new > objective:
            converged = converged or momentum == 1.0  # a plain step cannot rise but by rounding
            point, eta, momentum = best, eta_best, 1.0
            continue
        following = (1 + sqrt(1 + 4 * momentum**2)) / 2
        ahead = (momentum - 1) / following
        point, eta = new + ahead * (new - best), eta_new + ahead * (eta_new - eta_best)
        best, eta_best, objective, momentum = new, eta_new, objective_new, following
    return Minimum(best, objective, iteration, converged, stiffness)


def held(penalty: Floats) -> Floats:
    """The penalty that holds at zero whatever is penalised."""
    return np.where(penalty > 0, inf, 0.0)
