"""LAUDNet's analytic latency predictor (arXiv 2308.15949), re-implemented from notes on its equations: a baseline.

It is nothing learned: tiles, waves, DRAM and L2 traffic, a constant a launch. Kept to reproduce its published figures,
to score its equations on measured kernels, and to show what its faults change.
"""

from hwsim.latency.laudnet.dynamic import dynamic_latency_ms
from hwsim.latency.laudnet.machine import AS_RELEASED, CORRECTED, MACHINES, Faults, Machine
from hwsim.latency.laudnet.networks import static_latency_ms
from hwsim.latency.laudnet.operators import conv_us

__all__ = [
    "AS_RELEASED",
    "CORRECTED",
    "MACHINES",
    "Faults",
    "Machine",
    "conv_us",
    "dynamic_latency_ms",
    "static_latency_ms",
]
