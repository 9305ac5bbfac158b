"""Fits whole networks, and the errors of families that were left out.

The efficiencies of single kernels are the prior. They move by least squares on log time, every family weighing the
same, under a Gaussian prior in log space, so that few measurements move little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.latency.calibration import Errors, Fit
from hwsim.latency.conformal import errors_of, group_weights, median_of, score
from hwsim.latency.kernels import CLASSES, OperatorClass, kernels
from hwsim.latency.measured import NetworkRow, network
from hwsim.latency.roofline import Array, Efficiency, Work, smooth_max, work

# log units: how far efficiencies and launch costs may be from the prior, how well rows are met; rows a family counts as
EFFICIENCY_SPREAD, LAUNCH_SPREAD, ERROR_SPREAD, ROWS_A_FAMILY = 0.5, 1.0, 0.2, 4.0
_OVERLAP = 2.0  # prior of the exponent that joins launches to the time on the multiprocessors


@dataclass(frozen=True, slots=True)
class NetworkSet:
    """Measured networks of one device, runtime and precision, their kernels laid end to end.

    Attributes
    ----------
    start : index of each distinct (network, batch)'s first kernel; `of` the distinct one that a row measured.
    """

    work: Work
    kind: NDArray[np.int64]
    start: NDArray[np.int64]
    of: NDArray[np.int64]
    family: NDArray[np.str_]
    latency_us: Array
    macs: Array
    batch: Array


def lay_out(rows: Sequence[NetworkRow], gpu: Gpu) -> NetworkSet:
    """Kernels of all rows of one device, runtime and precision."""
    distinct: dict[tuple[str, int], int] = {}
    of = [distinct.setdefault((row.workload, row.batch), len(distinct)) for row in rows]
    parts, kinds = [], []
    for name, batch in distinct:
        made = kernels(network(name), rows[0].runtime, rows[0].precision)
        parts.append(work(made, gpu, batch))
        kinds.append([CLASSES.index(k.kind) for k in made])
    joined = Work(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("compute_us", "memory_us", "waves")))
    lengths = [len(k) for k in kinds]
    return NetworkSet(
        joined,
        np.concatenate([np.array(k, dtype=np.int64) for k in kinds]),
        np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        np.array(of, dtype=np.int64),
        np.array([row.family for row in rows]),
        np.array([row.latency_us for row in rows]),
        np.array([network(row.workload).macs for row in rows], dtype=np.float64),
        np.array([row.batch for row in rows], dtype=np.float64),
    )


def fit_networks(data: NetworkSet, prior: Mapping[str, Efficiency], launch_us: float) -> tuple[Fit, dict[str, float]]:
    """The fit on all families, with the errors of families that were left out one at a time.

    A family left out is predicted by a fit that starts at the prior and is centred on the errors of the other families.

    Returns
    -------
    The fit, centred, with `errors`; and the figures of the left-out errors.
    """
    everything = np.ones(len(data.of), dtype=bool)
    start = _as_vector(prior, launch_us)
    whole = _least_squares(data, everything, prior, start)
    left_out = np.empty(len(data.of))
    for name in np.unique(data.family):
        rest = data.family != name
        x = _least_squares(data, rest, prior, start)
        left_out[~rest] = _residuals(data, prior, x)[~rest]
    centred = centred_on_others(left_out, data.family)
    errors = errors_of(centred, data.family, coverage_of_others(left_out, data.family))
    fit = _fit_at(data, prior, _shifted(whole, median_of(left_out, data.family)), errors)
    return fit, score(centred, data.latency_us, errors, data.family)


def centred_on_others(residual: Array, family: NDArray[np.str_]) -> Array:
    """Every family's log errors less the median of all other families', so that none is centred on itself."""
    centred = np.empty(len(residual))
    for name in np.unique(family):
        rest = family != name
        centred[~rest] = residual[~rest] - median_of(residual[rest], family[rest])
    return centred


def coverage_of_others(residual: Array, family: NDArray[np.str_]) -> float:
    """Share of each family inside the interval made of the others' errors alone; the mean over families.

    The others' errors are centred, and made an interval, as all of them are for predictions. With two families the
    other one has none to be centred on: NaN.
    """
    names = np.unique(family)
    if len(names) < 3:
        return float("nan")
    inside = []
    for name in names:
        rest = family != name
        others = errors_of(centred_on_others(residual[rest], family[rest]), family[rest])
        inside.append(others.held(residual[~rest] - median_of(residual[rest], family[rest])))
    return float(np.mean(inside))


def _as_vector(prior: Mapping[str, Efficiency], launch_us: float) -> Array:
    """Log of compute and memory efficiency by class, of launch cost and of overlap - 1."""
    both = [v for kind in CLASSES for v in (prior[kind].compute, prior[kind].memory)]
    return np.log([*both, launch_us, _OVERLAP - 1])


def _shifted(x: Array, shift: float) -> Array:
    """All times multiplied by exp(shift)."""
    return np.asarray(x + np.array([-shift] * (2 * len(CLASSES)) + [shift, 0.0]))


def _residuals(data: NetworkSet, prior: Mapping[str, Efficiency], x: Array) -> Array:
    compute, memory = np.exp(-x[: 2 * len(CLASSES)]).reshape(-1, 2).T
    launch, overlap = float(np.exp(x[-2])), 1 + float(np.exp(x[-1]))
    waves = np.array([prior[kind].waves for kind in CLASSES])[data.kind]
    power = np.array([prior[kind].power for kind in CLASSES])[data.kind]
    products = data.work.compute_us * np.where(waves, data.work.waves, 1.0) * compute[data.kind]
    busy = smooth_max(products, data.work.memory_us * memory[data.kind], power)
    total = np.add.reduceat(smooth_max(busy, launch, overlap), data.start)
    return np.asarray(np.log(data.latency_us / total[data.of]))


def _least_squares(data: NetworkSet, train: NDArray[np.bool_], prior: Mapping[str, Efficiency], centre: Array) -> Array:
    from scipy.optimize import least_squares

    weight = np.sqrt(ROWS_A_FAMILY * group_weights(data.family[train])) / ERROR_SPREAD
    spread = np.array([EFFICIENCY_SPREAD] * (2 * len(CLASSES)) + [LAUNCH_SPREAD, LAUNCH_SPREAD])
    present = np.isin(np.repeat(np.arange(len(CLASSES)), 2), np.unique(data.kind))
    free = np.concatenate([present, [True, True]])

    def loss(free_x: Array) -> Array:
        x = centre.copy()
        x[free] = free_x
        return np.concatenate([_residuals(data, prior, x)[train] * weight, ((x - centre) / spread)[free]])

    found = centre.copy()
    found[free] = least_squares(loss, centre[free]).x
    return found


def _fit_at(data: NetworkSet, prior: Mapping[str, Efficiency], x: Array, errors: Errors) -> Fit:
    values = np.exp(x)
    efficiency: dict[str, Efficiency] = {
        kind: replace(prior[kind], compute=float(values[2 * i]), memory=float(values[2 * i + 1]))
        for i, kind in enumerate(CLASSES)
    }
    seen: tuple[OperatorClass, ...] = tuple(CLASSES[i] for i in np.unique(data.kind))
    spans = {"macs": _span(data.macs), "batch": _span(data.batch)}
    return Fit(efficiency, float(values[-2]), 1 + float(values[-1]), errors, spans, seen)


def _span(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())
