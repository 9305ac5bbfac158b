"""Time of a network as a sum over classes of kernels, beside what the host needs to launch them.

    GPU    G = sum over kernels (compute_factor ideal compute + memory_factor ideal memory + launch_us + weights)
    host   H = launches host_us
    time   T = (G^q + H^q)^(1/q)

A queue of launches hides the shorter of both: q is large where they overlap fully. Factors are positive and belong to
classes (work_classes.py), so that a network's time is monotone in its layers, and kernels have a share each that sums
to T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.latency.networks.work_classes import LAUNCHES, TERMS, WEIGHTS, Work
from hwsim.latency.simulator.table import Array

_LAUNCHES, _WEIGHTS = TERMS.index(LAUNCHES), TERMS.index(WEIGHTS)


@dataclass(frozen=True, slots=True)
class ClassModel:
    """Factors of one device, runtime and precision.

    Attributes
    ----------
    factors : on the ideal times, in the order of `TERMS`; of `launches` the microseconds each costs the GPU.
    host_us : what a launch costs the host.
    overlap : the exponent q, above 1.
    """

    factors: Array
    host_us: float
    overlap: float

    def kernel_us(self, work: Work) -> Array:
        """Share of every kernel in the network's time; their sum is the network's time."""
        compute = np.where(work.compute_term >= 0, self.factors[work.compute_term], 0.0)
        gpu = compute * work.compute_us + self.factors[work.memory_term] * work.memory_us
        gpu = gpu + self.factors[_LAUNCHES] + self.factors[_WEIGHTS] * work.weights_us
        on_gpu, on_host = float(gpu.sum()), self.host_us * len(gpu)
        total = network_us(on_gpu, on_host, self.overlap)
        q = self.overlap - 1
        return np.asarray(gpu * (on_gpu / total) ** q + self.host_us * (on_host / total) ** q)

    def network_us(self, sums: Array) -> Array:
        """Time of networks given as sums over `TERMS`, (networks, terms)."""
        return np.asarray(network_us(sums @ self.factors, sums[:, _LAUNCHES] * self.host_us, self.overlap))


def network_us(gpu_us: Array | float, host_us: Array | float, overlap: float) -> Array:
    """(G^q + H^q)^(1/q) without overflow; microseconds."""
    top = np.maximum(np.maximum(gpu_us, host_us), 1e-12)
    return np.asarray(top * ((gpu_us / top) ** overlap + (host_us / top) ** overlap) ** (1 / overlap))
