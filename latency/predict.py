"""GPU latency of a workload: kernels, a calibrated roofline, and an interval from errors on held-out measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Literal

import numpy as np

from hwsim.core.assignment import Assignment
from hwsim.core.cost import BatchLatency, Interval, KernelTime, LatencyPrediction
from hwsim.core.devices import Gpu
from hwsim.core.errors import InputError, nearest
from hwsim.core.workload import COMPUTE, Workload
from hwsim.latency.calibration import NOMINAL_COVERAGE, Calibration, Errors, Fit, chip_of, load
from hwsim.latency.catalog import device as find_device
from hwsim.latency.catalog import element_bytes
from hwsim.latency.kernels import Kernel, kernels
from hwsim.latency.precision import precision_for
from hwsim.latency.roofline import Array, Work, bound, busy_us, smooth_max, work

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_TELLING_SHARE = 0.1  # of the time: less than this in unmeasured kernels does not make a network unusual


@dataclass(frozen=True, slots=True)
class Basis:
    """What a prediction rests on: fits by precision, that of the network's launches, and its errors.

    Attributes
    ----------
    measured : whether `errors` comes from this device, runtime and precision.
    """

    by_precision: Mapping[str, Fit]
    launch_us: float
    overlap: float
    errors: Errors
    measured: bool
    main: Fit


def predict(
    workload: Workload,
    device: Gpu | str,
    batches: Sequence[int] = (1,),
    precision: str | None = None,
    runtime: str = "eager",
    assignment: Assignment | None = None,
    deadline_us: float | None = None,
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

    Returns
    -------
    Latencies per batch in microseconds: 90 % intervals and quantiles from errors on measurements that the fit did not
    see (`hwsim.latency.calibration`). `layers` are kernels, named after their first layer; they sum to `mid`.

    Raises
    ------
    InputError
        Unknown device, runtime or precision, a batch below 1, a deadline that is not positive.
    UnsupportedError
        A layer without a model; it is named.
    """
    gpu = find_device(device) if isinstance(device, str) else device
    _check(gpu, batches, precision, deadline_us)
    choice, notes = _precisions(workload, gpu, precision, assignment)
    made = kernels(workload, runtime, choice)
    if not made:
        raise InputError("nothing to compute", where=workload.name, hint="every layer is a view of the input")
    calibration = load()
    basis = network_basis(made, gpu, runtime, calibration)
    if len(made) == 1:
        basis = _single_basis(made[0], gpu, runtime, calibration, basis)
    used = sorted({k.precision for k in made})
    label = used[0] if len(used) == 1 else "mixed"
    results = tuple(_at_batch(workload, made, gpu, int(b), basis, calibration, deadline_us) for b in batches)
    notes += _notes(workload, gpu, runtime, label, basis, any(r.out_of_domain for r in results))
    return LatencyPrediction(gpu.name, runtime, label, results, notes)


def network_basis(made: Sequence[Kernel], gpu: Gpu, runtime: str, calibration: Calibration) -> Basis:
    """Fits for the kernels of a network; `measured` when all are of this device, runtime and one precision."""
    found = {p: calibration.network(gpu, runtime, p) for p in {k.precision for k in made}}
    macs: dict[str, int] = dict.fromkeys(found, 0)
    for k in made:
        macs[k.precision] += k.macs
    by_work = sorted(macs, key=lambda p: (-macs[p], p))
    main, exact = found[by_work[0]]
    measured = exact and len(found) == 1
    errors = main.errors if measured else calibration.transfer
    assert errors is not None, "a calibration without transfer errors"
    launch = calibration.launch_us(gpu, runtime, by_work[0])
    return Basis({p: fit for p, (fit, _) in found.items()}, launch, main.overlap, errors, measured, main)


def kernel_times(made: Sequence[Kernel], todo: Work, basis: Basis) -> Array:
    """Microseconds of every kernel."""
    use = [basis.by_precision[k.precision].efficiency[k.kind] for k in made]
    return smooth_max(busy_us(todo, use), basis.launch_us, basis.overlap)


def _single_basis(kernel: Kernel, gpu: Gpu, runtime: str, calibration: Calibration, network: Basis) -> Basis:
    """A kernel by itself: the fit of its class on single kernels, where there is one."""
    fit = calibration.kernel(gpu, runtime, kernel.precision, kernel.kind)
    if fit is None or fit.errors is None:
        return network
    return Basis({kernel.precision: fit}, fit.launch_us, fit.overlap, fit.errors, True, fit)


def _at_batch(
    workload: Workload,
    made: Sequence[Kernel],
    gpu: Gpu,
    batch: int,
    basis: Basis,
    calibration: Calibration,
    deadline_us: float | None,
) -> BatchLatency:
    todo = work(made, gpu, batch)
    times = kernel_times(made, todo, basis)
    total = float(times.sum())
    strange = _out_of_domain(workload, made, batch, times, basis)
    errors = basis.errors
    if strange and basis.measured and calibration.transfer is not None:
        errors = errors.wider(calibration.transfer)
    low, high = (
        total * exp(errors.quantile(level)) for level in ((1 - NOMINAL_COVERAGE) / 2, (1 + NOMINAL_COVERAGE) / 2)
    )
    stage: Literal["kernel", "end_to_end"] = "kernel" if len(made) == 1 else "end_to_end"
    return BatchLatency(
        batch,
        Interval(low, total, high, "us", stage, errors.coverage),
        {f"{level:g}": total * exp(errors.quantile(level)) for level in QUANTILES},
        None if deadline_us is None else errors.share_above(log(deadline_us / total)),
        strange,
        tuple(_kernel_time(k, batch, i, times, todo, basis) for i, k in enumerate(made)),
    )


def _kernel_time(kernel: Kernel, batch: int, index: int, times: Array, todo: Work, basis: Basis) -> KernelTime:
    use = basis.by_precision[kernel.precision].efficiency[kernel.kind]
    waves = float(todo.waves[index]) if use.waves else 1.0
    limit = bound(
        float(todo.compute_us[index]) * waves / use.compute, float(todo.memory_us[index]) / use.memory, basis.launch_us
    )
    moved = (kernel.act_elements * batch + kernel.weight_elements) * element_bytes(kernel.precision)
    return KernelTime(
        kernel.name, kernel.kind, float(times[index]), limit, kernel.precision, kernel.macs * batch, round(moved)
    )


def _out_of_domain(workload: Workload, made: Sequence[Kernel], batch: int, times: Array, basis: Basis) -> bool:
    """Outside what was measured: always where nothing was; else by size, batch and classes of kernels."""
    if not basis.measured:
        return True
    if len(made) == 1 and "bytes" in basis.main.range:
        k = made[0]
        moved = (k.act_elements * batch + k.weight_elements) * element_bytes(k.precision)
        return not basis.main.inside(macs=k.macs * batch, bytes=moved)
    unseen = np.array([k.kind not in basis.main.classes for k in made])
    return not basis.main.inside(macs=workload.macs, batch=batch) or bool(
        times[unseen].sum() > _TELLING_SHARE * times.sum()
    )


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


def _check(gpu: Gpu, batches: Sequence[int], precision: str | None, deadline_us: float | None) -> None:
    if not batches:
        raise InputError("no batch size", where="--batch", hint="for example 1,8,64")
    for batch in batches:
        if batch != int(batch) or batch < 1:
            raise InputError(f"batch {batch}", where="--batch", hint="a whole number from 1 up")
    if precision is not None and precision not in gpu.native:
        raise InputError(
            f"{gpu.name} does not execute {precision!r}", where="--precision", hint=nearest(precision, gpu.native)
        )
    if deadline_us is not None and not deadline_us > 0:
        raise InputError(f"deadline {deadline_us} us", where="--deadline-us", hint="a positive number of microseconds")


def _notes(workload: Workload, gpu: Gpu, runtime: str, precision: str, basis: Basis, strange: bool) -> tuple[str, ...]:
    notes = []
    if not basis.measured:
        card = f"{gpu.name}, {runtime}, {precision}" if chip_of(gpu) else f"{gpu.name} ({runtime}, {precision})"
        notes.append(
            f"no measured networks for {card}: efficiencies of the nearest measured device or runtime, interval from "
            f"the errors of {basis.errors.groups} device and runtime pairs predicted that way"
        )
    elif strange:
        notes.append("outside the sizes, batches or operators that were measured here: the interval is widened")
    if runtime == "eager" and precision in ("int8", "int4"):
        notes.append(f"eager frameworks have no {precision} kernels for most layers: a deployed engine is tensorrt")
    if any(layer.density < 1 for layer in workload):
        notes.append("layers that skip work are costed as if they computed everything")
    return tuple(notes)
