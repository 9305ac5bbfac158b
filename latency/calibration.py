"""What was fitted on measurements (data/calibration.json): efficiencies by operator class, and how wrong they were.

`python -m hwsim.latency.fit FOLDER` writes the file; `python -m hwsim.latency.evaluate FOLDER` recomputes the errors
that it states.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.latency.catalog import devices
from hwsim.latency.roofline import Efficiency

PATH = Path(__file__).parent / "data" / "calibration.json"
NOMINAL_COVERAGE = 0.9
_SAME_CHIP = {"v100-pcie": "v100"}


@dataclass(frozen=True, slots=True)
class Errors:
    """Distribution of log(measured / predicted) on measurements that the fit did not see.

    Attributes
    ----------
    levels, values : its quantiles; the median is 0 (fits are centred on it).
    coverage : share of further held-out measurements inside the 5 %..95 % interval.
    groups : how many independent groups (shapes, network families, devices) the quantiles rest on.
    """

    levels: tuple[float, ...]
    values: tuple[float, ...]
    coverage: float
    groups: int

    def quantile(self, level: float) -> float:
        return float(np.interp(level, self.levels, self.values))

    def share_above(self, value: float) -> float:
        """Probability of a log error above `value`, never beyond the outermost levels of the table."""
        return round(float(1 - np.interp(value, self.values, self.levels)), 6)

    def held(self, residual: NDArray[np.float64]) -> float:
        """Share of log errors inside the 90 % interval."""
        low, high = (self.quantile((1 + side * NOMINAL_COVERAGE) / 2) for side in (-1, 1))
        return float(np.mean((residual >= low) & (residual <= high)))

    def wider(self, other: Errors) -> Errors:
        """The outer one of both distributions at every level; the coverage stated is that of `other`."""
        theirs = np.interp(self.levels, other.levels, other.values)
        outer = np.where(
            np.asarray(self.levels) < 0.5, np.minimum(self.values, theirs), np.maximum(self.values, theirs)
        )
        return Errors(self.levels, tuple(outer.tolist()), other.coverage, other.groups)


@dataclass(frozen=True, slots=True)
class Fit:
    """One fit: a network's kernels on a device, runtime and precision, or one class of single kernels.

    Attributes
    ----------
    launch_us, overlap : cost of a launch, and the exponent that joins it to the time on the multiprocessors.
    errors : None where no such measurement exists.
    range : of `macs` and `batch` (and `bytes` for single kernels), smallest and largest fitted value. MACs are those
        of an image for networks, of a launch for kernels.
    classes : operator classes that the fitted measurements held.
    """

    efficiency: Mapping[str, Efficiency]
    launch_us: float
    overlap: float
    errors: Errors | None
    range: Mapping[str, tuple[float, float]]
    classes: tuple[str, ...]

    def inside(self, **values: float) -> bool:
        """Whether each value lies in the fitted range."""
        return all(self.range[name][0] <= value <= self.range[name][1] for name, value in values.items())


@dataclass(frozen=True, slots=True)
class Calibration:
    """All fits by `device/runtime/precision` (kernels: `.../class`), and the errors of using one elsewhere.

    Attributes
    ----------
    about : provenance: tables, their hashes, versions, split rules.
    scores : errors on held-out measurements, as the reports state them.
    """

    networks: Mapping[str, Fit]
    kernels: Mapping[str, Fit]
    transfer: Errors | None
    about: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, float]]

    def network(self, gpu: Gpu, runtime: str, precision: str) -> tuple[Fit, bool]:
        """The fit for networks, or the nearest one; and whether it was made and scored for just this question."""
        wanted = f"{chip_of(gpu)}/{runtime}/{precision}"
        key = nearest_key(self.networks, wanted)
        return self.networks[key], key == wanted and self.networks[key].errors is not None

    def launch_us(self, gpu: Gpu, runtime: str, precision: str) -> float:
        """Cost of a launch in a network: fitted, or the device file's times what the nearest fit of the chip found."""
        chip = chip_of(gpu)
        wanted = f"{chip}/{runtime}/{precision}"
        if wanted in self.networks:
            return self.networks[wanted].launch_us
        scored = [key for key, fit in self.networks.items() if key.startswith(f"{chip}/") and fit.errors is not None]
        same = [key for key in scored if key.split("/")[1] == runtime]
        if not chip or not scored:
            return gpu.launch_us[runtime]
        key = nearest_key(same or scored, wanted)
        return gpu.launch_us[runtime] * self.networks[key].launch_us / gpu.launch_us[key.split("/")[1]]

    def kernel(self, gpu: Gpu, runtime: str, precision: str, kind: str) -> Fit | None:
        """The fit for single kernels of one class, or None where there is no such measurement."""
        return self.kernels.get(f"{chip_of(gpu)}/{runtime}/{precision}/{kind}")

    def as_json(self) -> str:
        """The form of the file, deterministic, numbers to six digits."""
        return json.dumps(_rounded(asdict(self)), indent=1) + "\n"


@cache
def load(path: Path = PATH) -> Calibration:
    """Read a calibration file."""
    data = json.loads(path.read_text())
    return Calibration(
        {key: _fit(entry) for key, entry in data["networks"].items()},
        {key: _fit(entry) for key, entry in data["kernels"].items()},
        _errors(data["transfer"]),
        data["about"],
        data["scores"],
    )


def chip_of(gpu: Gpu) -> str:
    """Name under which a device was fitted; empty for one of the user's own."""
    return shared_chip(gpu.name) if devices().get(gpu.name) == gpu else ""


def shared_chip(name: str) -> str:
    """The device whose measurements serve a shipped device."""
    return _SAME_CHIP.get(name, name)


def nearest_key(keys: Iterable[str], wanted: str) -> str:
    """The fit to use: the same kind of arithmetic (fp32 or narrower), then device, then precision, then runtime."""
    device, runtime, precision = wanted.split("/")

    def distance(key: str) -> float:
        its_device, its_runtime, its_precision = key.split("/")
        kind = (precision == "fp32") != (its_precision == "fp32")
        return 5 * kind + 3 * (its_device != device) + 1.5 * (its_precision != precision) + (its_runtime != runtime)

    return min(keys, key=distance)


def _errors(entry: Mapping[str, Any] | None) -> Errors | None:
    if entry is None:
        return None
    return Errors(tuple(entry["levels"]), tuple(entry["values"]), entry["coverage"], entry["groups"])


def _fit(entry: Mapping[str, Any]) -> Fit:
    return Fit(
        {kind: Efficiency(**values) for kind, values in entry["efficiency"].items()},
        entry["launch_us"],
        entry["overlap"],
        _errors(entry["errors"]),
        {name: (low, high) for name, (low, high) in entry["range"].items()},
        tuple(entry["classes"]),
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
