"""Fits a calibration to measured rows of one device: `hwsim calibrate gpu`.

For every runtime, precision and layout: a shipped model, first drawn to the kernels that ran alone (CUDA graphs,
traces, engines), then to those that an idle host launched, whose cost adds up with theirs; then to networks, where a
GPU hides the shorter of both. The model is that of the nearest networks or the sum of single kernels, whichever then
says more of rows left out; so is how far each fit may go, and where nothing helps, it stays where it is. Errors are of
fits that saw no row of the same shape or network.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.core.errors import HwsimError, InputError, nearest
from hwsim.latency.calibration import Calibrated, Calibration
from hwsim.latency.conformal import errors_of, left_out_coverage, median_of
from hwsim.latency.errors import Errors
from hwsim.latency.measured.launches import Launches
from hwsim.latency.measurements import Measurement, cells
from hwsim.latency.networks.calibrate_classes import ADDED, NOBODY_US, Drawn, Rows, figures
from hwsim.latency.networks.models import SYNCHRONOUS, Found, NetworkModels, network_models, size_of
from hwsim.latency.networks.work_classes import TERMS, WEIGHTS
from hwsim.latency.simulator.table import Array

Resolve = Callable[
    [str, str], Launches
]  # the kernels of a network by its name in rows, `timm:resnet50@224`, and runtime
_RUNTIMES = {
    "eager": "eager",
    "eager-queued": "eager",
    "graph": "eager",
    "compiled": "compiled",
    "tensorrt": "tensorrt",
}
_TRACED = "trace"  # in the source of kernels whose times the profiler of a framework took on the device
_LEAST = 3  # networks from which their own errors tell an interval
_ANY = (0.0, 1e18)
Skips = Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Made:
    """A calibration, and what was left out: what, why, how many rows."""

    calibration: Calibration
    skipped: tuple[dict[str, Any], ...]


def calibrate(rows: Sequence[Measurement], gpu: Gpu, resolve: Resolve, models: NetworkModels | None = None) -> Made:
    """Fit and score.

    Parameters
    ----------
    resolve : raises an `HwsimError` for a network that it does not know; its rows are left out.
    models : where to start; None takes those that ship.

    Raises
    ------
    InputError
        Without rows, for rows of another device or of an unknown runtime, and where no row can be used.
    """
    _check(rows, gpu)
    known = models or network_models()
    skips: Skips = Counter()
    settings: dict[str, Calibrated] = {}
    told: dict[str, list[tuple[Array, Array, Array]]] = defaultdict(list)
    groups: dict[str, list[Measurement]] = defaultdict(list)
    for row in rows:
        groups[f"{_RUNTIMES[row.runtime]}/{row.precision}/{row.layout}"].append(row)
    for key, some in sorted(groups.items()):
        runtime, precision = key.split("/")[:2]
        if precision not in gpu.native:
            skips[key, f"the device file has no {precision}"] += len(some)
            continue
        taken = _Taken.of(some, runtime, resolve, skips)
        if taken.rows:
            best = _best(taken, gpu, key, known)
            settings[key] = best.calibrated
            for what, found in best.told.items():
                told[what].append(found)
    if not settings:
        reasons = "; ".join(f"{what}: {why}" for what, why in list(skips)[:3])
        raise InputError("no row can be used", where="calibrate gpu", hint=reasons)
    scores = {what: tuple(np.concatenate(part) for part in zip(*found, strict=True)) for what, found in told.items()}
    before = {what: figures(us, first) for what, (us, first, _) in scores.items()}
    after = {what: figures(us, last) for what, (us, _, last) in scores.items()}
    digest = sha256("\n".join(sorted(",".join(map(str, cells(row))) for row in rows)).encode()).hexdigest()
    used = len(rows) - sum(skips.values())
    about = {"date": date.today().isoformat(), "rows": used, "sha256": digest}
    skipped = tuple({"what": what, "reason": why, "rows": n} for (what, why), n in skips.items())
    return Made(Calibration(gpu, settings, before, after, about), skipped)


def _best(taken: _Taken, gpu: Gpu, key: str, known: NetworkModels) -> _Fitted:
    """The calibration from the start that says most of rows left out; zero-shot times are those of `hwsim predict`."""
    runtime, precision, layout = key.split("/")
    nearest = known.find(gpu, runtime, precision, layout)
    parts = [_Part.of(taken, gpu, layout, nearest)]
    serving = known.serving(gpu, runtime, precision, layout)
    summed = serving if serving.model.by_kernels else known.from_kernels(gpu, runtime, precision)
    if summed:
        parts.append(_Part.of(taken, gpu, layout, summed))
    made = [part.fitted(known.transfer[size_of(gpu)]) for part in parts if part]
    serves = made[-1] if serving.model.by_kernels else made[0]
    best = min(made, key=lambda one: one.loss)
    return replace(best, told={what: (us, serves.told[what][1], last) for what, (us, _, last) in best.told.items()})


def _check(rows: Sequence[Measurement], gpu: Gpu) -> None:
    if not rows:
        raise InputError("no rows", where="calibrate gpu", hint="hwsim profile measures this machine's device")
    for row in rows:
        if row.device != gpu.name:
            hint = f"--device: the file or name of {row.device}; or rows of {gpu.name} alone"
            raise InputError(f"rows of {row.device!r}, and the device is {gpu.name}", where="device", hint=hint)
        if row.runtime not in _RUNTIMES:
            raise InputError(f"runtime {row.runtime!r}", where="runtime", hint=nearest(row.runtime, _RUNTIMES))


@dataclass(frozen=True, slots=True)
class _Taken:
    """Rows of one runtime, precision and layout: single kernels, and networks with their kernels by kind of runtime."""

    singles: tuple[Measurement, ...]
    networks: tuple[tuple[Measurement, Mapping[str, Launches]], ...]
    fused: bool

    @classmethod
    def of(cls, rows: Sequence[Measurement], runtime: str, resolve: Resolve, skips: Skips) -> _Taken:
        singles = tuple(row for row in rows if row.shape is not None and row.runtime != "eager-queued")
        fused = runtime != "eager"
        kinds = ("eager", "compiled") if fused else ("eager",)
        networks = []
        for row in _one_protocol([row for row in rows if row.shape is None], skips):
            try:
                networks.append((row, {kind: resolve(row.name, kind) for kind in kinds}))
            except HwsimError as error:
                skips[row.name or "a network", str(error)] += 1
        return cls(singles, tuple(networks), fused)

    @property
    def rows(self) -> int:
        return len(self.singles) + len(self.networks)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A calibration from one start; `loss` is the mean log error of what its fits did not see, networks first.

    `told` holds measured times, zero-shot ones and those of fits that did not see a row, of `kernels` and `networks`.
    """

    calibrated: Calibrated
    told: Mapping[str, tuple[Array, Array, Array]]

    @property
    def loss(self) -> float:
        what = "networks" if "networks" in self.told else "kernels"
        if what not in self.told:
            return 0.0
        measured, _, last = self.told[what]
        return float(np.abs(np.log(measured / last)).mean())


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows as sums for one start: kernels alone, kernels launched by an idle host, networks."""

    gpu: Gpu
    found: Found
    alone: Rows
    launched: Rows
    networks: Rows
    ranges: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, taken: _Taken, gpu: Gpu, layout: str, found: Found) -> _Part | None:
        """None where single kernels are to be summed and a kind of them was never measured."""

        def sums(made: Launches, row: Measurement) -> Array | None:
            if found.model.by_kernels:
                return made.kernel_sums(gpu, row.batch, row.precision, layout)
            return made.sums(gpu, row.batch, row.precision)

        kernels: dict[bool, list[tuple[Array, float, str]]] = {True: [], False: []}
        for row in taken.singles:
            assert row.shape is not None
            told = sums(Launches.of([(row.operator, row.shape)]), row)
            if told is None:
                return None
            told[TERMS.index(WEIGHTS)] = 0.0
            alone = row.runtime != "eager" or _TRACED in row.source
            kernels[alone].append((told, row.latency_us, repr(row.shape)))
        kind = "compiled" if found.model.fused and taken.fused else "eager"
        networks = []
        for row, made in taken.networks:
            told = sums(made[kind], row)
            if told is None:
                return None
            networks.append((told, row.latency_us, row.name))
        spans = {
            "macs": [made[kind].macs for _, made in taken.networks],
            "batch": [float(row.batch) for row, _ in taken.networks],
            "launches": [float(made[kind].counts.sum()) for _, made in taken.networks],
        }
        ranges = {name: (min(values), max(values)) if values else _ANY for name, values in spans.items()}
        return cls(gpu, found, Rows.of(kernels[True]), Rows.of(kernels[False]), Rows.of(networks), ranges)

    def fitted(self, transfer: Errors) -> _Fitted:
        """Fit; the errors are `transfer` where too few networks were measured to tell."""
        drawn = Drawn(self.found.model, self.gpu.architecture in SYNCHRONOUS)
        told: dict[str, tuple[Array, Array, Array]] = {}
        shown = self.launched if len(self.launched) else self.alone
        kernels = drawn.kernels(self.alone, self.launched)[1]
        errors = None
        if len(shown):
            start = replace(
                drawn.start, overlap=ADDED, host_us=drawn.start.host_us if len(self.launched) else NOBODY_US
            )
            last = drawn.kernels_left_out(self.alone, self.launched)
            told["kernels"] = (shown.latency_us, start.network_us(shown.sums), last)
            errors = _errors(np.log(shown.latency_us / last), shown.group)
        factors = replace(drawn.start, factors=kernels.factors)
        if drawn.synchronous:
            factors = replace(factors, host_us=kernels.host_us, overlap=ADDED)
        own = self.found.model.spread if self.found.model.by_kernels else None
        spread, names = None, self.networks.names
        if names:
            last = drawn.networks_left_out(self.networks, factors)
            first = self.found.model.network_us(self.networks.sums)
            told["networks"] = (self.networks.latency_us, first, last)
            spread = _errors(np.log(self.networks.latency_us / last), self.networks.group)
        spread = spread or (own if isinstance(own, Errors) else transfer)
        network = replace(
            drawn.networks(self.networks, factors),
            stack="calibrated", spread=spread, ranges=self.ranges, families=names, networks=len(self.networks),
            coverage=spread.coverage,
        )  # fmt: skip
        return _Fitted(Calibrated(network, kernels if errors else None, errors), told)


def _errors(residual: Array, group: NDArray[np.str_]) -> Errors | None:
    """Errors of what was left out; None where it is too few to tell an interval."""
    if len(set(group.tolist())) < _LEAST:
        return None
    return errors_of(residual - median_of(residual, group), group, left_out_coverage(residual, group))


def _one_protocol(rows: Sequence[Measurement], skips: Skips) -> list[Measurement]:
    """Networks back to back where they were timed so, not those on an idle stream; replays of graphs have no host."""
    queued = {(row.name, row.batch) for row in rows if row.runtime == "eager-queued"}
    kept = [
        row for row in rows
        if row.runtime != "graph" and not (row.runtime == "eager" and (row.name, row.batch) in queued)
    ]  # fmt: skip
    if len(kept) < len(rows):
        skips["networks", "timed back to back as well, or as a graph, which no runtime of hwsim predict is"] += len(
            rows
        ) - len(kept)
    return kept
