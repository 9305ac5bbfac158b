"""The cost of a whole network on a part: resources, time, intervals, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from hwsim.core.assignment import Assignment
from hwsim.core.codes import WeightCodes
from hwsim.core.cost import Cost, Fits, Interval, LayerCost
from hwsim.core.devices import Part
from hwsim.core.errors import InputError, nearest
from hwsim.core.workload import Workload
from hwsim.cost_models.bill import Bill
from hwsim.cost_models.bottleneck import time_notes
from hwsim.cost_models.clock import SOURCE, clock_ratios, latency_interval
from hwsim.cost_models.dataflow import NO_FORMATS, Pipeline, build_pipeline, constants_of
from hwsim.cost_models.folding import Reuse, given_reuse
from hwsim.cost_models.operators.multiplier import DSP_POLICIES, DspPolicy
from hwsim.cost_models.overlay import PARTIAL_SUMS, Overlay, build_overlay
from hwsim.cost_models.residuals import lut_interval, scaled_interval
from hwsim.cost_models.trust import beyond_notes, joined_factor
from hwsim.cost_models.ultraram import fitted_with_ultraram, where_needed

Architecture = Literal["dataflow", "overlay"]
OWN_CODES = "their own codes"
# The flip-flops of 25 synthesised designs were within 1.8 % (`data/layer_errors.json`). Of constant layers priced by a
# mean a trained network of int4 weights took 0.56 times as many (3,153 instead of 5,610).
FF_ENDS, MEAN_FF_LOW = (0.98, 1.02), 0.56
UNCALIBRATED = "uncalibrated: fitted to open synthesis of single units, never compared with placed designs"


def estimate(
    workload: Workload,
    assignment: Assignment,
    part: Part,
    *,
    arch: Architecture = "dataflow",
    reuse: Reuse = 1,
    target_ii_cycles: int | None = None,
    dsp: DspPolicy = "auto",
    codes: Mapping[str, WeightCodes] | None = None,
    search_constants: bool = True,
    array: tuple[int, int] | None = None,
) -> Cost:
    """LUT, FF, DSP, block RAM, latency and initiation interval of a network.

    Parameters
    ----------
    workload, assignment : the network, and the format of each weight and tensor.
    arch : `dataflow` (hardware for every layer) or `overlay` (one array for all).
    reuse : dataflow only. Cycles a position of every layer, or by layer name (others 1); `auto` finds the fastest
        design whose middle estimate fits the part. See `folding.given_reuse` for what is legal.
    target_ii_cycles : with `auto`, cycles from inference to inference that are fast enough: the smallest design that
        fits the part within them.
    dsp : `auto` places integer products of 9 bits and more in DSPs, one each, as tools do; `pack` places as many in
        each DSP as vendor notes show; `never` keeps all in LUTs.
    codes : integer codes of weights by layer. Where a layer is fully parallel, its constant multipliers are then
        counted in its own codes instead of the mean over all codes.
    search_constants : whether codes get an adder graph a layer, which takes seconds; else the mean over matrices with
        their digits.
    array : overlay only. (PE, SIMD); by default the largest power-of-two array that fits.

    Returns
    -------
    Cost
        `layers[].terms` sum to `layers[].lut`, and all layers to the middle of each total. An overlay's hardware is
        one entry named `(array)`.

    Raises
    ------
    InputError
        For an unknown architecture, policy or layer name, a reuse that does not divide its layer, or a target without
        `auto`.
    InfeasibleError
        Where no design that fits meets the target.
    UnsupportedError
        Naming the layer whose operator or format has no formula.
    """
    _check("arch", arch, get_args(Architecture))
    _check("dsp", dsp, DSP_POLICIES)
    if target_ii_cycles is not None and (arch, reuse) != ("dataflow", "auto"):
        hint = "a dataflow design with reuse auto is chosen for it"
        raise InputError("a target interval for a design that is given", where="target_ii_cycles", hint=hint)
    if arch == "overlay":
        ignored = ("an overlay has no reuse: it is ignored",) if reuse not in (1, "auto") else ()
        return _overlay_cost(build_overlay(workload, assignment, part, dsp, array), assignment, part, ignored)
    constants = constants_of(workload, codes, search_constants) if codes else None
    if isinstance(reuse, str):
        _check("reuse", reuse, ("auto",))
        pipeline, notes = fitted_with_ultraram(workload, assignment, part, dsp, constants, target_ii_cycles)
    else:
        factors, notes = given_reuse(workload, reuse)
        pipeline = build_pipeline(workload, assignment, part, factors, dsp, constants)
    source = "the mean over all codes"
    if codes:
        source = OWN_CODES if search_constants else "the digits of their own codes"
    return _dataflow_cost(pipeline, assignment, part, (*time_notes(pipeline), *notes), source)


def fits_part(part: Part, lut: Interval, ff: Interval, dsp: Interval, bram18: Interval) -> Fits:
    """`yes` when even the high ends fit, `no` when some low end does not, else `uncertain`."""
    pairs = ((lut, part.lut), (ff, part.ff), (dsp, part.dsp), (bram18, part.bram18))
    if any(interval.lo > available for interval, available in pairs):
        return "no"
    return "yes" if all(interval.hi <= available for interval, available in pairs) else "uncertain"


def _dataflow_cost(
    pipeline: Pipeline, assignment: Assignment, part: Part, notes: tuple[str, ...], constants: str
) -> Cost:
    layers = []
    bills = where_needed([placed.bill for placed in pipeline.placed], part)
    for placed, bill in zip(pipeline.placed, bills, strict=True):
        layer, made = placed.layer, placed.price
        formats = assignment.layers.get(layer.name, NO_FORMATS)
        weight = formats.weight.label if formats.weight is not None else ""
        acts = formats.acts[0].label if formats.acts else (made.out.spec.label if made.out.spec else "")
        layers.append(
            _entry(layer.name, layer.kind, bill, made.cycles, weight, acts, made.accumulator_bits, made.reuse)
        )
    notes += beyond_notes({placed.layer.name: bill for placed, bill in zip(pipeline.placed, bills, strict=True)})
    if any(entry.terms.get("constant multipliers") for entry in layers):
        notes += (f"fully parallel layers have constant weights in LUTs, counted in {constants}",)
    return _cost(
        part, bills, _ff(bills, constants), pipeline.latency_cycles, pipeline.ii_cycles, layers, assignment, notes
    )


def _ff(bills: list[Bill], constants: str) -> Interval:
    """Flip-flops of a dataflow design; those of constant layers are near only where their graphs are known."""
    low, high = FF_ENDS
    mean = [bill.ff for bill in bills if "constant multipliers" in bill.by_label() and constants != OWN_CODES]
    middle = sum(bill.ff for bill in bills)
    return Interval(low * (middle - sum(mean)) + MEAN_FF_LOW * sum(mean), middle, high * middle, "FF", "formula")


def _overlay_cost(overlay: Overlay, assignment: Assignment, part: Part, ignored: tuple[str, ...]) -> Cost:
    name = f"{overlay.pe} x {overlay.simd}"
    layers = [_entry("(array)", "overlay", overlay.bill, 0, "", "", 0, 1)]
    for run in overlay.layers:
        formats = assignment.layers.get(run.layer.name, NO_FORMATS)
        weight = formats.weight.label if formats.weight is not None else ""
        acts = formats.acts[0].label if formats.acts else ""
        layers.append(_entry(run.layer.name, run.layer.kind, Bill(), run.cycles, weight, acts, run.accumulator_bits, 1))
    where = "on chip" if overlay.activations_on_chip else "in DRAM between layers"
    notes = (f"an array of {name}; weights from DRAM at {part.dram_gbps:g} GB/s, activations {where}", *ignored)
    notes += (f"weights are read again for every {PARTIAL_SUMS} positions of a layer",)
    notes += beyond_notes({"(array)": overlay.bill})
    cycles = overlay.latency_cycles
    ff = scaled_interval(overlay.bill.ff, "ff", "FF")
    return _cost(part, [overlay.bill], ff, cycles, max(1, cycles), layers, assignment, notes)


def _entry(
    name: str, kind: str, bill: Bill, cycles: int, weight: str, acts: str, accumulator_bits: int, reuse: int
) -> LayerCost:
    terms = bill.by_label()
    return LayerCost(
        name,
        kind,
        sum(terms.values()),
        bill.ff,
        bill.dsp,
        bill.bram18,
        cycles,
        weight,
        acts,
        accumulator_bits,
        reuse,
        terms,
        bill.uram,
    )


def _cost(
    part: Part,
    bills: list[Bill],
    ff: Interval,
    latency_cycles: float,
    ii_cycles: int,
    layers: list[LayerCost],
    assignment: Assignment,
    notes: tuple[str, ...],
) -> Cost:
    lut = lut_interval(bills, joined=joined_factor())
    dsp = scaled_interval(sum(b.dsp for b in bills), "dsp", "DSP", low=sum(b.dsp_packed for b in bills))
    bram18 = scaled_interval(sum(b.bram18 for b in bills), "bram18", "BRAM18")
    uram = Interval.exact(float(sum(b.uram for b in bills)), "URAM")
    if uram.mid:
        notes += (f"block RAM does not hold all memories: {uram.mid:.0f} of {part.uram} UltraRAMs are used",)
    ratios = clock_ratios(assignment)
    clock = (
        f"clock assumed {part.clock_mhz:g} MHz, {ratios[0]:.2f} to {ratios[1]:.2f} of it by format ({SOURCE})"
        if ratios != (1.0, 1.0)
        else f"clock assumed {part.clock_mhz:g} MHz"
    )
    return Cost(
        part.name,
        lut,
        ff,
        dsp,
        bram18,
        latency_interval(latency_cycles, part, ratios),
        Interval.exact(float(ii_cycles), "cycles"),
        part.clock_mhz,
        fits_part(part, lut, ff, dsp, bram18),
        tuple(layers),
        (UNCALIBRATED, clock, *notes),
        {name: getattr(part, name) for name in ("lut", "ff", "dsp", "bram18", *(("uram",) if uram.mid else ()))},
        uram=uram,
    )


def _check(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{key} = {value!r}", where=key, hint=nearest(str(value), allowed))
