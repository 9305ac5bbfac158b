"""Least squares for the factors of a class model on few rows: all factors move together, by kind, by stem, and alone.

    log f_j = log start_j + s + s_kind(j) + s_stem(j) + d_j
    s ~ N(0, 0.7),  s_kind ~ N(0, 0.3),  s_stem, d_j ~ N(0, own)

with kinds products, data and launches, and stems such as `depthwise` of any size. A class that no row holds moves with
the others, so that a handful of rows tells a device's overall speed and many rows tell its classes apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.fit_classes import log_time
from hwsim.latency.networks.work_classes import TERMS
from hwsim.latency.simulator.table import Array

_ALL_SD, _KIND_SD = 0.7, 0.3
_KINDS = [name.rpartition(":")[2] for name in TERMS]  # compute, memory, and launches and weights each by itself
_STEMS = [name.partition(":")[0].rstrip("0123456789") + ":" + name.partition(":")[2] for name in TERMS]


@dataclass(frozen=True, slots=True)
class Freedom:
    """How far a fit may go from where it starts, as standard deviations of logarithms; 0 holds a value.

    Attributes
    ----------
    own : of each factor and each stem; `host` of the host's cost a launch, `overlap` of q - 1.
    noise : of a row's log time; larger errors count by their logarithm.
    """

    own: float
    host: float = 1.0
    overlap: float = 0.0
    noise: float = 0.1


def fit_shared(sums: Array, latency_us: Array, start: ClassModel, freedom: Freedom) -> ClassModel:
    """Factors near those of another device, drawn to measured rows.

    Parameters
    ----------
    sums : (rows, `TERMS`), microseconds (`Work.sums`).
    """
    from scipy.optimize import least_squares

    centre = np.log([*start.factors, start.host_us, start.overlap - 1])
    loads = _loads(freedom, sums)
    target, scale = np.log(latency_us), 1 / freedom.noise

    def residual(z: Array) -> Array:
        r = (log_time(centre + loads @ z, sums)[0] - target) * scale
        return np.concatenate([2 * np.arcsinh(r / 2), z])

    def jacobian(z: Array) -> Array:
        log_us, slope = log_time(centre + loads @ z, sums)
        r = (log_us - target) * scale
        return np.vstack([slope @ loads * (scale / np.sqrt(1 + r * r / 4))[:, None], np.eye(len(z))])

    x = centre + loads @ least_squares(residual, np.zeros(loads.shape[1]), jac=jacobian, max_nfev=60).x
    return ClassModel(np.exp(x[: len(TERMS)]), float(np.exp(x[-2])), 1 + float(np.exp(x[-1])))


def _loads(freedom: Freedom, sums: Array) -> Array:
    """What each normal variable moves: all factors, those of a kind, seen ones alone, host, overlap."""
    n = len(TERMS)
    kinds = [np.array([kind == name for kind in _KINDS]) for name in dict.fromkeys(_KINDS)]
    columns = [np.append(np.full(n, _ALL_SD), (0, 0)), *(np.append(_KIND_SD * kind, (0, 0)) for kind in kinds)]
    for stem in dict.fromkeys(_STEMS):
        member = np.array([name == stem for name in _STEMS])
        if member.sum() > 1:
            columns.append(np.append(freedom.own * member, (0, 0)))
    columns += [freedom.own * row for row in np.eye(n + 2)[:n][sums.sum(axis=0) > 0]]
    ends = np.eye(n + 2)[n:] * np.array([[freedom.host], [freedom.overlap]])
    return np.column_stack([*columns, *(end for end in ends if end.any())])
