"""LAUDNet's equations of dense operators, each one launch, in microseconds.

Latency = compute + memory + launch, with no overlap; memory is DRAM once and L2 once a tile. Source: the simulator of
arXiv 2308.15949, re-implemented from notes on its equations. Where those left a choice, the one that reproduces the
published static figures was kept, for all networks alike: tile sizes rounded up, lanes filled by the outputs of one
image, the residual sum a launch of its own, gates of channels/16, sectors by the width of a tile.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hwsim.core.errors import UnsupportedError
from hwsim.latency.laudnet.machine import AS_RELEASED, Faults, Machine, chosen
from hwsim.latency.laudnet.tiles import input_side, lane_use, sector_use, tile_grid
from hwsim.latency.shapes import KernelShape


def conv_us(kernel: KernelShape, gpu: Machine, batch: int, faults: Faults | bool = True) -> float:
    """A dense, grouped or depthwise convolution (or a linear layer, as 1x1) under its best tiling, microseconds.

    Parameters
    ----------
    kernel : its shape at batch 1.
    batch : images a launch; a tile computes the whole batch.

    Raises
    ------
    UnsupportedError
        For a kernel that is no convolution and no linear layer.
    """
    if kernel.kind in ("memory", "matmul"):
        raise UnsupportedError(f"LAUDNet's convolution equations do not cover {kernel.kind!r}", where="conv_us")
    return _conv_us(kernel, gpu, batch, chosen(faults).halo)


@lru_cache(maxsize=65536)
def _conv_us(kernel: KernelShape, gpu: Machine, batch: int, halo_fault: bool) -> float:
    height, width = (kernel.out_h, kernel.out_w) if kernel.kind != "linear" else (kernel.rows, 1)
    c, h, w = tile_grid(kernel.cout, height, width)
    tiles = np.ceil(kernel.cout / c) * np.ceil(height / h) * np.ceil(width / w)
    outputs = c * h * w
    macs = outputs * kernel.depth * batch
    compute = macs / (gpu.lane_macs_per_us * lane_use(outputs, gpu)) * np.ceil(tiles / gpu.pes)
    k_h, k_w, s = kernel.kernel_h, kernel.kernel_w, kernel.stride
    window = input_side(h, k_h, s, halo_fault) * input_side(w, k_w, s, halo_fault)
    inputs = np.ceil(c / kernel.cols) * (kernel.depth // (k_h * k_w)) * window
    words = c * kernel.depth + batch * (inputs + outputs)
    # Sector efficiency is that of the tile's output width, and holds for weights too.
    l2 = tiles * words / (gpu.l2_words_per_us * sector_use(w, gpu))
    moved = kernel.weight_elements + batch * (kernel.read_elements + kernel.write_elements)
    return float((compute + l2).min()) + moved / gpu.dram_words_per_us + gpu.launch_us


def add_us(elements: int, gpu: Machine, batch: int) -> float:
    """The residual sum, a launch of its own: two maps read, one written, no L2 term; `elements` of one map an image."""
    compute = elements * batch / (gpu.pes * gpu.lane_macs_per_us)
    return compute + 3 * elements * batch / gpu.dram_words_per_us + gpu.launch_us


def pool_us(elements: int, gpu: Machine, batch: int) -> float:
    """Global pooling: the map read through DRAM and L2."""
    return elements * batch * (1 / gpu.dram_words_per_us + 1 / gpu.l2_words_per_us) + gpu.launch_us


def scale_us(elements: int, gpu: Machine, batch: int) -> float:
    """Channels scaled by a gate: two operands of full size read, one written, through DRAM and L2."""
    return 3 * elements * batch * (1 / gpu.dram_words_per_us + 1 / gpu.l2_words_per_us) + gpu.launch_us


@lru_cache(maxsize=4096)
def linear_us(cin: int, cout: int, gpu: Machine, batch: int, faults: Faults = AS_RELEASED) -> float:
    """A fully connected layer on one row an image, tiled over outputs and batch."""
    c, rows = tile_grid(cout, batch)
    outputs = c * rows
    tiles = outputs if faults.fc_tile_count else np.ceil(cout / c) * np.ceil(batch / rows)
    compute = outputs * cin / (gpu.lane_macs_per_us * lane_use(outputs, gpu)) * np.ceil(tiles / gpu.pes)
    l2 = tiles * (c * cin + rows * cin + outputs) / gpu.l2_words_per_us
    moved = cin * cout + batch * (cin + cout)
    return float((compute + l2).min()) + moved / gpu.dram_words_per_us + gpu.launch_us


def squeeze_excite_us(
    channels: int, elements: int, gpu: Machine, batch: int, faults: Faults = AS_RELEASED, reduction: int = 16
) -> float:
    """Pool, two fully connected layers, scale: four launches. The hidden width is channels/16, whatever the network."""
    hidden = max(1, channels // reduction)
    gates = linear_us(channels, hidden, gpu, batch, faults) + linear_us(hidden, channels, gpu, batch, faults)
    return pool_us(elements, gpu, batch) + gates + scale_us(elements, gpu, batch)


def copy_us(elements: int, gpu: Machine, batch: int) -> float:
    """An element by element operator over one map (layer norm): read and written, DRAM only."""
    return 2 * elements * batch / gpu.dram_words_per_us + gpu.launch_us
