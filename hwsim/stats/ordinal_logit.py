"""Cumulative logits with weights of their own at every boundary: likelihood, gradient, curvature, probabilities.

P(Y <= k | x) = sigmoid(eta_k), eta_k = alpha_k + beta_k'x for the boundaries k = 1..K-1 of K ordered classes; the
parameters are alpha and the differences psi_1 = beta_1, psi_k = beta_k - beta_(k-1), so that a penalty on |psi| fuses
neighbouring boundaries (Faletto and Bien, Predicting rare events by shrinking towards proportional odds, ICML 2023,
section 2). Minus the log-likelihood is convex in them: the logistic density is log-concave, and so is its integral
over an interval as a function of the two ends (Pratt, Concavity of the log likelihood, JASA 1981).

A matrix `theta` (1 + features, boundaries) holds alpha in its first row and psi below; codes are 0..K-1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
_LEAST_GAP = 1e-12  # boundaries nearer than this count as crossed: the likelihood of the class between them is nil


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows sorted by class, and where in eta (rows, boundaries) the ends of each row's class lie.

    Attributes
    ----------
    design : (rows, 1 + features), the first column all ones.
    upper : flat positions of the upper boundary; rows of the last class, at the end, have none.
    lower : flat positions of the lower boundary; rows of the first class, at the beginning, have none.
    first : rows of the first class.
    shares : of each class.
    """

    design: Floats
    upper: Codes
    lower: Codes
    first: int
    shares: Floats

    @classmethod
    def of(cls, features: Floats, codes: Codes) -> Sample:
        """From features as the penalty shall see them, and codes 0..K-1 that all occur."""
        order = np.argsort(codes, kind="stable")
        y = codes[order]
        counts = np.bincount(y)
        boundaries = len(counts) - 1
        start = np.arange(len(y)) * boundaries
        design = np.column_stack([np.ones(len(y)), features[order]])
        upper = (start + y)[y < boundaries]
        return cls(design, upper, (start + y - 1)[y > 0], int(counts[0]), counts / len(y))

    def eta(self, theta: Floats) -> Floats:
        """Logits of the cumulative probabilities, (rows, boundaries)."""
        return np.asarray(self.design @ cumulate(theta))

    def null(self) -> Floats:
        """The fit without features: alpha are the logits of the cumulative shares."""
        theta = np.zeros((self.design.shape[1], len(self.shares) - 1))
        below = np.cumsum(self.shares)[:-1]
        theta[0] = np.log(below / (1 - below))
        return theta


def cumulate(theta: Floats) -> Floats:
    """alpha and beta from alpha and psi: sums along the boundaries, the first row left as it is."""
    found = np.cumsum(theta, axis=1)
    found[0] = theta[0]
    return found


def uncumulate(gradient: Floats) -> Floats:
    """Adjoint of `cumulate`: psi_k moves the boundaries from k on, so its gradient is their sum."""
    found = np.cumsum(gradient[:, ::-1], axis=1)[:, ::-1]
    found[0] = gradient[0]
    return found


def loss(sample: Sample, eta: Floats) -> float:
    """Minus the mean log-likelihood; inf where the boundaries of a row's class cross."""
    return _likelihood(sample, eta, False)[0]


def loss_and_gradient(sample: Sample, eta: Floats) -> tuple[float, Floats]:
    """Minus the mean log-likelihood and its gradient with respect to theta; (inf, zeros) outside the domain."""
    value, slopes = _likelihood(sample, eta, True)
    return value, uncumulate(sample.design.T @ slopes)


def _likelihood(sample: Sample, eta: Floats, with_slopes: bool) -> tuple[float, Floats]:
    """Loss and its gradient with respect to eta (an empty array where not asked for), without cancellation.

    log(sigmoid(u) - sigmoid(l)) = log sigmoid(u) + log sigmoid(-l) + log(1 - exp(l - u)).
    """
    rows, flat = len(eta), eta.ravel()
    up, low = flat[sample.upper], flat[sample.lower]
    middle = len(up) - sample.first  # rows with both ends: the last of `up`, the first of `low`
    gap = up[sample.first :] - low[:middle]
    slopes = np.zeros_like(eta)
    if middle and not gap.min() > _LEAST_GAP:
        return np.inf, slopes
    tail_up, tail_low = np.exp(-np.abs(up)), np.exp(-np.abs(low))
    value = np.log1p(tail_up).sum() - np.minimum(up, 0).sum() + np.log1p(tail_low).sum() + np.maximum(low, 0).sum()
    value -= np.log(-np.expm1(-gap)).sum()
    if with_slopes:
        with np.errstate(over="ignore"):
            pinch = 1 / np.expm1(gap)
        beyond = np.where(up >= 0, tail_up, 1) / (1 + tail_up)
        below = np.where(low >= 0, 1, tail_low) / (1 + tail_low)
        beyond[sample.first :] += pinch
        below[:middle] += pinch
        target = slopes.reshape(-1)
        target[sample.upper] = -beyond / rows
        target[sample.lower] += below / rows
    return float(value) / rows, slopes


def curvature(sample: Sample) -> Floats:
    """Diagonal of the expected Hessian with respect to theta at the null model, features of mean 0 and variance 1.

    With F_k the cumulative and pi_k the class shares, the information of eta is tridiagonal: f_k^2 (1 / pi_k +
    1 / pi_(k+1)) on the diagonal and -f_k f_(k+1) / pi_(k+1) beside it, f_k = F_k (1 - F_k) [derived].
    """
    below = np.cumsum(sample.shares)[:-1]
    density, weight = below * (1 - below), 1 / sample.shares
    information = np.diag(density**2 * (weight[:-1] + weight[1:]))
    beside = -density[:-1] * density[1:] * weight[1:-1]
    information += np.diag(beside, 1) + np.diag(beside, -1)
    found = np.empty((sample.design.shape[1], len(below)))
    found[1:] = np.diag(np.cumsum(np.cumsum(information[::-1, ::-1], axis=0), axis=1))[::-1]
    found[0] = np.diag(information)
    return found


def cumulative(eta: Floats) -> Floats:
    """sigmoid(eta)."""
    tail = np.exp(-np.abs(eta))
    return np.asarray(np.where(eta >= 0, 1, tail) / (1 + tail))


def crossed(below: Floats) -> NDArray[np.bool_]:
    """Rows (all but the last axis) whose cumulative probabilities fall somewhere."""
    return np.asarray((np.diff(below, axis=-1) < 0).any(axis=-1))


def class_probabilities(below: Floats) -> Floats:
    """Of every class from cumulative probabilities (..., boundaries); those that cross are projected first.

    The projection is the nearest non-decreasing sequence in least squares, by its min-max formula: the largest over
    starts a <= k of the smallest over ends b >= k of mean(F_a..F_b) (Robertson, Wright and Dykstra, Order Restricted
    Statistical Inference, 1988, theorem 1.4.4). It leaves sequences that do not fall as they are.
    """
    wrong = crossed(below)
    if wrong.any():
        below = below.copy()
        below[wrong] = _isotonic(below[wrong])
    shape = (*below.shape[:-1], 1)
    ends = np.concatenate([np.zeros(shape), below, np.ones(shape)], axis=-1)
    return np.asarray(np.maximum(np.diff(ends, axis=-1), 0))


def _isotonic(values: Floats) -> Floats:
    rows, width = values.shape
    sums = np.concatenate([np.zeros((rows, 1)), np.cumsum(values, axis=1)], axis=1)
    start, end = np.arange(width)[:, None], np.arange(width)[None, :]
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / np.maximum(end - start + 1, 1)
    means = np.where(end >= start, means, np.inf)  # (rows, a, b)
    least = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]  # over b >= k
    least = np.where(end >= start, least, -np.inf)
    return np.asarray(np.clip(least.max(axis=1), 0, 1))
