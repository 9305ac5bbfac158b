"""A Gaussian process on log ratios: fitted by marginal likelihood, predicting in plain numpy.

The covariance is a Matern 5/2 function with one length scale a coordinate (Rasmussen and Williams, Gaussian Processes
for Machine Learning, 2006, eq. 4.17). Noise has two parts: a relative one, and one of so many counts, which is large
in units of few LUTs: one LUT more is 20 % of five and 0.5 % of two hundred. Hyperparameters maximise the marginal
likelihood (their eq. 5.8) times broad log-normal priors, without which forty rows leave length scales undecided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SQRT5 = 5.0**0.5
_JITTER = 1e-9
_CHUNK = 4096  # rows predicted at once
# medians and spreads of the priors of log length scales (of coordinates scaled to [0, 1]), amplitude and noises
_PRIOR_LENGTH, _PRIOR_AMPLITUDE, _PRIOR_NOISE, _PRIOR_COUNTS, _PRIOR_SPREAD = 0.7, 0.1, 0.02, 0.5, 1.0
_STARTS = (0.3, 1.0)  # length scales from which the search starts


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Of the covariance.

    Attributes
    ----------
    lengths : one a coordinate, in units of its range in the data.
    amplitude : standard deviation of the log ratio that the coordinates explain.
    noise : standard deviation of what they do not.
    count_noise : the same in counts.
    """

    lengths: tuple[float, ...]
    amplitude: float
    noise: float
    count_noise: float

    def as_list(self) -> list[float]:
        return [*self.lengths, self.amplitude, self.noise, self.count_noise]

    @classmethod
    def from_list(cls, values: list[float]) -> Hyperparameters:
        *lengths, amplitude, noise, counts = values
        return cls(tuple(lengths), amplitude, noise, counts)

    def rounded(self) -> Hyperparameters:
        """To five digits, as files keep them."""
        return self.from_list([float(f"{v:.5g}") for v in self.as_list()])


@dataclass(frozen=True, slots=True, eq=False)
class GaussianProcess:
    """Posterior of a function of zero prior mean.

    Attributes
    ----------
    hyperparameters : of the covariance.
    low, span : least value and range of each coordinate in the data.
    points : (rows, coordinates), scaled by them.
    alpha : (rows,), inverse covariance times targets.
    inverse : (rows, rows), of the covariance.
    """

    hyperparameters: Hyperparameters
    low: Floats
    span: Floats
    points: Floats
    alpha: Floats
    inverse: Floats

    @classmethod
    def condition(
        cls, hyperparameters: Hyperparameters, points: Floats, targets: Floats, size: Floats
    ) -> GaussianProcess:
        """Condition on data.

        Parameters
        ----------
        points, targets : (rows, coordinates) and (rows,).
        size : counts to which the targets are relative, (rows,), for the noise in counts.
        """
        low, span = points.min(axis=0), np.ptp(points, axis=0)
        span = np.where(span > 0, span, 1.0)
        scaled = (points - low) / span
        covariance = hyperparameters.amplitude**2 * matern(scaled, scaled, np.array(hyperparameters.lengths))
        covariance[np.diag_indices_from(covariance)] += noise_variance(hyperparameters, size)
        inverse = np.linalg.inv(covariance)
        inverse = (inverse + inverse.T) / 2
        return cls(hyperparameters, low, span, scaled, inverse @ targets, inverse)

    def predict(self, points: Floats, size: Floats) -> tuple[Floats, Floats, Floats]:
        """Mean, standard deviation (noise included) and the share of the amplitude that the data leave open.

        Parameters
        ----------
        points : (rows, coordinates).
        size : counts to which predictions are relative, (rows,).
        """
        h = self.hyperparameters
        mean, variance = np.empty(len(points)), np.empty(len(points))
        for start in range(0, len(points), _CHUNK):
            rows = slice(start, start + _CHUNK)
            across = h.amplitude**2 * matern((points[rows] - self.low) / self.span, self.points, np.array(h.lengths))
            mean[rows] = across @ self.alpha
            variance[rows] = h.amplitude**2 - np.einsum("ij,ij->i", across @ self.inverse, across)
        variance = np.maximum(variance, 0.0)
        return mean, np.sqrt(variance + noise_variance(h, size)), np.sqrt(variance) / h.amplitude


def matern(a: Floats, b: Floats, lengths: Floats) -> Floats:
    """Matern 5/2 correlations of two sets of points, (rows of a, rows of b)."""
    x, z = a / lengths, b / lengths
    squares = (x**2).sum(axis=1)[:, None] + (z**2).sum(axis=1)[None, :] - 2 * x @ z.T
    distance = np.sqrt(5.0 * np.maximum(squares, 0.0))
    return np.asarray((1 + distance + distance**2 / 3) * np.exp(-distance))


def noise_variance(h: Hyperparameters, size: Floats) -> Floats:
    """Of log ratios of counts of a size."""
    return np.asarray(h.noise**2 + (h.count_noise / np.maximum(size, 1.0)) ** 2 + _JITTER)


def fit_hyperparameters(
    points: Floats, targets: Floats, size: Floats, start: Hyperparameters | None = None, steps: int = 0
) -> Hyperparameters:
    """Maximum of the posterior density over several starts, or the best of `steps` steps from one."""
    from scipy.optimize import minimize

    d = points.shape[1]
    span = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0)) / np.where(span > 0, span, 1.0)
    gaps = (scaled[:, None, :] - scaled[None, :, :]) ** 2
    spread = max(float(np.std(targets)), 0.02)
    bounds = [(np.log(0.03), np.log(20.0))] * d + [(np.log(1e-3), np.log(3.0))] * 2 + [(np.log(0.01), np.log(5.0))]
    first = [np.log([length] * d + [spread, spread / 3, _PRIOR_COUNTS]) for length in _STARTS]
    if start is not None:
        first = [np.log(start.as_list())]
    best: Any = None
    for theta in first:
        found = minimize(
            _loss,
            np.clip(theta, *np.array(bounds).T),
            (gaps, targets, size),
            "L-BFGS-B",
            jac=True,
            bounds=bounds,
            options={"maxiter": steps or 15_000},
        )
        if best is None or found.fun < best.fun:
            best = found
    return Hyperparameters.from_list([float(v) for v in np.exp(best.x)]).rounded()


def _loss(theta: Floats, gaps: Floats, targets: Floats, size: Floats) -> tuple[float, Floats]:
    """Minus the log posterior density of the logs of the hyperparameters, and its gradient."""
    n, d = len(targets), gaps.shape[2]
    values = np.exp(theta)
    h = Hyperparameters.from_list([float(v) for v in values])
    scaled = gaps / values[:d] ** 2
    distance = _SQRT5 * np.sqrt(scaled.sum(axis=2))
    decay = h.amplitude**2 * np.exp(-distance)
    smooth = decay * (1 + distance + distance**2 / 3)
    covariance = smooth + np.diag(noise_variance(h, size))
    try:
        lower = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return 1e12, np.zeros_like(theta)
    inverse = np.linalg.inv(covariance)
    alpha = inverse @ targets
    loss = 0.5 * targets @ alpha + np.log(np.diag(lower)).sum() + 0.5 * n * np.log(2 * np.pi)
    weight = inverse - np.outer(alpha, alpha)  # d loss = trace(weight d covariance) / 2
    slope = (5.0 / 3.0) * decay * (1 + distance) * weight
    gradient = np.empty_like(theta)
    gradient[:d] = 0.5 * np.einsum("ij,ijk->k", slope, scaled)
    gradient[d] = np.sum(weight * smooth)
    gradient[d + 1] = np.trace(weight) * h.noise**2
    gradient[d + 2] = np.sum(np.diag(weight) * (h.count_noise / np.maximum(size, 1.0)) ** 2)
    centre = np.log([_PRIOR_LENGTH] * d + [_PRIOR_AMPLITUDE, _PRIOR_NOISE, _PRIOR_COUNTS])
    away = (theta - centre) / _PRIOR_SPREAD
    return float(loss + 0.5 * away @ away), gradient + away / _PRIOR_SPREAD
