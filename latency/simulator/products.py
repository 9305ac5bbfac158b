"""Matrix products as cuBLAS runs them: which tiles, how they share time with memory and launch, and what power allows.

Constants are rounded from a fit to folds 0 to 7 of the NeuSight products (V100, A100, P100, T4; bmm of the P4), to our
own H200 rows and to DeepBench's products (eight GPUs), devices weighted alike, each with an offset of its own; fitted
without any one of the devices they change by less than what the rounding does. Names and grids of the kernels in the
NeuSight tables say which tiles are used: one `linear` in thousands of shapes takes what fits best, products in
batches keep the large tiles of the architecture (A100 128x128, P100 and P4 128x64) however much of them is idle.
"""

from __future__ import annotations

import numpy as np

from hwsim.core.devices import Gpu
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.table import MATMUL, Array, KernelTable

LINEAR = CLASSES.index("linear")
_TILES = ((128, 128, 1.0), (128, 64, 0.85), (64, 64, 0.9), (32, 32, 0.9))  # sides, and share of the peak reached
_LARGE = 2  # of them that products in batches use
_MOST_WASTE = 7.0  # times the best tile, up to which they use them
_SPLITS = (2, 4, 8, 16)  # parts of the depth
_DEPTH_STEP = 8
_STREAM = 0.54  # of the specified bandwidth
_LAUNCH_POWER = 1.2  # launch and work overlap: times add in this power
_WATTS_PER_TFLOPS = {16.0: 22.7, 12.0: 15.1, 8.0: 9.5, 7.0: 7.9, 5.0: 5.6}


def product_us(table: KernelTable, gpu: Gpu, peak_tflops: Array, launch_us: Array) -> tuple[Array, Array]:
    """Time of every row as if it were a matrix product: on the GPU alone, and with its launch; microseconds.

    Parameters
    ----------
    peak_tflops, launch_us : of each row.
    """
    rate = peak_tflops * 1e6 / 2 / gpu.sms
    compute = _tiled(table, gpu, rate)
    duty = compute / np.maximum(compute + launch_us, 1e-9)
    plain = (table.width_bytes == 4) & (peak_tflops <= gpu.peak_tflops["fp32"])  # tensor cores take less power
    held = np.where(plain, sustained_share(gpu), 1.0)
    compute = compute * (1 + (1 / held - 1) * duty)
    memory = table.bytes_moved / (_STREAM * gpu.dram_gbps_spec * 1e3)
    work = np.hypot(compute, memory)
    return work, np.asarray((launch_us**_LAUNCH_POWER + work**_LAUNCH_POWER) ** (1 / _LAUNCH_POWER))


def sustained_share(gpu: Gpu) -> float:
    """Share of the fp32 peak that the power of the board allows in long kernels, at most 1; 1 where it is not known.

    Watts that one TFLOP/s takes: at 16 and 12 nm those of the P4 and T4 (75 and 70 W, 60 and 57 % of their peak in the
    largest products); TSMC states 65 % less power at 7 nm than at 16 and 30 % less at 5 nm than at 7; 8 nm (Samsung)
    lies between, as other nodes do. Nothing is known of nodes above 16 nm. By the same numbers a Titan Xp holds 91 %
    (measured by DeepBench: 94).
    """
    nodes = sorted(_WATTS_PER_TFLOPS)
    if not gpu.board_watts or not 0 < gpu.process_nm <= nodes[-1]:
        return 1.0
    wanted = float(np.interp(gpu.process_nm, nodes, [_WATTS_PER_TFLOPS[nm] for nm in nodes]))
    return min(1.0, gpu.board_watts / gpu.peak_tflops["fp32"] / wanted)


def _tiled(table: KernelTable, gpu: Gpu, rate: Array) -> Array:
    """Products in the tiles that the library takes; microseconds at full clock."""
    depth = np.ceil(table.depth / _DEPTH_STEP) * _DEPTH_STEP
    partial = 2 * 4 * table.count * table.rows * table.cols / (gpu.dram_gbps_spec * 1e3)  # fp32, out and in again
    large = np.full(len(table), np.inf)
    best = large
    for number, (r, c, share) in enumerate(_TILES):
        blocks = table.count * np.minimum(
            np.ceil(table.rows / r) * np.ceil(table.cols / c), np.ceil(table.rows / c) * np.ceil(table.cols / r)
        )
        step = r * c / (rate * share)
        whole = np.ceil(blocks / gpu.sms) * step * depth
        best = np.minimum(best, whole)
        if number < _LARGE:
            large = np.minimum(large, whole)
        for s in _SPLITS:
            part = np.ceil(depth / s / _DEPTH_STEP) * _DEPTH_STEP
            best = np.minimum(best, np.ceil(blocks * s / gpu.sms) * step * part + s * partial)
    batched = np.minimum(np.maximum(large, best), _MOST_WASTE * best)
    return np.where(table.kind == MATMUL, batched, best)
