"""The schedules that LAUDNet's predictor chooses from, and what they leave unused."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.laudnet.machine import Machine

Floats = NDArray[np.float64]


@cache
def tile_sizes(extent: int) -> Floats:
    """Tile sizes along a dimension of `extent`: powers of two up to 128, extent/1 to extent/7 rounded up, 2 to 7.

    Sizes above the extent are left out. Source: simulator of arXiv 2308.15949; rounding up is our reading.
    """
    sizes = {2**i for i in range(8)} | set(range(2, 8)) | {-(-extent // parts) for parts in range(1, 8)}
    return np.array(sorted(size for size in sizes if size <= extent), dtype=np.float64)


def tile_grid(*extents: int) -> tuple[Floats, ...]:
    """Every combination of tile sizes, one broadcastable array a dimension."""
    return tuple(np.meshgrid(*(tile_sizes(extent) for extent in extents), indexing="ij", sparse=True))


def lane_use(outputs: Floats, gpu: Machine) -> Floats:
    """Share of the lanes' pipeline slots that `outputs` of one tile fill."""
    slots = gpu.pipeline_depth * gpu.lanes
    use: Floats = outputs / (np.ceil(outputs / slots) * slots)
    return use


def sector_use(width: Floats, gpu: Machine) -> Floats:
    """Share of the words of L2 sectors that rows of `width` words use."""
    use: Floats = width / (np.ceil(width / gpu.sector_words) * gpu.sector_words)
    return use


def input_side(tile: Floats, taps: int, stride: int, halo_fault: bool) -> Floats:
    """Side of the input that a tile reads: (tile + taps - 1) stride as released, (tile - 1) stride + taps in truth."""
    return (tile + taps - 1) * stride if halo_fault else (tile - 1) * stride + taps
