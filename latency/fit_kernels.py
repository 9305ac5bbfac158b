"""Fits single kernels: efficiencies, launch cost and exponent of one operator class, with split-conformal errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.calibration import Fit
from hwsim.latency.conformal import errors_of, score
from hwsim.latency.measured import KernelRows
from hwsim.latency.roofline import Array, Efficiency, busy_us, smooth_max

_LIMITS = np.log([[0.005, 0.005, 1.0, 0.5], [3.0, 2.0, 8.0, 500.0]])  # compute, memory, power, launch_us
_STARTS = ((0.6, 0.7, 1.5), (0.2, 0.3, 1.1))


def fit_kernels(rows: Iterable[KernelRows]) -> tuple[dict[str, Fit], dict[str, dict[str, float]]]:
    """Fits and scores by `device/runtime/precision/class`."""
    fits: dict[str, Fit] = {}
    scores: dict[str, dict[str, float]] = {}
    for each in rows:
        key = f"{each.key}/{each.kind}"
        fits[key] = fit_class(each)
        scores[key] = score_class(each, fits[key])
    return fits, scores


def fit_class(rows: KernelRows) -> Fit:
    """Least squares on log time over folds 0-5, centred and conformalised on folds 6-7."""
    train = rows.fold < 6
    choices = [False, True] if bool(np.any(rows.work.waves > 1)) else [False]
    best = min((_least_squares(rows, train, waves) for waves in choices), key=lambda pair: pair[0])[1]
    held = (rows.fold == 6) | (rows.fold == 7)
    shift = float(np.exp(np.median(residuals(rows, best)[held])))
    efficiency = best.efficiency[rows.kind]
    efficiency = replace(efficiency, compute=efficiency.compute / shift, memory=efficiency.memory / shift)
    best = replace(best, efficiency={rows.kind: efficiency}, launch_us=best.launch_us * shift)
    groups = np.arange(int(held.sum())).astype(str)  # shapes differ from row to row in all but the batch
    errors = errors_of(residuals(rows, best)[held], groups)
    return replace(best, errors=replace(errors, coverage=errors.held(residuals(rows, best)[rows.fold >= 8])))


def score_class(rows: KernelRows, fit: Fit) -> dict[str, float]:
    """Errors on folds 8-9."""
    test = rows.fold >= 8
    return score(residuals(rows, fit)[test], rows.latency_us[test], fit.errors)


def residuals(rows: KernelRows, fit: Fit) -> Array:
    """log(measured / predicted) of every row."""
    busy = busy_us(rows.work, [fit.efficiency[rows.kind]])
    return np.log(rows.latency_us / smooth_max(busy, fit.launch_us, fit.overlap))


def _least_squares(rows: KernelRows, train: NDArray[np.bool_], waves: bool) -> tuple[float, Fit]:
    from scipy.optimize import least_squares

    def fit_at(x: Array) -> Fit:
        compute, memory, power, launch = np.exp(x).tolist()
        compute = compute if rows.macs.any() else 1.0
        spread = {
            "macs": _span(rows.macs[train]),
            "bytes": _span(rows.bytes_moved[train]),
            "batch": _span(rows.batch[train].astype(float)),
        }
        use = Efficiency(compute, memory, power, waves)
        return Fit({rows.kind: use}, launch, power, None, spread, (rows.kind,))

    def loss(x: Array) -> Array:
        return residuals(rows, fit_at(x))[train]

    floor = float(np.log(np.quantile(rows.latency_us[train], 0.02)))
    runs = [
        least_squares(loss, [*np.log(start), floor], bounds=(_LIMITS[0], _LIMITS[1]), loss="soft_l1", f_scale=0.2)
        for start in _STARTS
    ]
    best = min(runs, key=lambda run: float(run.cost))
    return float(best.cost), fit_at(best.x)


def _span(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())
