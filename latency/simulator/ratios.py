"""What a fitted model reads of a kernel: logarithms of ratios, and the few numbers that choose an algorithm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.latency.simulator.algorithms import ALGORITHMS, DEPTHWISE, TILES, compute_us
from hwsim.latency.simulator.products import LINEAR, product_us
from hwsim.latency.simulator.table import MATMUL, Array, KernelTable

RATIOS = (
    "log compute over launch", "log memory over launch", "log compute over memory",
    *(f"log {name} over compute" for name in ALGORITHMS), "log best algorithm over compute",
    *(f"log time by {name} over time by the best" for name in ALGORITHMS),
    *(f"log blocks {r}x{c} over multiprocessors" for r, c in TILES),
    "share written", "share of weights", "share read", "log bytes over L2", "log weights over L2",
)  # fmt: skip
SHAPES = (
    "log2 rows", "log2 columns", "log2 depth", "log2 images", "log2 products", "log2 width", "log2 taps", "stride",
    "columns modulo 8", "columns modulo 32", "columns modulo 64", "channels modulo 4", "channels modulo 8",
    "channels modulo 32", "kind", "adds residual", "log2 channels", "log2 written", "log2 read",
)  # fmt: skip
NAMES = RATIOS + SHAPES
_DEPTHWISE_STREAM = 0.55  # of the specified bandwidth: median of depthwise rows with k = 1 and 3, TensorRT on the V100


@dataclass(frozen=True, slots=True)
class Simulated:
    """Kernels on a GPU by rule.

    Attributes
    ----------
    compute_us, memory_us, launch_us : products at the peak, data once through DRAM, the launch.
    work_us : on the GPU, without the launch.
    time_us : of matrix products as in `product_us`; of all others by the best algorithm: products, data and launch
        one after another; of depthwise convolutions products and data overlap (root of the sum of squares), data
        moves at `_DEPTHWISE_STREAM` of the bandwidth, and int8 moves as many bytes as fp32 (TensorRT's times for k = 1
        and 3 on the V100 are the same in both).
    ratios : columns `NAMES`.
    """

    compute_us: Array
    memory_us: Array
    launch_us: Array
    work_us: Array
    time_us: Array
    ratios: NDArray[np.float32]


def simulate(table: KernelTable, gpu: Gpu, peak_tflops: Array, launch_us: Array) -> Simulated:
    """Times and ratios of every kernel.

    Parameters
    ----------
    peak_tflops : of each row's precision.
    launch_us : what a launch costs, by row.
    """
    algorithms = compute_us(table, gpu, peak_tflops)
    products = table.macs > 0
    compute = 2 * table.macs / (peak_tflops * 1e6)
    memory = table.bytes_moved / (gpu.dram_gbps_spec * 1e3)
    best = np.where(products, algorithms.min(axis=1), 0.0)
    streamed = memory / _DEPTHWISE_STREAM * np.where(table.width_bytes == 1, 4.0, 1.0)
    work = np.where(table.kind == DEPTHWISE, np.hypot(best, streamed), best + memory)
    time = work + launch_us
    columns = _columns(table, gpu, algorithms, (compute, memory, time), launch_us)
    matrix = (table.kind == LINEAR) | (table.kind == MATMUL)
    if matrix.any():
        work[matrix], time[matrix] = product_us(table[matrix], gpu, peak_tflops[matrix], launch_us[matrix])
    return Simulated(compute, memory, launch_us, work, time, columns)


def _columns(
    table: KernelTable, gpu: Gpu, algorithms: Array, ideal: tuple[Array, Array, Array], launch_us: Array
) -> NDArray[np.float32]:
    compute, memory, time = ideal
    products = np.maximum(compute, 1e-9)
    moved = np.maximum(table.read_elements + table.write_elements + table.weight_elements, 1.0)
    l2 = gpu.l2_mb * 1e6
    blocks = [table.count * np.ceil(table.rows / r) * np.ceil(table.cols / c) for r, c in TILES]
    in_turn = (algorithms + (memory + launch_us)[:, None]) / time[:, None]
    columns = [
        _log(compute / launch_us, -6, 12), _log(memory / launch_us, -6, 12), _log(compute / memory, -8, 8),
        *_log(algorithms / products[:, None], -3, 6).T, _log(algorithms.min(axis=1) / products, -3, 6),
        *_log(in_turn, 0, 4).T, *(_log(b / gpu.sms, -6, 10) for b in blocks),
        table.write_elements / moved, table.weight_elements / moved, table.read_elements / moved,
        _log(table.bytes_moved / l2, -10, 8), _log(table.weight_elements * table.width_bytes / l2, -10, 8),
        *(np.log2(np.maximum(c, 1)) for c in (
            table.rows, table.cols, table.depth, table.images, table.count, table.out_w, table.taps)),
        table.stride, *(table.cols % m for m in (8, 32, 64)), *(table.cin % m for m in (4, 8, 32)), table.kind,
        table.adds_residual,
        *(np.log2(np.maximum(c, 1)) for c in (table.cin, table.write_elements, table.read_elements)),
    ]  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32)


def _log(values: Array, low: float, high: float) -> Array:
    return np.asarray(np.clip(np.log(np.maximum(values, 1e-30)), low, high))
