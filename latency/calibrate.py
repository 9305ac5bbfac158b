"""Fits a calibration to measured rows of one device: `hwsim calibrate gpu`.

For every runtime, precision and layout: the nearest shipped model, first drawn to the kernels that ran alone (CUDA
graphs, traces, engines), then to those that an idle host launched, whose cost adds up with theirs; then to networks,
where a GPU hides the shorter of both. How far each fit may go is chosen by what it then says of rows left out; where
nothing helps, it stays where it is. Errors are of fits that saw no row of the same shape or network.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
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
from hwsim.latency.networks.calibrate_classes import ADDED, NOBODY_US, SYNCHRONOUS, Drawn, Rows, figures
from hwsim.latency.networks.models import Found, NetworkModels, network_models, size_of
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
        runtime, precision, layout = key.split("/")
        if precision not in gpu.native:
            skips[key, f"the device file has no {precision}"] += len(some)
            continue
        part = _Part.of(some, gpu, known.find(gpu, runtime, precision, layout), resolve, skips)
        if len(part.alone) + len(part.launched) + len(part.networks):
            settings[key] = part.calibrated(known.transfer[size_of(gpu)], told)
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
class _Part:
    """Rows of one runtime, precision and layout: kernels alone, kernels launched by an idle host, networks."""

    gpu: Gpu
    found: Found
    alone: Rows
    launched: Rows
    networks: Rows
    ranges: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, rows: Sequence[Measurement], gpu: Gpu, found: Found, resolve: Resolve, skips: Skips) -> _Part:
        singles = [row for row in rows if row.shape is not None and row.runtime != "eager-queued"]
        kernels: dict[bool, list[tuple[Array, float, str]]] = {True: [], False: []}
        for row in singles:
            assert row.shape is not None
            sums = Launches.of([(row.operator, row.shape)]).sums(gpu, row.batch, row.precision)
            sums[TERMS.index(WEIGHTS)] = 0.0
            alone = row.runtime != "eager" or _TRACED in row.source
            kernels[alone].append((sums, row.latency_us, repr(row.shape)))
        unfused = "eager" if not found.model.fused else "compiled"
        networks, made = [], []
        for row in _one_protocol([row for row in rows if row.shape is None], skips):
            try:
                launches = resolve(row.name, unfused)
            except HwsimError as error:
                skips[row.name or "a network", str(error)] += 1
                continue
            made.append((launches, row.batch))
            networks.append((launches.sums(gpu, row.batch, row.precision), row.latency_us, row.name))
        macs = [float(sum(s.macs * n for s, n in zip(m.shapes, m.counts, strict=True))) for m, _ in made]
        spans = {
            "macs": macs,
            "batch": [float(n) for _, n in made],
            "launches": [float(m.counts.sum()) for m, _ in made],
        }
        ranges = {name: (min(values), max(values)) if values else _ANY for name, values in spans.items()}
        return cls(gpu, found, Rows.of(kernels[True]), Rows.of(kernels[False]), Rows.of(networks), ranges)

    def calibrated(self, transfer: Errors, told: dict[str, list[tuple[Array, Array, Array]]]) -> Calibrated:
        """Fit; `told` is given measured times, zero-shot ones and those of fits that did not see a row."""
        drawn = Drawn(self.found.model, self.gpu.architecture in SYNCHRONOUS)
        shown = self.launched if len(self.launched) else self.alone
        kernels = drawn.kernels(self.alone, self.launched)[1]
        errors = None
        if len(shown):
            start = replace(
                drawn.start, overlap=ADDED, host_us=drawn.start.host_us if len(self.launched) else NOBODY_US
            )
            last = drawn.kernels_left_out(self.alone, self.launched)
            told["kernels"].append((shown.latency_us, start.network_us(shown.sums), last))
            errors = _errors(np.log(shown.latency_us / last), shown.group)
        factors = replace(drawn.start, factors=kernels.factors)
        if drawn.synchronous:
            factors = replace(factors, host_us=kernels.host_us, overlap=ADDED)
        spread, names = None, self.networks.names
        if names:
            last = drawn.networks_left_out(self.networks, factors)
            first = self.found.model.network_us(self.networks.sums)
            told["networks"].append((self.networks.latency_us, first, last))
            spread = _errors(np.log(self.networks.latency_us / last), self.networks.group)
        spread = spread or transfer
        network = replace(
            drawn.networks(self.networks, factors),
            stack="calibrated", spread=spread, ranges=self.ranges, families=names, networks=len(self.networks),
            coverage=spread.coverage,
        )  # fmt: skip
        return Calibrated(network, kernels if errors else None, errors)


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
