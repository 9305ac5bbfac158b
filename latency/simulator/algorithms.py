"""How libraries compute a product or a convolution, as the time that the datasheet leaves for it.

    implicit GEMM   ceil(blocks / SMs) waves of one tile's products, blocks = count ceil(rows / R) ceil(cols / C)
    split K         the same with the depth shared among s blocks, whose partial sums are written and read
    Winograd F(m)   (m + 2)^2 products of ceil(out_h / m) ceil(out_w / m) tiles a plane instead of 9 m^2, by GEMM
    fused Winograd  F(2) in one kernel whose blocks make 8 x 16 outputs of 32 channels
    direct          one output element a lane, for depthwise convolutions; with more than 3 x 3 taps they have no kernel
                    of their own size, and a product takes as long as `_generic_direct` says

Tiles of 128 to 32 are those of CUTLASS's and cuDNN's kernels (names and grids of the kernels in the NeuSight tables:
sgemm 128x128, 128x64, 128x32, 64x64, 32x32; Winograd by sgemm 36 products of 4 x 4 outputs). Idle tile slots of the
last wave and idle parts of tiles cost full time (CUTLASS documentation, "wave quantization").
"""

from __future__ import annotations

import numpy as np

from hwsim.core.devices import Gpu
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.table import Array, KernelTable

TILES = ((256, 128), (128, 128), (128, 64), (128, 32), (64, 64), (32, 32))
SPLITS = (2, 4, 8, 16)
WINOGRAD = ((2, 64, 64), (4, 64, 64), (4, 128, 32), (4, 32, 128))  # m, tile rows, tile columns
_FUSED_OUTPUTS = (8, 16)  # of a block of fused Winograd; it makes them for 32 channels
_DEPTH_STEP = 8  # tiles walk the depth in steps of at least this
_LANES = 64  # outputs of a thread block of a direct kernel: two warps
_GENERIC_PRODUCTS = 5.9  # a clock and multiprocessor, of a generic depthwise kernel with 128 lanes a multiprocessor
_GENERIC_LANES = 128
_OWN_TAPS = 9  # up to which depthwise convolutions have kernels of their own size
CONV3X3 = CLASSES.index("conv3x3")
DEPTHWISE = CLASSES.index("depthwise")
ALGORITHMS = (
    *(f"tile{r}x{c}" for r, c in TILES),
    "split",
    *(f"winograd{m}_{r}x{c}" for m, r, c in WINOGRAD),
    "fused",
    "direct",
)


def compute_us(table: KernelTable, gpu: Gpu, peak_tflops: Array) -> Array:
    """Time of each algorithm's products, one column each of `ALGORITHMS`; infinite where it does not apply.

    Parameters
    ----------
    peak_tflops : of each row's precision.

    Returns
    -------
    Microseconds at full rate, (rows, algorithms).
    """
    rate = peak_tflops * 1e6 / 2 / gpu.sms  # multiply-accumulates a microsecond on one multiprocessor
    depth = np.ceil(table.depth / _DEPTH_STEP) * _DEPTH_STEP
    blocks = [table.count * np.ceil(table.rows / r) * np.ceil(table.cols / c) for r, c in TILES]
    waves = [np.ceil(b / gpu.sms) for b in blocks]
    columns = [w * (r * c) * depth / rate for w, (r, c) in zip(waves, TILES, strict=True)]
    columns.append(_split(table, gpu, rate, depth, blocks))
    columns += [_winograd(table, gpu, rate, *variant) for variant in WINOGRAD]
    columns.append(_fused_winograd(table, gpu, rate))
    lanes = np.ceil(table.count * table.rows * table.cols / (_LANES * gpu.sms)) * _LANES
    direct = lanes * table.depth / rate
    generic = (table.kind == DEPTHWISE) & (table.taps > _OWN_TAPS)
    columns.append(np.where(generic, np.maximum(direct, _generic_direct(table, gpu)), direct))
    return np.stack(columns, axis=1)


def gemm_us(table: KernelTable, gpu: Gpu, peak_tflops: Array) -> Array:
    """Time of the products in the best of the tilings, Winograd's and direct algorithms left out; microseconds."""
    rate = peak_tflops * 1e6 / 2 / gpu.sms
    best = np.full(len(table), np.inf)
    for r, c in TILES[1:]:
        blocks = table.count * np.ceil(table.rows / r) * np.ceil(table.cols / c)
        best = np.minimum(best, np.ceil(blocks / gpu.sms) * (r * c))
    return best * table.depth / rate


def _generic_direct(table: KernelTable, gpu: Gpu) -> Array:
    """Depthwise products by a kernel that loops over any number of taps; microseconds.

    Half of a product's time is the arithmetic's, which the lanes of a multiprocessor share, half the loads', which do
    not depend on them. The rate is that of our own 5 x 5 and 7 x 7 rows on the H200, fp32, twice that in fp16. The
    equal halves were chosen with the 5 x 5 rows of the V100 (TensorRT: 3.9 and 7.9 products a clock) in view.
    """
    lanes = gpu.peak_tflops["fp32"] * 1e6 / 2 / gpu.sms / gpu.clock_mhz
    products = _GENERIC_PRODUCTS / (0.5 * _GENERIC_LANES / lanes + 0.5) * np.where(table.width_bytes == 2, 2.0, 1.0)
    return table.macs / (products * gpu.sms * gpu.clock_mhz)


def _split(table: KernelTable, gpu: Gpu, rate: Array, depth: Array, blocks: list[Array]) -> Array:
    """The fastest of all tiles with the depth in parts, the partial sums going through DRAM."""
    partial = 2 * 4 * table.count * table.rows * table.cols / (gpu.dram_gbps_spec * 1e3)  # fp32, out and in again
    best = np.full(len(table), np.inf)
    for s in SPLITS:
        part = np.ceil(depth / s / _DEPTH_STEP) * _DEPTH_STEP
        for b, (r, c) in zip(blocks[1:], TILES[1:], strict=True):
            best = np.minimum(best, np.ceil(b * s / gpu.sms) * (r * c) * part / rate + s * partial)
    return best


def _winograd(table: KernelTable, gpu: Gpu, rate: Array, m: int, r: int, c: int) -> Array:
    """Products of the transformed tiles, and the transforms' traffic."""
    tiles = table.images * np.ceil(table.out_h / m) * np.ceil(table.out_w / m)
    points = (m + 2) ** 2
    blocks = points * np.ceil(tiles / r) * np.ceil(table.cols / c)
    products = np.ceil(blocks / gpu.sms) * (r * c) * table.cin / rate
    traffic = points * tiles * (table.cin + table.cols) * table.width_bytes / (gpu.dram_gbps_spec * 1e3)
    return np.where(table.kind == CONV3X3, products + traffic, np.inf)


def _fused_winograd(table: KernelTable, gpu: Gpu, rate: Array) -> Array:
    h, w = _FUSED_OUTPUTS
    blocks = table.images * np.ceil(table.cols / 32) * np.ceil(table.out_h / h) * np.ceil(table.out_w / w)
    products = 16 * (h // 2) * (w // 2) * 32  # of one input channel: 4 x 4 points of every 2 x 2 outputs
    return np.where(table.kind == CONV3X3, np.ceil(blocks / gpu.sms) * products * table.cin / rate, np.inf)
