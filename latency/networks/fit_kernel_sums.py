"""Fits what turns a sum over experts' kernels into the time of a network, on all devices together; see kernel_sums.py.

Times are taken in units of a device's launch cost, so that one fit serves all devices. Every device counts the same,
and its errors are those of the fit to the others. How the host and the GPU overlap (q = 4) and what a launch costs the
host (1.2 times the device file's `launch_us`) are held: chosen for the least error of devices left out, where fitting
them does worse, since hosts differ more than GPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.conformal import errors_of, left_out_coverage, score
from hwsim.latency.errors import Errors
from hwsim.latency.measured.launches import Launches
from hwsim.latency.measured.transformers import gpt2_large
from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.fit_classes import Prior, fit_classes
from hwsim.latency.networks.fit_network import LeftOut, NetworkSet, fit_network
from hwsim.latency.networks.network_model import NetworkModel
from hwsim.latency.networks.work_classes import LAUNCHES, TERMS, WEIGHTS
from hwsim.latency.simulator.table import Array

Key = tuple[str, str]  # device/runtime/precision/layout, and software
FAMILIES = {"fp32": ("fp32", "tf32"), "fp16": ("fp16",)}
_LAUNCHES, _WEIGHTS = TERMS.index(LAUNCHES), TERMS.index(WEIGHTS)
_HOST, _OVERLAP = 1.2, 4.0
_GAP, _GAP_SD = 0.05, 0.7  # between kernels in a queue, in launches
_WEIGHT, _WEIGHT_SD = 0.01, 1.5  # of reading weights once more, where autocast converts them
_FACTOR_SD, _HELD = 0.15, 1e-3
_LEAST_MACS = 125e6  # more than networks of CIFAR's size have, which are told less well (`unlike_errors`)
_TOKENS = 1024  # of GPT2-Large as it was measured (measured/transformers.py)
_OWN_SD, _OWN_OVERLAP_SD = 0.3, 0.5  # of a device's factors about those of others
_ROWS = 60.0  # that a device counts for


def fit_kernel_sums(
    sets: Mapping[Key, NetworkSet], launch_us: Mapping[str, float]
) -> tuple[dict[str, NetworkModel], dict[str, dict[str, float]]]:
    """Models by kind of precision, and the figures of every set by the fit to all other devices.

    Parameters
    ----------
    sets : networks with sums of experts' times.
    launch_us : of every device.
    """
    scores: dict[str, dict[str, float]] = {}
    classes: dict[str, ClassModel] = {}
    residual, group = [], []
    for name, precisions in FAMILIES.items():
        mine = {k: _relative(v, launch_us[_device(k)]) for k, v in sets.items() if k[0].split("/")[2] in precisions}
        classes[name] = _pooled(mine)
        for chip in sorted({_chip(k) for k in mine}):
            blind = _pooled({k: v for k, v in mine.items() if _chip(k) != chip})
            for key, data in ((k, v) for k, v in mine.items() if _chip(k) == chip):
                left = np.log(data.latency_us / blind.network_us(data.sums))
                scores[f"kernel sums/{key[0]}, {key[1]}"] = score(left, data.latency_us, None)
                residual.append(left)
                group += [f"{_device(key)}/{name}"] * len(left)
    r, names = np.concatenate(residual), np.array(group)
    errors = errors_of(np.concatenate([r, -r]), np.concatenate([names, names]))
    errors = replace(errors, coverage=left_out_coverage(r, names, symmetric=True))
    for found in scores.values():
        found["half_width_pct"] = float(50 * (np.exp(errors.quantile(0.95)) - np.exp(errors.quantile(0.05))))
    return {name: _model(sets, name, classes[name], errors) for name in FAMILIES}, scores


def fit_own_sums(
    sets: Mapping[Key, NetworkSet], launch_us: Mapping[str, float], key: Key
) -> tuple[NetworkModel, dict[str, LeftOut]]:
    """The model of one small set of networks, drawn to what all other devices say; and families left out.

    Factors may differ by a third: flat from 0.15 to 0.5 for the least error of left-out families.
    """
    family = next(name for name, precisions in FAMILIES.items() if key[0].split("/")[2] in precisions)
    others = {
        k: _relative(v, launch_us[_device(k)])
        for k, v in sets.items()
        if k[0].split("/")[2] in FAMILIES[family] and _chip(k) != _chip(key)
    }
    pooled, launch = _pooled(others), launch_us[_device(key)]
    factors = pooled.factors.copy()
    factors[_LAUNCHES] *= launch
    prior = Prior.of(ClassModel(factors, pooled.host_us * launch, pooled.overlap), _OWN_SD)
    sd = prior.sd.copy()
    sd[_LAUNCHES], sd[_WEIGHTS], sd[-1] = _GAP_SD, _WEIGHT_SD, _OWN_OVERLAP_SD
    model, left = fit_network(sets[key], replace(prior, sd=sd), key[1], fused=False)
    return replace(model, by_kernels=True, seen=TERMS), left


def _model(sets: Mapping[Key, NetworkSet], name: str, classes: ClassModel, errors: Errors) -> NetworkModel:
    """A model whose ranges are those of all networks but the smallest, and of the largest transformer checked."""
    mine = [data for key, data in sets.items() if key[0].split("/")[2] in FAMILIES[name]]
    largest = Launches.of(gpt2_large(_TOKENS))
    columns = {
        "macs": [np.array([largest.macs]), *(data.macs for data in sets.values())],
        "batch": [data.batch for data in sets.values()],
        "launches": [largest.counts.sum(keepdims=True), *(data.sums[:, _LAUNCHES] for data in sets.values())],
    }
    ranges = {
        what: (float(min(c.min() for c in found)), float(max(c.max() for c in found)))
        for what, found in columns.items()
    }
    ranges["macs"] = (_LEAST_MACS, ranges["macs"][1])
    return NetworkModel(
        "sums of single kernels", classes, None, None, errors, ranges, errors.groups,
        sum(len(d.macs) for d in mine), TERMS, None, False, errors.coverage, by_kernels=True,
    )  # fmt: skip


def _device(key: Key) -> str:
    return key[0].partition("/")[0]


def _chip(key: Key) -> str:
    return _device(key).partition("-")[0].lower()


def _relative(data: NetworkSet, launch_us: float) -> NetworkSet:
    """Times in launches; their number stays."""
    sums = data.sums / launch_us
    sums[:, _LAUNCHES] = data.sums[:, _LAUNCHES]
    return replace(data, sums=sums, latency_us=data.latency_us / launch_us)


def _pooled(sets: Mapping[Key, NetworkSet]) -> ClassModel:
    weights = _weights(sets)
    factors = np.ones(len(TERMS))
    factors[_LAUNCHES], factors[_WEIGHTS] = _GAP, _WEIGHT
    prior = Prior.of(ClassModel(factors, _HOST, _OVERLAP), _FACTOR_SD)
    sd = prior.sd.copy()
    sd[_LAUNCHES], sd[_WEIGHTS] = _GAP_SD, _WEIGHT_SD
    sd[len(TERMS) :] = _HELD
    sums: Array = np.concatenate([data.sums for data in sets.values()])
    times: Array = np.concatenate([data.latency_us for data in sets.values()])
    return fit_classes(sums, times, replace(prior, sd=sd), weights)


def _weights(sets: Mapping[Key, NetworkSet]) -> NDArray[np.float64]:
    """Of every row, so that devices count the same, and so do the sets of one."""
    stacks: dict[str, int] = {}
    for key in sets:
        stacks[_device(key)] = stacks.get(_device(key), 0) + 1
    return np.concatenate(
        [np.full(len(data.macs), _ROWS / len(data.macs) / stacks[_device(key)]) for key, data in sets.items()]
    )
