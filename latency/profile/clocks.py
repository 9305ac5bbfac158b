"""Clocks, power and throttling of a GPU while it is profiled: by NVML where its binding is there, else nvidia-smi."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch

_FIELDS = {
    "sm_mhz": "clocks.sm", "memory_mhz": "clocks.mem", "sm_max_mhz": "clocks.max.sm",
    "memory_max_mhz": "clocks.max.mem", "power_w": "power.draw", "power_limit_w": "power.limit",
    "temperature_c": "temperature.gpu",
}  # fmt: skip
_REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")  # the second: drivers before 535
# bits of nvmlClocksEventReasons (nvml.h)
_NAMES = {
    0x1: "idle", 0x2: "application clocks", 0x4: "software power cap", 0x8: "hardware slowdown", 0x10: "sync boost",
    0x20: "software thermal slowdown", 0x40: "hardware thermal slowdown", 0x80: "hardware power brake",
    0x100: "display clocks",
}  # fmt: skip
_EVERY_S = 5.0


@dataclass(slots=True)
class ClockLog:
    """Readings of a GPU's clocks, taken when asked but at most every five seconds; of a CPU there are none."""

    kind: str
    readings: list[dict[str, Any]] = field(default_factory=list)
    _start: float = field(default_factory=time.perf_counter)

    def __call__(self, always: bool = False) -> None:
        """Take a reading, if it is time for one or `always`."""
        second = time.perf_counter() - self._start
        if self.kind == "cuda" and (always or not self.readings or second - self.readings[-1]["second"] > _EVERY_S):
            self.readings.append({"second": round(second, 1)} | clocks())

    @property
    def throttled(self) -> list[str]:
        """Reasons for lowered clocks in any reading, being idle left out."""
        return sorted({name for reading in self.readings for name in reading.get("throttled", ())} - {"idle"})


def clocks() -> dict[str, Any]:
    """One reading: MHz, W, degrees Celsius, reasons of lowered clocks; empty where nothing can be read."""
    try:
        return _by_nvml()
    except Exception:  # the binding's errors derive from Exception, and it may be any version
        return _by_command()


def throttle_reasons(bits: int) -> list[str]:
    """Names of the reasons in a bit mask of NVML."""
    return [name for bit, name in _NAMES.items() if bits & bit]


def _by_nvml() -> dict[str, Any]:
    nvml = import_module("pynvml")
    nvml.nvmlInit()
    gpu = nvml.nvmlDeviceGetHandleByUUID(_uuid().encode())
    reasons = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", nvml.nvmlDeviceGetCurrentClocksThrottleReasons)
    return {
        "sm_mhz": nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
        "memory_mhz": nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM),
        "sm_max_mhz": nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM),
        "memory_max_mhz": nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_MEM),
        "power_w": nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,
        "power_limit_w": nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1e3,
        "temperature_c": nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
        "throttled": throttle_reasons(reasons(gpu)),
    }


def _by_command() -> dict[str, Any]:
    for reasons in _REASONS:
        words = query(",".join((*_FIELDS.values(), reasons)))
        if len(words) == len(_FIELDS) + 1:
            reading: dict[str, Any] = {name: _number(word) for name, word in zip(_FIELDS, words, strict=False)}
            bits = words[-1]
            return reading | {"throttled": throttle_reasons(int(bits, 16)) if bits.startswith("0x") else []}
    return {}


def query(fields: str) -> list[str]:
    """What nvidia-smi says of the first visible GPU; empty where it is missing or fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, "-i", _uuid(), f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [word.strip() for word in done.stdout.strip().split(",")]


def _uuid() -> str:
    uuid = getattr(torch.cuda.get_device_properties(0), "uuid", None)
    return "0" if uuid is None else f"GPU-{uuid}"


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
