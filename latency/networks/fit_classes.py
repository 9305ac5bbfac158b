"""Least squares for the factors of a class model: on log time, robust, each factor drawn to a prior.

    minimise  sum_i rho((log T_i - log T^_i) / SPREAD) + sum_j ((log f_j - log prior_j) / sd_j)^2
    rho(r) = (2 asinh(r / 2))^2

A class that few networks hold stays near its prior, so that a network of a new kind is predicted by what its kinds of
kernels usually take. scipy is imported inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.work_classes import LAUNCHES, TERMS, WEIGHTS
from hwsim.latency.simulator.table import Array

SPREAD = 0.07  # of log errors that count fully; larger ones count by their logarithm
_FACTOR_SD, _HOST_SD = 0.7, 1.0
_OVERLAP = 4.0
_TELLING_SHARE = 0.02
_LAUNCHES = TERMS.index(LAUNCHES)


@dataclass(frozen=True, slots=True)
class Prior:
    """Where factors are drawn to, as logarithms, and how far they may be: `TERMS`, host_us, overlap - 1."""

    centre: Array
    sd: Array

    @classmethod
    def of(cls, model: ClassModel, sd: float = _FACTOR_SD) -> Prior:
        """Around another device's or a pooled model."""
        centre = np.log([*model.factors, model.host_us, model.overlap - 1])
        return cls(centre, np.append(np.full(len(TERMS), sd), (_HOST_SD, _HOST_SD)))

    @classmethod
    def plain(cls, host_us: float, sd: float = _FACTOR_SD) -> Prior:
        """Before anything was measured: products at 70 % of the peak, data at 75 % of the bandwidth."""
        factors = np.array([1 / 0.7 if name.endswith(":compute") else 1 / 0.75 for name in TERMS])
        factors[_LAUNCHES], factors[TERMS.index(WEIGHTS)] = 1.5, 0.5
        return cls.of(ClassModel(factors, host_us, _OVERLAP), sd)


def fit_classes(sums: Array, latency_us: Array, prior: Prior, weights: Array | None = None) -> ClassModel:
    """Factors that fit measured networks.

    Parameters
    ----------
    sums : (networks, `TERMS`), microseconds (`Work.sums`).
    weights : of the networks; None weighs all the same.
    """
    from scipy.optimize import least_squares

    seen = np.append(told_by(sums, np.exp(prior.centre[: len(TERMS)])), (True, True))
    target = np.log(latency_us)
    scale = (np.ones(len(target)) if weights is None else np.sqrt(weights)) / SPREAD

    def parts(free: Array) -> tuple[Array, Array]:
        x = prior.centre.copy()
        x[seen] = free
        return log_time(x, sums)

    def residual(free: Array) -> Array:
        r = (parts(free)[0] - target) * scale
        return np.concatenate([2 * np.arcsinh(r / 2), (free - prior.centre[seen]) / prior.sd[seen]])

    def jacobian(free: Array) -> Array:
        log_time, slope = parts(free)
        r = (log_time - target) * scale
        return np.vstack([slope[:, seen] * (scale / np.sqrt(1 + r * r / 4))[:, None], np.diag(1 / prior.sd[seen])])

    x = prior.centre.copy()
    x[seen] = least_squares(residual, prior.centre[seen], jac=jacobian, method="trf", max_nfev=80).x
    return ClassModel(np.exp(x[: len(TERMS)]), float(np.exp(x[-2])), 1 + float(np.exp(x[-1])))


def told_by(sums: Array, factors: Array) -> NDArray[np.bool_]:
    """Terms that networks tell something of: at least 2 % of the time of one of them.

    A classifier of a thousandth of a network's time would take any factor that mends an error made elsewhere.
    """
    parts = sums * factors
    share = parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(share.max(axis=0, initial=0.0) >= _TELLING_SHARE)


def log_time(x: Array, sums: Array) -> tuple[Array, Array]:
    """Log time of every network, and its slope in every parameter."""
    factors, host, q = np.exp(x[:-2]), np.exp(x[-2]), 1 + np.exp(x[-1])
    pieces = sums * factors
    gpu, launched = np.maximum(pieces.sum(axis=1), 1e-12), sums[:, _LAUNCHES] * host
    top = np.maximum(gpu, launched)
    a, b = (gpu / top) ** q, (launched / top) ** q
    total = a + b
    log_time = np.log(top) + np.log(total) / q
    on_gpu, on_host = a / total, b / total  # slopes in log gpu and log host
    ratio = (a * np.log(np.maximum(gpu / top, 1e-30)) + b * np.log(np.maximum(launched / top, 1e-30))) / total
    in_q = (ratio / q - np.log(total) / q**2) * (q - 1)
    slope = np.column_stack([pieces / gpu[:, None] * on_gpu[:, None], on_host, in_q])
    return log_time, slope


def row_weights(family: NDArray[np.str_], power: float = 0.5) -> Array:
    """Weights that let a family of n networks count as n^power, with a mean of 1."""
    _, inverse, counts = np.unique(family, return_inverse=True, return_counts=True)
    weights = counts[inverse] ** (power - 1.0)
    return np.asarray(weights / weights.mean())
