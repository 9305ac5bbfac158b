"""Networks as sums over what experts say of each kernel: for devices whose networks nobody measured.

    GPU    G = sum over kernels (factor of the class x time on the GPU by the expert + a gap)
    host   H = launches x share x the device's cost of a launch
    time   T = (G^q + H^q)^(1/q)

Factors are near 1: those of all devices with measured networks together, each of which is left out to find the errors
(fit_kernel_sums.py). Experts know single kernels of eager runtimes on a few GPUs, and of others their rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.latency.errors import fitted_name
from hwsim.latency.learned.expert import Expert, Setting
from hwsim.latency.learned.experts import SAME_KERNELS, experts
from hwsim.latency.networks.work_classes import NetworkTable, Work, timed_work, weights_us
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.table import Array, KernelTable, stacked

_RUNTIME = "eager"
_LIKE = {"bf16": "fp16"}  # a precision whose kernels were not measured, and one that runs at the same rates


def kernel_works(network: NetworkTable, gpu: Gpu, layout: str, batches: Sequence[int]) -> Mapping[int, Work] | None:
    """Work at every batch size by the experts of eager kernels; None where a kind of kernel was never measured."""
    first = np.unique(network.same)
    position = np.searchsorted(first, network.same)
    precisions = [network.precisions[i] for i in first]
    alike = network.table[first]
    tables = [alike.at_batch(batch) for batch in batches]
    found = gpu_us(stacked(tables), precisions * len(batches), gpu, layout)
    if found is None:
        return None
    times = found.reshape(len(batches), len(first))[:, position]
    weights = weights_us(network.table, gpu)
    return {b: timed_work(us, network.classes, weights) for b, us in zip(batches, times, strict=True)}


def gpu_us(table: KernelTable, precisions: Sequence[str], gpu: Gpu, layout: str) -> Array | None:
    """Time of every kernel on the GPU alone, in microseconds; None where a kind was never measured."""
    asked, found, device = np.array(precisions), np.full(len(table), np.nan), fitted_name(gpu)
    for precision in dict.fromkeys(precisions):
        alike = _LIKE.get(precision, precision)
        own = replace(gpu, peak_tflops={**gpu.peak_tflops, alike: gpu.peak_tflops[precision]})
        setting = Setting(own, SAME_KERNELS.get(device, device), alike, layout)
        for expert in experts().experts.values():
            rows = _served(expert, alike)[table.kind] & (asked == precision)
            if expert.runtime == _RUNTIME and rows.any():
                found[rows] = expert.gpu_us(table[rows], setting)
    return None if np.isnan(found).any() else found


def _served(expert: Expert, precision: str) -> NDArray[np.bool_]:
    """By kind; convolutions in tf32 were not measured, and are told by their ratios at its peak."""
    return np.array([
        kind in expert.kinds and (expert.serves(kind, precision) or precision == "tf32") for kind in CLASSES
    ])  # fmt: skip
