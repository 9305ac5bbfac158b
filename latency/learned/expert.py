"""A fitted correction to the simulated time of kernels of some classes in one runtime.

    log time = log simulated time + offset of the device and class + trees(ratios)

The trees are the same for all devices: they read ratios, and three that describe a device (ridge point, second-level
cache and peak a multiprocessor). Offsets of measured devices are shrunk means; an unmeasured device has that of
measured ones with the same multiprocessor, else that of all, and half of the trees' correction: a share chosen on
products of the A100, V100 and P100, each left out (tests/benchmarks/latency_scores.py devices). A kernel whose ratios
or taps leave the range of the training rows of its kind gets less of the trees' correction and a wider interval, in
proportion to how far out it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.latency.learned.spread import Spread
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.ratios import NAMES, RATIOS, Simulated, simulate
from hwsim.latency.simulator.table import Array, KernelTable
from hwsim.stats.oblivious_boosting import ObliviousTrees

EXTRA = (
    "log2 element bytes",
    "channels last",
    "log ridge point",
    "log L2 a multiprocessor",
    "log peak a multiprocessor",
)
_KIND, _TAPS = NAMES.index("kind"), NAMES.index("log2 taps")
_UNMEASURED = 0.5  # share of the trees' correction on a device that was not measured
_FAR = 1.5  # log ratio beyond the range at which half of the trees' correction is left


@dataclass(frozen=True, slots=True)
class Setting:
    """What kernels run on and in: device, precision, layout (`nchw` or `nhwc`)."""

    gpu: Gpu
    device: str
    precision: str
    layout: str = "nchw"


@dataclass(frozen=True, slots=True)
class KernelForecast:
    """Times of kernels, (rows) or (rows, levels), microseconds.

    Attributes
    ----------
    quantiles_us : at `levels`, rising.
    distance : how far outside the training rows, 0 inside.
    """

    time_us: Array
    levels: tuple[float, ...]
    quantiles_us: Array
    distance: Array


@dataclass(frozen=True, slots=True)
class Expert:
    """One fitted correction.

    Attributes
    ----------
    name, runtime, kinds : what it is for.
    floors_us : least time of one launch by `device/precision/kind`; by `precision/kind`, `kind` and "" relative to the
        device's own launch cost.
    offsets : of the log time by the same keys, and by `family/precision/kind` (see `family_of`).
    trees : on ratios and `EXTRA`, for each member of the ensemble.
    low, high : range of the training rows in every column of ratios and in the logarithm of taps, by kind:
        (kinds, columns); of kinds without training rows that of all.
    spread : quantiles of what is left.
    """

    name: str
    runtime: str
    kinds: tuple[str, ...]
    floors_us: Mapping[str, float]
    offsets: Mapping[str, float]
    trees: tuple[ObliviousTrees, ...]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    spread: Spread

    def predict(self, table: KernelTable, setting: Setting) -> KernelForecast:
        """Times of kernels whose kinds are among `kinds`."""
        simulated = self.simulated(table, setting)
        x = features(simulated, table, setting)
        distance = self.distance(x)
        centre = np.log(simulated.time_us) + self._correction(x, distance, table, setting)
        quantiles = np.repeat(centre[:, None], len(self.spread.levels), axis=1)
        for kind in np.flatnonzero(np.bincount(table.kind)):
            rows = table.kind == kind
            label = label_of(setting, CLASSES[kind])
            quantiles[rows] += self.spread.quantiles(x[rows], label, distance[rows])
        return KernelForecast(np.exp(centre), self.spread.levels, np.exp(quantiles), distance)

    def gpu_us(self, table: KernelTable, setting: Setting) -> Array:
        """Times on the GPU alone, without what a launch costs; microseconds.

        The correction to the whole is taken to be that to either part.
        """
        simulated = self.simulated(table, setting)
        x = features(simulated, table, setting)
        return np.asarray(simulated.work_us * np.exp(self._correction(x, self.distance(x), table, setting)))

    def _correction(self, x: NDArray[np.float32], distance: Array, table: KernelTable, setting: Setting) -> Array:
        """Of the log time: the offset, and as much of the trees as the distance and an unmeasured device leave."""
        trees = np.mean([one.predict(x) for one in self.trees], axis=0)
        measured = [label_of(setting, kind) in self.offsets for kind in CLASSES]
        weight = np.where(measured, 1.0, _UNMEASURED)[table.kind] / (1 + (distance / _FAR) ** 2)
        return np.asarray(self._by_kind(self.offsets, setting)[table.kind] + weight * trees)

    def serves(self, kind: str, precision: str) -> bool:
        """Whether such kernels were measured, on any device."""
        return f"{precision}/{kind}" in self.offsets

    def simulated(self, table: KernelTable, setting: Setting) -> Simulated:
        """The rules, with this runtime's cost of a launch."""
        floors = [self.floors_us.get(label_of(setting, kind), 0.0) for kind in CLASSES]
        relative = self._by_kind(self.floors_us, setting) * setting.gpu.launch_us[self.runtime]
        floor = np.where(floors, floors, relative)[table.kind]
        return simulate(table, setting.gpu, np.full(len(table), setting.gpu.peak_tflops[setting.precision]), floor)

    def distance(self, x: NDArray[np.float32]) -> Array:
        """How far the farthest ratio of a row is outside the training range, in logarithms."""
        kind = x[:, _KIND].astype(int)
        seen = ranged(x)
        beyond = np.maximum(seen - self.high[kind], self.low[kind] - seen)
        return np.asarray(beyond.max(axis=1).clip(0), dtype=np.float64)

    def _by_kind(self, values: Mapping[str, float], setting: Setting) -> Array:
        """The value of every kind: of this device, its family or any device in this precision, else of any."""
        found = []
        for kind in CLASSES:
            own = f"{setting.precision}/{kind}"
            keys = (label_of(setting, kind), f"{family_of(setting.gpu)}/{own}", own, kind, "")
            found.append(next(values[key] for key in keys if key in values))
        return np.array(found)


def label_of(setting: Setting, kind: str) -> str:
    """Device, precision and kind: what has an offset and an interval of its own."""
    return f"{setting.device}/{setting.precision}/{kind}"


def family_of(gpu: Gpu) -> str:
    """Architecture and fp32 lanes of a multiprocessor: GPUs that differ in size, memory and clock alone share it."""
    lanes = gpu.peak_tflops["fp32"] * 1e6 / 2 / gpu.sms / gpu.clock_mhz
    return f"{gpu.architecture} of {16 * round(lanes / 16)} lanes"


def ranged(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What has a range: ratios, and taps, since a kernel of one size tells little of another."""
    return np.column_stack([x[:, : len(RATIOS)], x[:, _TAPS] * np.float32(np.log(2))])


def features(simulated: Simulated, table: KernelTable, setting: Setting) -> NDArray[np.float32]:
    """What trees read: ratios, then `EXTRA`."""
    gpu = setting.gpu
    peak = gpu.peak_tflops[setting.precision]
    one = np.ones(len(table))
    extra = (
        np.log2(table.width_bytes), one * (setting.layout == "nhwc"), one * np.log(peak / gpu.dram_gbps_spec),
        one * np.log(gpu.l2_mb / gpu.sms), one * np.log(peak / gpu.sms),
    )  # fmt: skip
    return np.column_stack([simulated.ratios, *extra]).astype(np.float32)
