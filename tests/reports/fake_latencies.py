"""Seeded, made-up latencies for the tests of the latency page. No figure in them is a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwsim.core.cost import BatchLatency, Interval, KernelTime, LatencyPrediction
from hwsim.core.devices import Gpu
from hwsim.reports.latency import Latencies, Timed

GPU = Gpu(
    "rtx3090", "RTX 3090 (made-up figures)", "Ampere", 82, 1695, {"fp16": 71.0, "int8": 284.0, "fp32": 35.6}, 776, 936,
    6, ("int8", "fp16", "fp32"), {"eager": 30.0, "compiled": 6.0, "tensorrt": 6.0}, "test",
)  # fmt: skip
SIZES = (1, 4, 16, 64, 256)
NOTES = ("outside the sizes that were measured here", "layers that skip work are costed in full")


def kernels(count: int, batch: int = 1, name: str = "block", seed: int = 0) -> tuple[KernelTime, ...]:
    """Products and element-wise kernels (each fourth), bound by compute, memory or launch."""
    rng, found = np.random.default_rng(seed), []
    for i in range(count):
        macs = 0 if i % 4 == 3 else int(10 ** rng.uniform(5, 9)) * batch
        moved = int(10 ** rng.uniform(4.5, 6.5) * (1 + 0.7 * batch))
        precision = "fp16" if i % 3 else "int8"
        compute, memory = 2 * macs / GPU.peak_tflops[precision] / 0.4e6, moved / GPU.dram_gbps_spec / 0.7e3
        bound: Any = max(("compute", compute), ("memory", memory), ("launch", 6.0), key=lambda pair: pair[1])[0]
        time = compute + memory + 6.0
        found.append(KernelTime(f"{name}.{i}", "conv" if macs else "memory", time, bound, precision, macs, moved))
    return tuple(found)


def prediction(count: int = 24, sizes: Sequence[int] = SIZES, **changes: Any) -> LatencyPrediction:
    """A network of so many kernels; the largest two batch sizes lie outside what was measured."""
    batches = []
    for size in sizes:
        layers = kernels(count, size)
        mid = sum(k.latency_us for k in layers)
        out = size in sizes[-2:]
        interval = Interval((0.5 if out else 0.85) * mid, mid, (2.1 if out else 1.2) * mid, "us", "end_to_end", 0.93)
        quantiles = {"0.05": interval.lo, "0.5": mid, "0.95": interval.hi}
        batches.append(BatchLatency(size, interval, quantiles, None, out, layers))
    return replace(LatencyPrediction("rtx3090", "tensorrt", "mixed", tuple(batches), NOTES), **changes)


def latencies(*counts: int, **changes: Any) -> Latencies:
    """A prediction for each number of kernels."""
    timed = tuple(Timed(f"Device {i} (made-up)", prediction(count), GPU) for i, count in enumerate(counts or (24,)))
    return replace(Latencies("net", timed), **changes)
