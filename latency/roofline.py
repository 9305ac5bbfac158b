"""Time of a kernel from its work: a smooth roofline over compute, memory and launch.

    compute = 2 macs waves / (peak C)      memory = bytes / (bandwidth M)
    busy = (compute^P + memory^P)^(1/P)    time = (busy^Q + launch^Q)^(1/Q)

with the efficiencies C, M and the exponents P, Q of an operator class (data/calibration.json). P = 1 adds, a large P
takes the larger. `waves` is the idle share of the last wave of 128 x 64 output tiles over the multiprocessors, which
implicit-GEMM convolutions show (CUTLASS documentation, "wave quantization").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.latency.catalog import element_bytes
from hwsim.latency.kernels import Kernel

TILE_ROWS, TILE_COLS = 128, 64
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How far from the datasheet an operator class runs.

    Attributes
    ----------
    compute : share of the precision's peak; above 1 where an algorithm saves products (Winograd).
    memory : share of the datasheet's DRAM bandwidth; above 1 where the cache serves.
    power : exponent P.
    waves : whether idle tiles of the last wave cost time.
    """

    compute: float
    memory: float
    power: float
    waves: bool


@dataclass(frozen=True, slots=True)
class Work:
    """Kernels at one batch size as arrays: what they do, and the datasheet's time for it.

    Attributes
    ----------
    compute_us, memory_us : at the peak and the bandwidth of the datasheet.
    waves : factor on `compute_us` for classes that pay for idle tiles, at least 1.
    """

    compute_us: Array
    memory_us: Array
    waves: Array


def work(made: Sequence[Kernel], gpu: Gpu, batch: int) -> Work:
    """Kernels of a network at a batch size on a GPU."""
    peak = {p: gpu.peak_tflops[p] for p in {k.precision for k in made}}
    width = {p: element_bytes(p) for p in peak}
    rows = np.array([k.rows for k in made], dtype=np.float64) * batch
    cols = np.array([k.cols for k in made], dtype=np.float64)
    macs = np.array([k.macs / peak[k.precision] for k in made], dtype=np.float64) * batch
    moved = np.array([bytes_moved(k, batch, width[k.precision]) for k in made], dtype=np.float64)
    return Work(2 * macs / 1e6, moved / (gpu.dram_gbps_spec * 1e3), wave_factor(rows, cols, gpu.sms))


def bytes_moved(kernel: Kernel, batch: int, width: float) -> float:
    """Bytes a kernel reads and writes once each: activations of the batch and its weights."""
    return (kernel.act_elements * batch + kernel.weight_elements) * width


def wave_factor(rows: Array, cols: Array, sms: int) -> Array:
    """Tile slots of all waves over the tiles' worth of output; 1 where `cols` is 0."""
    dense = cols > 0
    outputs = np.where(dense, rows * cols, 1.0)
    tiles = np.ceil(rows / TILE_ROWS) * np.ceil(cols / TILE_COLS)
    slots = np.ceil(tiles / sms) * sms * TILE_ROWS * TILE_COLS
    return np.where(dense, slots / outputs, 1.0)


def busy_us(todo: Work, use: Sequence[Efficiency]) -> Array:
    """Time on the multiprocessors, one efficiency a kernel."""
    compute = np.array([1 / e.compute for e in use]) * todo.compute_us
    compute = np.where([e.waves for e in use], compute * todo.waves, compute)
    memory = np.array([1 / e.memory for e in use]) * todo.memory_us
    return smooth_max(compute, memory, np.array([e.power for e in use]))


def smooth_max(a: Array, b: Array | float, power: Array | float) -> Array:
    """(a^p + b^p)^(1/p), element by element, without overflow; monotone in both."""
    top = np.maximum(a, b)
    safe = np.where(top > 0, top, 1.0)
    both = (a / safe) ** power + (b / safe) ** power
    return np.asarray(np.where(top > 0, safe * both ** (1 / np.asarray(power)), 0.0))


def bound(compute: float, memory: float, launch: float) -> Literal["compute", "memory", "launch"]:
    """Which of the three takes longest."""
    if launch >= max(compute, memory):
        return "launch"
    return "memory" if memory >= compute else "compute"
