"""Linear fits whose errors are relative: every row counts by |predicted / truth - 1|, whatever its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RIDGES = (1e-12, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # the least is for laws that are exact
TOLERANCE = 0.5  # standard errors
SMALL = 0.02  # relative errors up to here count squared, larger ones by their size
LARGE = 0.1  # and where ridges are compared, as much as this at most
_ROUNDS = 60


@dataclass(frozen=True, slots=True, eq=False)
class LinearFit:
    """Coefficients of features, and what the rows leave open of them.

    Attributes
    ----------
    coefficients : (features,).
    covariance : (features, features), of the coefficients where relative errors have a variance of 1.
    """

    coefficients: Floats
    covariance: Floats

    def leverage(self, features: Floats) -> Floats:
        """Standard deviation of features @ coefficients, for relative errors with a standard deviation of 1."""
        return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", features, self.covariance, features)))


def relative_fit(features: Floats, truth: Floats, *, ridges: Sequence[float] = RIDGES) -> LinearFit:
    """The fit of least relative errors, squared where they are small (Huber's loss), with a ridge.

    Parameters
    ----------
    features : (rows, features).
    truth : (rows,), positive.
    ridges : penalties to choose from, for columns scaled to a mean square of 1 and a row. The largest is taken whose
        mean absolute relative error on rows left out one at a time is within half a standard error of the smallest:
        laws are also used where there are no rows. The hat matrix gives that error without refitting (Hastie,
        Tibshirani and Friedman, The Elements of Statistical Learning, 2nd ed., sections 7.10 and 7.10.1).
    """
    columns, scale = _relative(features, truth)
    _, weights = _reweighted(columns, ridges[0], SMALL)
    left, values, _ = np.linalg.svd(columns * np.sqrt(weights)[:, None], full_matrices=False)
    target = left.T @ np.sqrt(weights)
    errors = []
    for ridge in ridges:
        kept = values**2 / (values**2 + ridge * len(truth))
        residual = 1.0 - left @ (kept * target) / np.sqrt(weights)
        errors.append(np.minimum(np.abs(residual) / np.maximum(1.0 - (left**2) @ kept, 1e-3), LARGE))
    means = np.array([error.mean() for error in errors])
    best = int(np.argmin(means))
    allowed = means[best] + TOLERANCE * errors[best].std() / np.sqrt(len(truth))
    ridge = max(r for r, mean in zip(ridges, means, strict=True) if mean <= allowed)
    fitted, weights = _reweighted(columns, ridge, SMALL)
    information = (columns * weights[:, None]).T @ columns + ridge * len(truth) * np.eye(len(scale))
    return LinearFit(fitted / scale, np.linalg.inv(information) / np.outer(scale, scale))


def least_absolute_fit(features: Floats, truth: Floats, ridge: float = 1e-9) -> Floats:
    """Coefficients that minimise the sum of absolute relative errors.

    Rows that follow a law of their own then do not bend the law of the others.
    """
    columns, scale = _relative(features, truth)
    return np.asarray(_reweighted(columns, ridge, 1e-4)[0] / scale)


def _reweighted(columns: Floats, ridge: float, small: float) -> tuple[Floats, Floats]:
    """Coefficients of least absolute errors, squared ones below `small`, and the weights of rows that give them."""
    weights = np.ones(len(columns))
    penalty = ridge * len(columns) * np.eye(columns.shape[1])
    found = np.zeros(columns.shape[1])
    for _ in range(_ROUNDS):
        weighted = columns * weights[:, None]
        found = np.linalg.lstsq(weighted.T @ columns + penalty, weighted.sum(axis=0), rcond=None)[0]
        weights = 1.0 / np.maximum(np.abs(columns @ found - 1.0) / small, 1.0)
    return np.asarray(found), np.asarray(weights)


def _relative(features: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Features over the truth, scaled to a mean square of 1, and the scale; the target is 1 in every row."""
    columns = features / truth[:, None]
    scale = np.sqrt(np.mean(columns**2, axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    return columns / scale, scale
