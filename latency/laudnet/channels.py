"""LAUDNet's equations of a convolution some of whose channels are switched off.

Readings as in `patches`: nearest to its five channel figures together (within 4.2 %), not exact.
"""

from __future__ import annotations

from functools import cache, lru_cache
from math import lgamma, log

import numpy as np

from hwsim.latency.laudnet.machine import Machine
from hwsim.latency.laudnet.tiles import input_side, lane_use, sector_use, tile_grid
from hwsim.latency.shapes import KernelShape


@cache
def worst_share(channels: int, tiles: int, rate: float) -> float:
    """Expected share of active channels in the worst of `tiles` tiles of `channels`, each on with probability `rate`.

    In closed form where the source draws 100 samples: E[max] = sum over k of 1 - P(Bin(channels, rate) <= k)^tiles.
    """
    if rate in (0.0, 1.0):
        return rate
    k = np.arange(channels + 1)
    log_factorial = np.array([lgamma(i + 1) for i in k])
    log_choose = log_factorial[-1] - log_factorial - log_factorial[::-1]
    at_most = np.minimum(np.cumsum(np.exp(log_choose + k * log(rate) + (channels - k) * log(1 - rate))), 1.0)
    return float((1 - at_most[:-1] ** tiles).sum()) / channels


@lru_cache(maxsize=4096)
def channel_conv_us(
    kernel: KernelShape, rates: tuple[float, float], gpu: Machine, batch: int, halo_fault: bool = True
) -> float:
    """A convolution of `kernel` with the given rates of active input and output channels, microseconds.

    Tiles wait for the worst among them. DRAM traffic shrinks with the rates, weights only at batch 1; L2 traffic of
    activations does not.
    """
    rate_in, rate_out = rates
    c, h, w = tile_grid(kernel.cout, kernel.out_h, kernel.out_w)
    columns = np.ceil(kernel.cout / c)
    pairs = zip(c.ravel(), columns.ravel(), strict=True)
    share = np.array([worst_share(int(size), int(count), rate_out) for size, count in pairs]).reshape(c.shape)
    tiles = columns * np.ceil(kernel.out_h / h) * np.ceil(kernel.out_w / w)
    outputs = c * h * w
    macs = outputs * kernel.depth * rate_in * share * batch
    compute = macs / (gpu.lane_macs_per_us * lane_use(outputs, gpu)) * np.ceil(tiles / gpu.pes)
    k_h, k_w, s = kernel.kernel_h, kernel.kernel_w, kernel.stride
    window = input_side(h, k_h, s, halo_fault) * input_side(w, k_w, s, halo_fault)
    inputs = np.ceil(c / kernel.cols) * (kernel.depth // (k_h * k_w)) * window
    kept = rate_in * rate_out if batch == 1 else 1.0
    words = c * kernel.depth * kept + batch * (inputs + outputs)
    l2 = tiles * words / (gpu.l2_words_per_us * sector_use(w, gpu))
    moved = kernel.weight_elements * kept
    moved += batch * (kernel.read_elements * rate_in + kernel.write_elements * rate_out)
    return float((compute + l2).min()) + moved / gpu.dram_words_per_us + gpu.launch_us
