"""GPU latency of a workload: kernels by rule, factors and corrections learned on measurements, and an interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp, isnan, log
from typing import Literal

import numpy as np

from hwsim.core.assignment import Assignment
from hwsim.core.cost import BatchLatency, Interval, KernelTime, LatencyPrediction
from hwsim.core.devices import Gpu
from hwsim.core.errors import InputError, nearest
from hwsim.core.workload import COMPUTE, Workload
from hwsim.latency.calibration import Calibrated, Calibration
from hwsim.latency.catalog import device as find_device
from hwsim.latency.catalog import element_bytes
from hwsim.latency.errors import NOMINAL_COVERAGE, Errors, chip_of
from hwsim.latency.kernels import Kernel, kernels
from hwsim.latency.learned.experts import kernel_errors
from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.kernel_sums import kernel_works
from hwsim.latency.networks.models import Found, NetworkModels, network_models
from hwsim.latency.networks.network_model import STRANGE
from hwsim.latency.networks.work_classes import LAUNCHES, TERMS, NetworkTable, Work
from hwsim.latency.precision import precision_for
from hwsim.latency.simulator.table import Array

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LAYOUTS = ("nchw", "nhwc")
FEW_NETWORKS = 20
_MOST_BATCH = 1_000_000
_TELLING_SHARE = 0.1  # of the time: less than this in unmeasured classes does not make a network unusual
_LAUNCHES = TERMS.index(LAUNCHES)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is predicted, whatever the batch.

    Attributes
    ----------
    launched : kernels that the runtime launches, shown to the user; `priced` those that the model prices, each of which
        belongs to the launched one that `owner` says; `table` holds them at batch 1.
    main : the precision of most products.
    works : by batch, of what experts say of the kernels, where their sum serves; `nearest` tells then what bounds them.
    beside : the same where classes serve, filled for all `batches` once it is needed.
    """

    workload: Workload
    gpu: Gpu
    runtime: str
    main: str
    layout: str
    launched: tuple[Kernel, ...]
    priced: tuple[Kernel, ...]
    owner: tuple[int, ...]
    table: NetworkTable
    found: Found
    nearest: ClassModel
    models: NetworkModels
    works: Mapping[int, Work]
    batches: Sequence[int]
    beside: dict[int, Work]
    calibrated: Calibrated | None = None


@dataclass(frozen=True, slots=True)
class Timed:
    """Times of the priced kernels at one batch, what bounds each, and the errors of their sum.

    `lateness` is the probability of a log ratio above its argument, where one was fitted.
    """

    times_us: Array
    bounds: tuple[Literal["compute", "memory", "launch"], ...]
    errors: Errors
    stage: Literal["kernel", "end_to_end"]
    strange: bool
    lateness: Callable[[float], float] | None = None


def predict(
    workload: Workload,
    device: Gpu | str,
    batches: Sequence[int] = (1,),
    precision: str | None = None,
    runtime: str = "eager",
    assignment: Assignment | None = None,
    deadline_us: float | None = None,
    layout: str = "nchw",
    calibration: Calibration | None = None,
) -> LatencyPrediction:
    """Latency of a network on a GPU, by batch size.

    Parameters
    ----------
    device : a GPU, the name of one (`hwsim devices`), or the path of a TOML file.
    batches : batch sizes, 1 and up.
    precision : one that the device executes; None takes the cheapest one that holds each layer's formats, fp32
        without an assignment.
    runtime : `eager` (an operator a launch), `compiled` or `tensorrt` (fused).
    assignment : formats of the layers, for `precision=None`.
    deadline_us : per batch; fills `p_miss`, the share of the error distribution that exceeds it.
    layout : of images in memory, `nchw` or `nhwc` (channels last).
    calibration : of this device, to measured rows (`hwsim calibrate gpu`); it serves what it has rows of.

    Returns
    -------
    Latencies per batch in microseconds: 90 % intervals and quantiles from errors on measurements that the fit did not
    see (networks/fit_all.py, learned/fit_all.py). `layers` are kernels, named after their first layer; they sum to
    `mid`.

    Raises
    ------
    InputError
        Unknown device, runtime, precision or layout, a batch below 1, a deadline that is not positive, a calibration
        of another device.
    UnsupportedError
        A layer without a model; it is named.
    """
    gpu = find_device(device) if isinstance(device, str) else device
    _check(gpu, batches, precision, deadline_us, layout)
    choice, notes = _precisions(workload, gpu, precision, assignment)
    plan = _plan(workload, gpu, runtime, layout, choice, [int(b) for b in batches], calibration)
    used = sorted({k.precision for k in plan.launched})
    label = used[0] if len(used) == 1 else "mixed"
    results = tuple(_at_batch(plan, int(b), deadline_us) for b in batches)
    notes += _notes(plan, label, any(r.out_of_domain for r in results))
    if calibration is not None:
        none = f"the calibration has no rows of {runtime}, {label}, {layout}"
        notes += (calibration.note() if plan.calibrated else none,)
    return LatencyPrediction(gpu.name, runtime, label, results, notes)


def _plan(
    workload: Workload,
    gpu: Gpu,
    runtime: str,
    layout: str,
    choice: dict[str, str] | str,
    batches: Sequence[int],
    calibration: Calibration | None,
) -> Plan:
    launched = kernels(workload, runtime, choice)
    if not launched:
        raise InputError("nothing to compute", where=workload.name, hint="every layer is a view of the input")
    models = network_models()
    macs: dict[str, int] = {}
    for k in launched:
        macs[k.precision] = macs.get(k.precision, 0) + k.shape.macs
    main = min(macs, key=lambda p: (-macs[p], p))
    unfused = launched if runtime == "eager" else kernels(workload, "eager", choice)
    table = NetworkTable.of(unfused)
    own = calibration.find(gpu, runtime, main, layout) if calibration else None
    asked = (gpu, runtime, main, layout, table.work(gpu, batches[0]).sums())
    nearest = models.find(*asked)
    found = own[0] if own else models.serving(*asked)
    works = kernel_works(table, gpu, layout, batches) if found.model.by_kernels else {}
    if works is None:  # a kind of kernel that nobody measured
        found, works = nearest, {}
    priced = launched if found.model.fused or runtime == "eager" else unfused
    table = table if priced is unfused else NetworkTable.of(priced)
    index = {name: i for i, k in enumerate(launched) for name in k.layers}
    owner = tuple(index[k.name] for k in priced)
    calibrated = own[1] if own else None
    return Plan(
        workload, gpu, runtime, main, layout, launched, priced, owner, table, found, nearest.model.classes, models,
        works, batches, {}, calibrated,
    )  # fmt: skip


def _at_batch(plan: Plan, batch: int, deadline_us: float | None) -> BatchLatency:
    timed = _single(plan, batch) if len(plan.launched) == 1 else None
    timed = timed or _network(plan, batch)
    errors = timed.errors.around_zero()
    total = float(timed.times_us.sum())
    low, high = (
        total * exp(errors.quantile(level)) for level in ((1 - NOMINAL_COVERAGE) / 2, (1 + NOMINAL_COVERAGE) / 2)
    )
    return BatchLatency(
        batch,
        Interval(low, total, high, "us", timed.stage, None if isnan(errors.coverage) else errors.coverage),
        {f"{level:g}": total * exp(errors.quantile(level)) for level in QUANTILES},
        None if deadline_us is None else _miss(errors, timed.lateness, log(deadline_us / total)),
        timed.strange,
        _kernel_times(plan, batch, timed),
    )


def _miss(errors: Errors, lateness: Callable[[float], float] | None, log_ratio: float) -> float:
    """Probability of a log ratio above one: by the calibrated quantiles up to the last end of the interval.

    Beyond it, where quantiles say little, the probability falls as `lateness` does.
    """
    level = (1 + NOMINAL_COVERAGE) / 2
    end = errors.quantile(level)
    if lateness is None or log_ratio <= end:
        return errors.share_above(log_ratio)
    return round((1 - level) * lateness(log_ratio) / lateness(end), 6)


def _single(plan: Plan, batch: int) -> Timed | None:
    """A kernel by itself, where kernels of its class were measured in this runtime."""
    if plan.calibrated and plan.calibrated.kernels and plan.calibrated.kernel_errors and len(plan.priced) == 1:
        return _calibrated(plan, batch, plan.calibrated.kernels, plan.calibrated.kernel_errors)
    kernel = plan.launched[0]
    found = kernel_errors(kernel, batch, plan.gpu, chip_of(plan.gpu), plan.runtime, plan.layout)
    if found is None or len(plan.priced) != 1:
        return None
    return Timed(np.array([found.time_us]), (found.bound,), found.errors, "kernel", found.strange)


def _calibrated(plan: Plan, batch: int, classes: ClassModel, errors: Errors) -> Timed:
    """A kernel by itself, by the kernels that the device was calibrated on; their weights are converted by nobody."""
    ruled = plan.table.work(plan.gpu, batch)
    work = replace(plan.works.get(batch, ruled), weights_us=np.zeros(len(plan.priced)))
    bounds = _bounds(ruled, plan.nearest if plan.works else classes)
    return Timed(classes.kernel_us(work), bounds, errors, "kernel", False)


def _bounds(work: Work, classes: ClassModel) -> tuple[Literal["compute", "memory", "launch"], ...]:
    """What bounds each kernel."""
    factors = classes.factors
    compute = np.where(work.compute_term >= 0, factors[work.compute_term], 0.0) * work.compute_us
    memory = factors[work.memory_term] * work.memory_us
    launch = max(classes.host_us, float(factors[_LAUNCHES]))
    return tuple(_bound(c, m, launch) for c, m in zip(compute, memory, strict=True))


def _network(plan: Plan, batch: int) -> Timed:
    """The priced kernels as a network."""
    model = plan.found.model
    ruled = plan.table.work(plan.gpu, batch)
    work = plan.works.get(batch, ruled)
    sums = work.sums()[None, :]
    forecast = model.forecast(sums)
    times = model.classes.kernel_us(work) * float(forecast.ratio[0])
    bounds = _bounds(ruled, plan.nearest if model.by_kernels else model.classes)
    values = tuple(float(v) for v in forecast.log_quantiles[0])
    errors = Errors(forecast.levels, values, model.coverage, model.families)
    outside = _outside(plan, batch, float(forecast.distance[0]), sums[0])
    strange = outside or not plan.found.exact
    if plan.found.layout_only:
        errors = errors.around_zero().wider(plan.models.transfer["layout"])
    elif not (plan.found.exact or (model.by_kernels and plan.runtime == "eager")):
        errors = plan.models.transfer_of(plan.gpu)
    if outside:
        apart = _apart(plan, batch, float(times.sum()))
        times = times * exp(apart)
        errors = errors.around_zero().wider(plan.models.outside(plan.gpu, plan.runtime)).stretched(abs(apart))
    lateness = None
    if not strange and model.lateness is not None:
        lateness = partial(model.lateness.share_above, forecast.described[0])
    return Timed(times, bounds, errors, "end_to_end", strange, lateness)


def _apart(plan: Plan, batch: int, time_us: float) -> float:
    """Half the log ratio between what sums of single kernels say of a network and what its classes do.

    Outside what was measured neither is known to be better: the middle is taken, and the interval is wider by as much.
    """
    beside = plan.models.from_kernels(plan.gpu, plan.runtime, plan.main)
    if plan.found.model.by_kernels or plan.calibrated or plan.runtime != "eager" or beside is None:
        return 0.0
    if not plan.beside:
        plan.beside.update(kernel_works(plan.table, plan.gpu, plan.layout, plan.batches) or {})
    if batch not in plan.beside:
        return 0.0
    return log(float(beside.model.network_us(plan.beside[batch].sums()[None, :])[0]) / time_us) / 2


def _outside(plan: Plan, batch: int, distance: float, sums: Array) -> bool:
    """Outside what was measured: by size, by batch, by classes of kernels, or a network unlike those that were.

    Where all measured networks kept the GPU busy, one whose launches take the host longer is outside, too.
    """
    ranges, classes = plan.found.model.ranges, plan.found.model.classes
    if ranges["batch"][0] > 1 and not plan.found.model.by_kernels:
        host = sums[_LAUNCHES] * plan.gpu.launch_us[plan.runtime]
        if host > float(sums @ classes.factors):
            return True
    values = {"macs": float(plan.workload.macs), "batch": float(batch)}
    inside = all(ranges[name][0] <= value <= ranges[name][1] for name, value in values.items())
    few = sums[_LAUNCHES] <= 2 * ranges["launches"][1]
    return not (inside and few and distance <= STRANGE and plan.found.model.unseen_share(sums) <= _TELLING_SHARE)


def _kernel_times(plan: Plan, batch: int, timed: Timed) -> tuple[KernelTime, ...]:
    """The launched kernels, each with the time of all that it is priced by and the bound of the slowest of them."""
    times = np.bincount(plan.owner, timed.times_us, len(plan.launched))
    slowest: dict[int, int] = {}
    for i, owner in enumerate(plan.owner):
        if owner not in slowest or timed.times_us[i] > timed.times_us[slowest[owner]]:
            slowest[owner] = i
    rows = []
    for i, k in enumerate(plan.launched):
        acts = k.shape.read_elements + k.shape.write_elements
        moved = (acts * batch + k.shape.weight_elements) * element_bytes(k.precision)
        bound = timed.bounds[slowest[i]]
        rows.append(KernelTime(k.name, k.kind, float(times[i]), bound, k.precision, k.shape.macs * batch, round(moved)))
    return tuple(rows)


def _bound(compute: float, memory: float, launch: float) -> Literal["compute", "memory", "launch"]:
    """Which of the three takes longest."""
    if launch >= max(compute, memory):
        return "launch"
    return "memory" if memory >= compute else "compute"


def _precisions(
    workload: Workload, gpu: Gpu, precision: str | None, assignment: Assignment | None
) -> tuple[dict[str, str] | str, tuple[str, ...]]:
    """Precision of every compute layer, and what there is to say about it."""
    if precision is not None or assignment is None:
        return precision or "fp32", ()
    chosen: dict[str, str] = {}
    notes: dict[str, None] = {}
    for layer in workload:
        if layer.kind not in COMPUTE:
            continue
        formats = assignment.layers.get(layer.name)
        if formats is None:
            raise InputError(f"no formats for layer {layer.name!r}", where=workload.name, hint="assign this workload")
        options = [precision_for(gpu, formats.weight, act) for act in formats.acts or (None,)]
        chosen[layer.name], _, note = max(options, key=lambda option: gpu.native.index(option[0]))
        if note:
            notes[note] = None
    return chosen, tuple(notes)


def _check(gpu: Gpu, batches: Sequence[int], precision: str | None, deadline_us: float | None, layout: str) -> None:
    if not batches:
        raise InputError("no batch size", where="--batch", hint="for example 1,8,64")
    for batch in batches:
        if batch != int(batch) or not 1 <= batch <= _MOST_BATCH:
            raise InputError(f"batch {batch}", where="--batch", hint=f"a whole number from 1 to {_MOST_BATCH:,}")
    if precision is not None and precision not in gpu.native:
        raise InputError(
            f"{gpu.name} does not execute {precision!r}", where="--precision", hint=nearest(precision, gpu.native)
        )
    if deadline_us is not None and not deadline_us > 0:
        raise InputError(f"deadline {deadline_us} us", where="--deadline-us", hint="a positive number of microseconds")
    if layout not in LAYOUTS:
        raise InputError(f"layout {layout!r}", where="--layout", hint=nearest(layout, LAYOUTS))


def _notes(plan: Plan, precision: str, strange: bool) -> tuple[str, ...]:
    gpu, runtime, model = plan.gpu, plan.runtime, plan.found.model
    notes = []
    if not plan.found.exact and len(plan.launched) > 1:
        card = f"{gpu.name}, {runtime}, {precision}" if chip_of(gpu) else f"{gpu.name} ({runtime}, {precision})"
        if plan.found.layout_only:
            told = "interval widened by what the other layout changed on two cards"
        elif model.by_kernels and runtime == "eager":
            told = f"interval from the errors of {model.families} devices and precisions predicted that way"
        else:
            groups = plan.models.transfer_of(gpu).groups
            told = f"interval from the errors of {groups} devices and runtimes predicted that way"
        serve = "sums of its single kernels" if model.by_kernels else f"those of {plan.found.key}"
        notes.append(f"no measured networks (or too few) for {card}, {plan.layout}: {serve} serve, {told}")
    beyond = any(_outside(plan, batch, 0.0, work.sums()) for batch, work in plan.works.items())
    if strange and len(plan.launched) == 1:
        notes.append(
            "no such kernel was measured on this card, in this precision or of such a size: the interval is wider"
        )
    elif beyond or (strange and plan.found.exact):
        notes.append("outside the sizes, batches or kinds of network that were measured: the interval is widened")
    if plan.found.exact and model.networks < FEW_NETWORKS:
        notes.append(f"few data: {model.networks} measured networks of {model.families} kinds")
    if runtime == "eager" and precision in ("int8", "int4"):
        notes.append(f"eager frameworks have no {precision} kernels for most layers: a deployed engine is tensorrt")
    if any(layer.density < 1 for layer in plan.workload):
        notes.append("layers that skip work are costed as if they computed everything")
    return tuple(notes)
