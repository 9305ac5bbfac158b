"""What a fitted model reads of a kernel: logarithms of ratios, and the few numbers that choose an algorithm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.latency.simulator.algorithms import ALGORITHMS, TILES, compute_us
from hwsim.latency.simulator.table import Array, KernelTable

RATIOS = (
    "log compute over launch", "log memory over launch", "log compute over memory",
    *(f"log {name} over compute" for name in ALGORITHMS), "log best algorithm over compute",
    *(f"log blocks {r}x{c} over multiprocessors" for r, c in TILES),
    "share written", "share of weights", "share read", "log bytes over L2", "log weights over L2",
)  # fmt: skip
SHAPES = (
    "log2 rows", "log2 columns", "log2 depth", "log2 images", "log2 products", "log2 width", "log2 taps", "stride",
    "columns modulo 8", "columns modulo 32", "columns modulo 64", "channels modulo 4", "channels modulo 8",
    "channels modulo 32", "kind",
)  # fmt: skip
NAMES = RATIOS + SHAPES


def ratios(table: KernelTable, gpu: Gpu, peak_tflops: Array, launch_us: Array) -> NDArray[np.float32]:
    """Columns `NAMES` for every kernel.

    Parameters
    ----------
    peak_tflops : of each row's precision.
    launch_us : what a launch costs, by row.
    """
    return _columns(table, gpu, compute_us(table, gpu, peak_tflops), ideal_us(table, gpu, peak_tflops), launch_us)


def ideal_us(table: KernelTable, gpu: Gpu, peak_tflops: Array) -> tuple[Array, Array]:
    """Products at the peak, and data once through DRAM: microseconds at the datasheet's rates."""
    return 2 * table.macs / (peak_tflops * 1e6), table.bytes_moved / (gpu.dram_gbps_spec * 1e3)


def _columns(
    table: KernelTable, gpu: Gpu, algorithms: Array, ideal: tuple[Array, Array], launch_us: Array
) -> NDArray[np.float32]:
    compute, memory = ideal
    products = np.maximum(compute, 1e-9)
    moved = np.maximum(table.read_elements + table.write_elements + table.weight_elements, 1.0)
    l2 = gpu.l2_mb * 1e6
    blocks = [table.count * np.ceil(table.rows / r) * np.ceil(table.cols / c) for r, c in TILES]
    columns = [
        _log(compute / launch_us, -6, 12), _log(memory / launch_us, -6, 12), _log(compute / memory, -8, 8),
        *(_log(algorithms[:, i] / products, -3, 6) for i in range(algorithms.shape[1])),
        _log(algorithms.min(axis=1) / products, -3, 6),
        *(_log(b / gpu.sms, -6, 10) for b in blocks),
        table.write_elements / moved, table.weight_elements / moved, table.read_elements / moved,
        _log(table.bytes_moved / l2, -10, 8), _log(table.weight_elements * table.width_bytes / l2, -10, 8),
        *(np.log2(np.maximum(c, 1)) for c in (
            table.rows, table.cols, table.depth, table.images, table.count, table.out_w, table.taps)),
        table.stride, *(table.cols % m for m in (8, 32, 64)), *(table.cin % m for m in (4, 8, 32)), table.kind,
    ]  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32)


def _log(values: Array, low: float, high: float) -> Array:
    return np.clip(np.log(np.maximum(values, 1e-30)), low, high)
