"""What a device says of itself: multiprocessors, clock, cache, the bandwidth that its memory's clock and bus give."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hwsim.latency.profile.clocks import clocks
from hwsim.latency.profile.identity import cpu_info

_ARCHITECTURES = {
    (5, 0): "Maxwell", (5, 2): "Maxwell", (5, 3): "Maxwell", (6, 0): "Pascal", (6, 1): "Pascal", (6, 2): "Pascal",
    (7, 0): "Volta", (7, 2): "Volta", (7, 5): "Turing", (8, 0): "Ampere", (8, 6): "Ampere", (8, 7): "Ampere",
    (8, 9): "Ada", (9, 0): "Hopper", (10, 0): "Blackwell", (10, 3): "Blackwell", (12, 0): "Blackwell",
}  # fmt: skip
_UNITS = {"K": 2.0**-10, "M": 1.0, "G": 2.0**10}
_SYSTEM = Path("/sys/devices/system/cpu/cpu0")
ASSUMED_MHZ, ASSUMED_MB = 1000.0, 8.0  # where nothing tells: no prediction depends on them much, and the file says so


@dataclass(frozen=True, slots=True)
class Facts:
    """A device's own words.

    Attributes
    ----------
    sms : multiprocessors of a GPU, threads of a CPU.
    spec_gbps : the memory's rate on paper, GB/s; 0 where it is not known.
    l2_mb : last-level cache, MiB.
    assumed : names of the numbers that nothing told.
    """

    architecture: str
    sms: int
    clock_mhz: float
    spec_gbps: float
    l2_mb: float
    assumed: tuple[str, ...] = ()


def facts(kind: str, threads: int) -> Facts:
    """Of the first visible GPU, or of this machine's CPU used with so many threads."""
    if kind == "cpu":
        return known(platform.machine() or "CPU", threads, cpu_mhz(), 0.0, cache_mb())
    return gpu_facts(torch.cuda.get_device_properties(0), clocks())


def gpu_facts(properties: Any, reading: Mapping[str, Any]) -> Facts:
    """From torch's properties of a device and a reading of its clocks; either may lack fields."""
    capability = properties.major, properties.minor
    name = _ARCHITECTURES.get(capability, "compute capability {}.{}".format(*capability))
    mhz = reading.get("sm_max_mhz") or getattr(properties, "clock_rate", 0) / 1e3
    memory_mhz = reading.get("memory_max_mhz") or getattr(properties, "memory_clock_rate", 0) / 1e3
    spec = memory_mhz * 2 * getattr(properties, "memory_bus_width", 0) / 8e3  # two transfers a clock
    return known(name, properties.multi_processor_count, mhz, spec, getattr(properties, "L2_cache_size", 0) / 2**20)


def known(architecture: str, sms: int, clock_mhz: float, spec_gbps: float, l2_mb: float) -> Facts:
    """Facts in which a clock or a cache of 0 is replaced by an assumption, which is noted."""
    assumed = tuple(name for name, value in (("clock_mhz", clock_mhz), ("l2_mb", l2_mb)) if not value > 0)
    return Facts(architecture, sms, clock_mhz or ASSUMED_MHZ, spec_gbps, l2_mb or ASSUMED_MB, assumed)


def cpu_mhz() -> float:
    """The highest clock that Linux names, else the highest at this moment; 0 where neither is told."""
    path = _SYSTEM / "cpufreq" / "cpuinfo_max_freq"
    if path.is_file():
        return float(path.read_text()) / 1e3
    return max((float(mhz) for mhz in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", cpu_info(), re.MULTILINE)), default=0.0)


def cache_mb() -> float:
    """The largest cache of the first core, MiB; 0 where Linux does not tell."""
    sizes = [path.read_text().strip() for path in sorted((_SYSTEM / "cache").glob("index*/size"))]
    sizes += re.findall(r"^cache size\s*:\s*(\d+ [KMG])B", cpu_info(), re.MULTILINE)
    return max((size_mb(size) for size in sizes), default=0.0)


def size_mb(text: str) -> float:
    """`32768K` or `32 M` in MiB; 0 for anything else."""
    found = re.fullmatch(r"(\d+)\s*([KMG])", text)
    return int(found.group(1)) * _UNITS[found.group(2)] if found else 0.0
