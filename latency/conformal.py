"""Quantiles of held-out log errors, widened for the number of independent groups they rest on (fit time only)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.errors import NOMINAL_COVERAGE, Errors

Array = NDArray[np.float64]
LEVELS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99)


def errors_of(residual: Array, group: NDArray[np.str_], coverage: float = float("nan")) -> Errors:
    """Quantiles of centred log errors, every group weighing the same.

    The spread is multiplied by `student_factor`, which tends to 1 with the number of groups; there this is split
    conformal prediction with the log ratio as score.
    """
    values = weighted_quantiles(residual, group_weights(group), LEVELS) * student_factor(len(set(group.tolist())))
    values[LEVELS.index(0.5)] = 0.0  # what interpolation leaves of a centred median
    return Errors(LEVELS, tuple(float(v) for v in values), coverage, len(set(group.tolist())))


def weighted_quantiles(values: Array, weights: Array, levels: tuple[float, ...]) -> Array:
    """Quantiles of a weighted sample by linear interpolation of its distribution function."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) - weights[order] / 2
    return np.interp(levels, share / weights.sum(), values[order])


def group_weights(group: NDArray[np.str_]) -> Array:
    """Weights that sum to 1 over every group."""
    _, inverse, counts = np.unique(group, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[inverse])


def student_factor(groups: int) -> float:
    """How much wider an interval from K groups has to be than their empirical 5 % and 95 % quantiles.

    The Student prediction interval for the next group, t(K-1) sqrt(1 + 1/K), over what the empirical quantile of K
    normal values is expected to be (Blom's scores (i - 3/8) / (K + 1/4), Statistical Estimates, 1958). Tends to 1.
    """
    from scipy.stats import norm, t

    level = 0.5 + NOMINAL_COVERAGE / 2
    if groups < 2:
        return float("nan")
    rank = np.arange(1, groups + 1)
    expected = np.interp(level, (rank - 0.5) / groups, norm.ppf((rank - 0.375) / (groups + 0.25)))
    return float(t.ppf(level, groups - 1) * np.sqrt(1 + 1 / groups) / expected)


def median_of(residual: Array, group: NDArray[np.str_]) -> float:
    """Median log error, every group weighing the same."""
    return float(weighted_quantiles(residual, group_weights(group), (0.5,))[0])


def left_out_coverage(residual: Array, group: NDArray[np.str_], symmetric: bool = False) -> float:
    """Share of each group inside the interval that the errors of all other groups give; the mean over groups."""
    inside = []
    for name in np.unique(group):
        rest = group != name
        others, its = residual[rest], residual[~rest]
        centre = 0.0 if symmetric else median_of(others, group[rest])
        spread = np.concatenate([others, -others]) if symmetric else others - centre
        names = np.concatenate([group[rest], group[rest]]) if symmetric else group[rest]
        errors = errors_of(spread, names)
        inside.append(errors.held(its - centre))
    return float(np.mean(inside))


def score(
    residual: Array, measured: Array, errors: Errors | None, group: NDArray[np.str_] | None = None
) -> dict[str, float]:
    """The figures a report states for centred log errors: MAPE and shares in percent, rank correlation, coverage.

    With `group`, every group weighs the same in MAPE and shares.
    """
    from scipy.stats import spearmanr

    predicted = measured * np.exp(-residual)
    ape = np.abs(predicted / measured - 1)
    weights = np.ones(len(measured)) if group is None else group_weights(group)

    def mean(values: NDArray[np.generic]) -> float:
        return float(np.average(values.astype(np.float64), weights=weights))

    figures = {
        "rows": float(len(measured)),
        "mape_pct": 100 * mean(ape),
        "within10_pct": 100 * mean(ape <= 0.1),
        "within20_pct": 100 * mean(ape <= 0.2),
        "spearman": float(spearmanr(measured, predicted).statistic),
    }
    if errors is not None:
        low, high = errors.quantile(0.05), errors.quantile(0.95)
        figures["coverage_pct"] = 100 * errors.coverage
        figures["half_width_pct"] = float(50 * (np.exp(high) - np.exp(low)))
    return figures
