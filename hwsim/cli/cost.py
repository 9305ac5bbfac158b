"""`hwsim cost`: FPGA resources and timing of a network, or of one operator, before synthesis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli import options
from hwsim.cli.output import emit, table
from hwsim.core.cost import Cost
from hwsim.core.errors import InputError
from hwsim.core.explain import Explanation
from hwsim.core.workload import COMPUTE

if TYPE_CHECKING:
    from hwsim.cost_models import UnitCost

DEFAULT_K = 64
UNITS = ("mac", "mul", "dot", "requantize", "encode")


def run(
    part: Annotated[str, typer.Option("--part", metavar="PART", help="an FPGA part (hwsim parts) or a TOML file")],
    weights: options.Weights,
    acts: options.Acts,
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="as for quantize; left out with --unit")] = None,
    unit: Annotated[str | None, typer.Option("--unit", metavar="|".join(UNITS), help="cost of one operator")] = None,
    k: Annotated[
        int | None, typer.Option("--k", metavar="N", help="length of the dot product, with --unit [64]")
    ] = None,
    arch: Annotated[str, typer.Option("--arch", metavar="dataflow|overlay")] = "dataflow",
    reuse: Annotated[str, typer.Option("--reuse", metavar="N|auto", help="multiplications per multiplier")] = "auto",
    target_ii: Annotated[
        int | None,
        typer.Option(
            "--target-ii", metavar="CYCLES", help="the smallest design with an inference every so many cycles or fewer"
        ),
    ] = None,
    dsp: Annotated[
        str, typer.Option("--dsp", metavar="auto|pack|never", help="products in DSPs, several in one, or none")
    ] = "auto",
    edge: options.Edge = "same",
    override: options.Override = None,
    input_shape: options.InputShape = None,
    energy: Annotated[
        str | None, typer.Option("--energy", metavar="FILE", help="energy coefficients (TOML) in place of the shipped")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", metavar="FILE", help="vendor factors of hwsim calibrate fpga")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="print every term of every layer with its share")] = False,
    page: Annotated[
        str | None, typer.Option("--page", metavar="FILE.html", help="write the resource page of the design")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Estimate LUT, FF, DSP, BRAM and timing on an FPGA part, with intervals."""
    if (unit is None) == (model is None):
        raise InputError(
            "one of MODEL and --unit is wanted", where="cost", hint="hwsim cost MODEL .. or hwsim cost --unit mac .."
        )
    factor = options.reuse_of(reuse)
    if unit is not None:
        _refuse_options_of_networks(
            {
                "--arch": arch != "dataflow",
                "--reuse": reuse != "auto",
                "--target-ii": target_ii is not None,
                "--dsp": dsp != "auto",
                "--edge": edge != "same",
                "--override": bool(override),
                "--input-shape": input_shape is not None,
                "--energy": energy is not None,
                "--explain": explain,
                "--page": page is not None,
            }
        )
        _run_unit(unit, weights, acts, DEFAULT_K if k is None else k, part, calibration, as_json)
        return
    if k is not None:
        raise InputError("an option of operators, given for a network", where="--k", hint="give --unit")
    from hwsim.api import cost
    from hwsim.cost_models import energy_table
    from hwsim.inputs import network_of

    if energy is not None:
        energy_table(energy)  # a wrong one is an error before the network is loaded
    scaled = _scaling(calibration, part)
    network = network_of(str(model), input_shape=options.shape_of(input_shape))
    formats: dict[str, Any] = {"weights": weights, "acts": acts, "edge": edge, "arch": arch}
    design = partial(scaled, cost, network, part, overrides=options.overrides_of(override), energy=energy, **formats)
    aim: dict[str, Any] = {} if target_ii is None else {"target_ii_cycles": target_ii}
    if dsp != "auto":
        aim["dsp"] = dsp
    result = design(reuse=factor, **aim)
    if page is not None:
        _write_page(result, design, part, f"{model}: {weights} weights, {acts} activations", page)
    why = result.explain()
    emit(result.as_dict() | {"explain": why.as_dict()}, as_json, lambda: _lines(result, why, explain))


def _refuse_options_of_networks(given: Mapping[str, bool]) -> None:
    for name, is_given in given.items():
        if is_given:
            raise InputError("an option of networks, given for one operator", where=name, hint="give a MODEL")


def _scaling(calibration: Path | None, part: str) -> Callable[..., Cost]:
    """Calls a function that costs a design; with a calibration, the result is what the vendor's tool would count."""
    if calibration is None:
        return lambda cost, *given, **options: cost(*given, **options)
    from hwsim.cost_models import part as part_named
    from hwsim.cost_models.vendor import read_calibration, scaled_by

    factors, place = read_calibration(calibration), part_named(part)
    return lambda cost, *given, **options: scaled_by(cost(*given, **options), factors, place)


def _write_page(result: Cost, design: Callable[..., Cost], part: str, name: str, page: str) -> None:
    from hwsim.cost_models import part as part_named
    from hwsim.resource_page import resource_page

    folded = {layer.name: layer.reuse for layer in result.layers if layer.kind in COMPUTE}
    shared = any(layer.kind == "overlay" for layer in result.layers)
    again = None if shared else lambda dsp: design(reuse=folded, dsp=dsp)
    resource_page(result, again, part_named(part), name, Path(page))


def _run_unit(unit: str, weights: str, acts: str, k: int, part: str, calibration: Path | None, as_json: bool) -> None:
    from hwsim.core.scaled import parse
    from hwsim.cost_models import part as part_named
    from hwsim.cost_models import unit_cost

    if unit not in UNITS:
        raise InputError(f"{unit!r}", where="--unit", hint=f"allowed: {', '.join(UNITS)}")
    if k < 1:
        raise InputError(f"{k}", where="--k", hint="allowed: 1 and up")
    spec_w, spec_a = parse(weights, block="channel", scale="pow2"), parse(acts, scale="pow2")
    result = unit_cost(unit, spec_w, spec_a, k, part_named(part))  # type: ignore[arg-type]
    if calibration is not None:
        from hwsim.cost_models.vendor import read_calibration, scaled_unit_by

        result = scaled_unit_by(result, read_calibration(calibration))
    document = result.as_dict()
    emit(document, as_json, lambda: _unit_lines(result))


def _unit_lines(unit: UnitCost) -> Iterator[str]:
    yield f"{unit.kind} of {unit.weights} weights and {unit.acts} activations, K = {unit.k}, on {unit.part}"
    for name in ("lut", "ff", "dsp"):
        yield f"  {name:<4} {getattr(unit, name)}  [{getattr(unit, name).stage}]"
    yield f"  accumulator {unit.accumulator_bits} bits"
    yield from (f"  of which {term}: {lut:.1f} LUT" for term, lut in unit.terms.items())
    yield from (f"note: {note}" for note in unit.notes)


def _lines(cost: Cost, why: Explanation, everything: bool) -> Iterator[str]:
    yield f"{cost.part} at {cost.clock_mhz:g} MHz (assumed); fits: {cost.fits}"
    for name, interval in cost.intervals.items():
        yield f"  {name:<11} {interval}  [{interval.stage}]"
    yield ""
    ultra = cost.uram.hi > 0
    names = ("layer", "kind", "weights", "activations", "acc bits", "reuse", "LUT", "FF", "DSP", "BRAM18")
    columns = (*names, *(("URAM",) if ultra else ()), "cycles")
    rows = [
        (
            x.name,
            x.kind,
            x.weight_format,
            x.act_format,
            x.accumulator_bits,
            x.reuse,
            *(float(round(v)) for v in (x.lut, x.ff, x.dsp, x.bram18, *((x.uram,) if ultra else ()))),
            x.cycles,
        )
        for x in cost.layers
    ]
    yield from table(columns, rows, right=range(4, len(columns)))
    yield ""
    yield from why.sentences
    if everything:
        yield from _shares(why)
    yield ""
    for note in cost.notes:
        yield f"note: {note}"


def _shares(why: Explanation) -> Iterator[str]:
    terms = [(row.layer, row.term, float(round(row.lut)), f"{100 * row.share:.1f} %") for row in why.terms]
    yield ""
    yield from table(("layer", "term", "LUT", "of all"), terms, right=(2, 3))
    columns = ("layer", "kind", "of LUT", "of FF", "of DSP", "of BRAM18", "of interval")
    layers = [
        (x.layer, x.kind, *(f"{100 * v:.1f} %" for v in (x.lut, x.ff, x.dsp, x.bram18, x.interval))) for x in why.layers
    ]
    yield ""
    yield from table(columns, layers, right=range(2, 7))
