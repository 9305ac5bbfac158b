"""What a device reaches at its best: a copy's bandwidth, large products' rates, the launch of the smallest operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from hwsim.latency.profile.measure import Bench, Setting, configured
from hwsim.latency.profile.memory import free_bytes, give_back
from hwsim.latency.profile.operators import DTYPES, Maker, build
from hwsim.latency.profile.point import Point
from hwsim.latency.profile.timing import EAGER, GRAPH, QUEUED, Sample
from hwsim.latency.shapes import memory

PRECISIONS = {"cuda": ("int8", "fp16", "bf16", "tf32", "fp32"), "cpu": ("fp32",)}
_AMPERE = (
    8,
    0,
)  # compute capability from which bf16 and tf32 are executed (CUDA C programming guide, table of features)
_SIDES = {"cuda": (1024, 2048, 4096, 8192), "cpu": (512, 1024, 2048)}
_ROUNDS = 2  # other work on the machine disturbs one of them less
_LONG_US = {"cuda": 50e3, "cpu": 250e3}  # the larger products are left out above this time
_COPY_BYTES = {"cuda": 1 << 30, "cpu": 1 << 28}  # far above any last-level cache
_CACHES = 8  # a copied buffer exceeds the last-level cache so many times
_SHARE_OF_FREE = 0.2
_SMALLEST = Point("relu", 1, memory(64, 64))


@dataclass(frozen=True, slots=True)
class Reached:
    """Measured rates of a device.

    Attributes
    ----------
    dram_gbps : bytes read and written by a copy of `copied_mb`, GB/s.
    peak_tflops : by precision, two operations a multiply-accumulate.
    launch_us : `eager` (the smallest operator alone), `graph` (one of many in a CUDA graph; of a CPU as eager).
    """

    dram_gbps: float
    copied_mb: float
    peak_tflops: Mapping[str, float]
    launch_us: Mapping[str, float]


def reach(setting: Setting, cache_mb: float) -> Reached:
    """Measure the rates of the device at hand; takes seconds.

    Parameters
    ----------
    setting : device, threads and budget; its precision is not used.
    cache_mb : the last-level cache, MiB.
    """
    bench, single = Bench(), replace(setting, precision="fp32")
    with configured(single):
        gbps, copied = _bandwidth(bench, single, cache_mb)
        launches, _ = bench.time(build(_SMALLEST, Maker("fp32", "nchw", setting.kind)), single)
    graph = launches.get(GRAPH) or launches.get(QUEUED) or launches[EAGER]
    launch_us = {"eager": launches[EAGER].latency_us, "graph": graph.latency_us}
    peaks = {name: rate for name in _executed(setting.kind) if (rate := _peak(bench, setting, name))}
    return Reached(gbps, copied, peaks, launch_us)


def _executed(kind: str) -> tuple[str, ...]:
    """Precisions to try."""
    if kind == "cuda" and torch.cuda.get_device_capability(0) < _AMPERE:
        return tuple(name for name in PRECISIONS[kind] if name not in ("bf16", "tf32"))
    return PRECISIONS[kind]


def _bandwidth(bench: Bench, setting: Setting, cache_mb: float) -> tuple[float, float]:
    """GB/s of a copy, and the MB of its buffer."""
    wanted = max(_COPY_BYTES[setting.kind], _CACHES * cache_mb * 2**20)
    count = int(min(wanted, _SHARE_OF_FREE * free_bytes(setting.kind))) // 4
    source = torch.randn(count, device=setting.kind)
    target = torch.empty_like(source)
    time_us = _sustained(bench.time(lambda: target.copy_(source), setting)[0]).latency_us
    return 8 * count / time_us / 1e3, 4 * count / 1e6


def _peak(bench: Bench, setting: Setting, precision: str) -> float:
    """Tera-operations per second of the fastest of several square products; 0 where there is none."""
    with configured(replace(setting, precision="fp32" if precision == "int8" else precision)):
        best = max(rate for _ in range(_ROUNDS) for rate in (0.0, *_rates(bench, setting, precision)))
    give_back(setting.kind)
    return best


def _rates(bench: Bench, setting: Setting, precision: str) -> Iterator[float]:
    """Tera-operations per second of products of growing sides."""
    for side in _SIDES[setting.kind]:
        try:
            sample = _sustained(bench.time(_product(side, precision, setting.kind), setting)[0])
        except (RuntimeError, AttributeError):  # not on this device, or not in this torch
            return
        yield 2 * side**3 / sample.latency_us / 1e6
        if sample.latency_us > _LONG_US[setting.kind]:
            return


def _product(side: int, precision: str, kind: str) -> Callable[[], object]:
    if precision == "int8":
        left, right = (torch.randint(-127, 128, (side, side), dtype=torch.int8, device=kind) for _ in range(2))
        return lambda: torch._int_mm(left, right.t())
    a, b = (torch.randn(side, side, dtype=DTYPES[precision], device=kind) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def _sustained(found: Mapping[str, Sample]) -> Sample:
    """Back to back where that was timed."""
    return found.get(QUEUED) or found[EAGER]
