"""Convex weights over base models and levels: their shapes, how they mix, and global weights by their loss.

Base predictions are (rows, models J, levels m). Weights are a softmax of logits along the last axis:

- coarse, (J): one weight a model;
- medium, (m, J): one a model for each level to predict;
- fine, (m, J m): for each level to predict, one a model and level that it predicts, model by model.

Local weights have a leading axis of rows. Source: Fakoor et al., JMLR 2023, arXiv 2103.00083, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwsim.stats.crossing_penalty import CrossingPenalty, differences, penalty_and_slope
from hwsim.stats.quantile_metrics import Floats

Resolution = Literal["coarse", "medium", "fine"]
RESOLUTIONS: tuple[Resolution, ...] = ("coarse", "medium", "fine")
_SMOOTHING = (0.05, 0.01, 0.001)  # half-widths in standard deviations of the target, from coarse to nearly exact
_MOST_STEPS = 400  # of L-BFGS at each of them
_EXPLORED = 0.1  # weight spread evenly over the start, so that no softmax starts saturated
_NOTHING = 1e-12  # weight that stands for none, whose logarithm is finite


def logits_shape(resolution: Resolution, models: int, levels: int) -> tuple[int, ...]:
    return {"coarse": (models,), "medium": (levels, models), "fine": (levels, models * levels)}[resolution]


def softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def mix(weights: Floats, base: Floats, resolution: Resolution) -> Floats:
    """(rows, levels) from base predictions; `weights` are global, or local with a leading axis of rows."""
    rows, models, levels = base.shape
    if resolution == "fine":
        flat = base.reshape(rows, models * levels)
        found = flat @ weights.T if weights.ndim == 2 else np.matmul(weights, flat[:, :, None])[..., 0]
        return np.asarray(found)
    by_level = weights[..., None, :] if resolution == "coarse" else weights
    out = np.zeros((rows, levels))
    for j in range(models):
        out += by_level[..., j] * base[:, j]
    return out


def at_finer(logits: Floats, models: int, levels: int, resolution: Resolution) -> Floats:
    """Logits of `resolution` that mix as those of the next coarser one do, up to weights of 1e-12."""
    if resolution == "medium":
        return np.tile(logits, (levels, 1))
    weights = np.full((levels, models, levels), _NOTHING)
    for level in range(levels):
        weights[level, :, level] += softmax(logits[level])
    return np.asarray(np.log(weights)).reshape(levels, models * levels)


def explored(logits: Floats, share: float = _EXPLORED) -> Floats:
    """Logits whose weights are those of `logits` but for `share`, spread evenly."""
    return np.asarray(np.log((1 - share) * softmax(logits) + share / logits.shape[-1]))


@dataclass(frozen=True, slots=True)
class AggregationLoss:
    """Mean pinball loss of mixed quantiles plus the crossing penalty, on targets over their standard deviation.

    Attributes
    ----------
    base : (rows, models, levels).
    truth : (rows).
    pairs, margins : of the penalty, see `crossing_penalty`.
    """

    base: Floats
    truth: Floats
    levels: Floats
    resolution: Resolution
    weight: float
    pairs: Floats
    margins: Floats

    @classmethod
    def of(
        cls, base: Floats, truth: Floats, levels: Floats, resolution: Resolution, penalty: CrossingPenalty
    ) -> AggregationLoss:
        """Residuals for adaptive margins are those to the mean of the models at the level nearest to the median."""
        centre = base[:, :, int(np.argmin(np.abs(levels - 0.5)))].mean(axis=1)
        margins = penalty.margins(levels, truth - centre)
        return cls(base, truth, levels, resolution, penalty.weight, differences(len(levels)), margins)

    def at(self, resolution: Resolution) -> AggregationLoss:
        """The same loss of weights of another resolution."""
        return AggregationLoss(self.base, self.truth, self.levels, resolution, self.weight, self.pairs, self.margins)

    def of_quantiles(self, quantiles: Floats, smoothing: float = 0.0) -> tuple[float, Floats]:
        """Loss of (rows, levels) and its derivative by each of them.

        With `smoothing` h the pinball is tau or 1 - tau times the Huber function of half-width h (Aravkin et al.,
        Quantile Huber, arXiv 1402.4624).
        """
        u = self.truth[:, None] - quantiles
        side = np.where(u >= 0, self.levels, 1 - self.levels)
        size = np.abs(u)
        slope = np.minimum(size / smoothing, 1) if smoothing > 0 else np.ones_like(u)
        value = float(np.mean(side * slope * (size - smoothing * slope / 2)))
        gradient = -side * slope * np.sign(u) / u.size
        if self.weight > 0:
            crossing, by = penalty_and_slope(quantiles, self.pairs, self.margins, smoothing)
            value, gradient = value + self.weight * crossing, gradient + self.weight * by
        return value, gradient

    def of_logits(self, logits: Floats, smoothing: float = 0.0) -> tuple[float, Floats]:
        """Loss of global weights and its derivative by each of their logits."""
        weights = softmax(logits)
        value, by = self.of_quantiles(mix(weights, self.base, self.resolution), smoothing)
        rows, models, levels = self.base.shape
        if self.resolution == "fine":
            slope = by.T @ self.base.reshape(rows, models * levels)
        else:
            slope = np.stack([np.sum(by * self.base[:, j], axis=0) for j in range(models)], axis=-1)
            slope = slope.sum(axis=0) if self.resolution == "coarse" else slope
        return value, weights * (slope - np.sum(weights * slope, axis=-1, keepdims=True))


def fit_global(loss: AggregationLoss) -> Floats:
    """Logits of global weights by L-BFGS on smoothed losses, each resolution from the optimum of the one before.

    What is returned has the least exact loss met at the end of a stage, the coarser optimum included, so that a finer
    resolution never ends above a coarser one.
    """
    _, models, levels = loss.base.shape
    logits = np.zeros(models)
    for resolution in RESOLUTIONS[: RESOLUTIONS.index(loss.resolution) + 1]:
        if resolution != "coarse":
            logits = at_finer(logits, models, levels, resolution)
        logits = _descended(loss.at(resolution), logits)
    return logits


def _descended(loss: AggregationLoss, start: Floats) -> Floats:
    from scipy.optimize import minimize

    best, least = start, loss.of_logits(start)[0]
    here = explored(start)
    for smoothing in _SMOOTHING:

        def flat(z: Floats, h: float = smoothing) -> tuple[float, Floats]:
            value, slope = loss.of_logits(z.reshape(start.shape), h)
            return value, slope.ravel()

        found = minimize(flat, here.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _MOST_STEPS})
        here = np.asarray(found.x).reshape(start.shape)
        value = loss.of_logits(here)[0]
        if value < least:
            best, least = here, value
    return best
