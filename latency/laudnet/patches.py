"""LAUDNet's equations of spatially dynamic operators: convolution of active patches, scatter with residual sum.

The notes on its simulator leave more open here than for dense operators; of the readings tried, those kept come nearest
to its eight spatial figures together (within 3.3 %), not exactly.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil

import numpy as np

from hwsim.latency.laudnet.machine import Machine
from hwsim.latency.laudnet.tiles import input_side, lane_use, sector_use, tile_grid


def active_patches(side: int, patch: int, rate: float) -> int:
    """Patches computed on a `side` x `side` map at an activation rate."""
    return ceil(rate * ceil(side / patch) ** 2)


@lru_cache(maxsize=4096)
def patch_conv_us(
    channels: tuple[int, int],
    side: int,
    patch: int,
    rates: tuple[float, float],
    kernel: int,
    stride: int,
    gathered: bool,
    gpu: Machine,
    batch: int,
    groups: int = 1,
    halo_fault: bool = True,
) -> float:
    """A convolution of the active patches alone, microseconds.

    Parameters
    ----------
    channels : in and out.
    side : of the whole output map.
    patch : side of a patch, on the output map.
    rates : the mean activation rate, at which the schedule is picked, and the one it then runs at.
    gathered : whether patches lie packed in memory; else the whole input map is read from DRAM.
    """
    cin, cout = channels
    planned, actual = (active_patches(side, patch, rate) for rate in rates)
    c, h, w, p = tile_grid(cout, patch, patch, max(planned, 1))  # p: patches computed together
    taps, outputs = cin // groups * kernel**2, c * h * w * p
    tiles = np.ceil(cout / c) * np.ceil(patch / h) * np.ceil(patch / w)
    one = outputs * taps * batch / (gpu.lane_macs_per_us * lane_use(outputs, gpu)) * np.ceil(tiles / gpu.pes)
    window = input_side(h, kernel, stride, halo_fault) * input_side(w, kernel, stride, halo_fault)
    inputs = p * np.ceil(c * groups / cout) * (cin // groups) * window
    one = one + tiles * (c * taps + batch * (inputs + outputs)) / gpu.l2_words_per_us  # packed: whole sectors
    best = np.unravel_index(int(np.argmin(one * np.ceil(planned / p))), one.shape)
    passes = ceil(actual / float(p[0, 0, 0, best[3]]))
    read = actual * (patch + kernel - 1) ** 2 if gathered else side**2
    moved = cout * taps + batch * (cin * read * stride**2 + actual * patch**2 * cout)
    return passes * float(one[best]) + moved / gpu.dram_words_per_us + gpu.launch_us


def scatter_add_us(channels: int, side: int, patch: int, patches: int, gpu: Machine, batch: int) -> float:
    """Patches scattered into the residual map and added, one launch: patches and map read, map written.

    Patches pass L2 twice, at the sector efficiency of rows of one patch.
    """
    packed, whole = patches * patch**2 * channels * batch, side**2 * channels * batch
    compute = whole / (gpu.pes * gpu.lane_macs_per_us)
    l2 = 2 * packed / (gpu.l2_words_per_us * float(sector_use(np.array(float(patch)), gpu)))
    return compute + l2 + (packed + 2 * whole) / gpu.dram_words_per_us + gpu.launch_us
