"""Distributions of log errors on measurements that a fit did not see."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.latency.catalog import devices

NOMINAL_COVERAGE = 0.9
_SAME_CHIP = {"v100-pcie": "v100"}


@dataclass(frozen=True, slots=True)
class Errors:
    """Distribution of log(measured / predicted) on measurements that the fit did not see.

    Attributes
    ----------
    levels, values : its quantiles; the median is 0 where fits are centred on it.
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

    def stretched(self, by: float) -> Errors:
        """Both sides further out by a log ratio."""
        side = np.sign(np.asarray(self.levels) - 0.5)
        return Errors(self.levels, tuple((np.asarray(self.values) + side * by).tolist()), self.coverage, self.groups)

    def around_zero(self) -> Errors:
        """The same with the median of the table at 0 and the ends on either side of it."""
        level = np.asarray(self.levels)
        values = np.where(level < 0.5, np.minimum(self.values, -1e-6), np.maximum(self.values, 1e-6))
        values = np.where(level == 0.5, 0.0, values)
        return Errors(self.levels, tuple(np.sort(values).tolist()), self.coverage, self.groups)


def chip_of(gpu: Gpu) -> str:
    """Name under which a device was fitted; empty for one of the user's own.

    A shipped card stays itself with what `hwsim profile` measured of its machine: sustained bandwidth, launches.
    """
    card = devices().get(gpu.name)
    if card is None:
        return ""
    own = replace(gpu, dram_gbps=card.dram_gbps, launch_us=card.launch_us, source=card.source, title=card.title)
    return shared_chip(gpu.name) if own == card else ""


def fitted_name(gpu: Gpu) -> str:
    """Name under which measurements of a device stand; empty where a user's file borrows the name of a shipped one."""
    return chip_of(gpu) or ("" if gpu.name in devices() else gpu.name)


def shared_chip(name: str) -> str:
    """The device whose measurements serve a shipped device."""
    return _SAME_CHIP.get(name, name)
