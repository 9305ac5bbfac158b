"""What a fitted model reads of a kernel: logarithms of ratios, free of scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.algorithms import ALGORITHMS, TILES, WINOGRAD, compute_us
from hwsim.latency.simulator.table import Array, KernelTable

_FAR = 6.0  # log ratios are cut at this: a factor of 400 says no more than "never"
_ALIGN = (8, 32, 64)
