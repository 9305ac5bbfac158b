"""`hwsim export`: an HLS project, compiled and compared bit for bit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli import options
from hwsim.cli.output import emit, table
from hwsim.core.assignment import Policy
from hwsim.core.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from hwsim.exporting import Exported


def run(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="folder of the project")],
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="as for quantize; left out with --run")] = None,
    run_dir: Annotated[Path | None, typer.Option("--run", metavar="RUN_DIR", help="a finished study")] = None,
    design: Annotated[str | None, typer.Option("--design", metavar="ID", help="one of its designs")] = None,
    calib: Annotated[str | None, typer.Option("--calib", metavar="DATA", help="calibration data, with MODEL")] = None,
    evaluate: Annotated[str | None, typer.Option("--eval", metavar="DATA", help="data to verify on")] = None,
    weights: options.Weights = "int8",
    acts: options.Acts = "int8",
    recipe: Annotated[str, typer.Option("--recipe", metavar="R")] = "rtn",
    edge: options.Edge = "same",
    override: options.Override = None,
    part: Annotated[str, typer.Option("--part", metavar="PART", help="an FPGA part (hwsim parts)")] = "kv260",
    reuse: Annotated[str, typer.Option("--reuse", metavar="N|auto")] = "auto",
    backend: Annotated[str, typer.Option("--backend", metavar="vitis")] = "vitis",
    verify: Annotated[int, typer.Option("--verify", metavar="N", help="samples to compare; 0 leaves it out")] = 100,
    calib_rows: options.CalibRows = 1024,
    mean: options.Mean = None,
    std: options.Std = None,
    resize: options.Resize = None,
    allow_overlap: options.AllowOverlap = False,
    input_shape: options.InputShape = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Write an HLS project of an integer design with power-of-two scales and prove it bit-exact by C simulation."""
    if (run_dir is None) == (model is None):
        raise InputError(
            "one of MODEL and --run is wanted", where="export", hint="--run DIR --design ID, or MODEL --calib .."
        )
    if verify < 0:
        raise InputError(f"{verify}", where="--verify", hint="allowed: 0 and up")
    if backend.lower() != "vitis":
        raise UnsupportedError(f"backend {backend!r}", where="--backend", hint="supported: vitis")
    if run_dir is not None:
        if design is None:
            raise InputError("no design", where="--design", hint="ids are in designs.csv and in the report")
        from hwsim.exporting import export_design

        _, exported = export_design(run_dir, design, out, samples=verify, progress=_say)
    else:
        if calib is None:
            raise InputError("no calibration data", where="--calib", hint="DATA, e.g. zoo:digits or an .npz")
        reading = options.data_options(calib_rows, mean, std, resize, allow_overlap)
        policy = Policy(weights, acts, edge, options.overrides_of(override), "pow2")
        shape, factor = options.shape_of(input_shape), options.reuse_of(reuse)
        from hwsim.exporting import export_model

        exported = export_model(
            str(model),
            (calib, evaluate),
            out,
            policy=policy,
            recipe=recipe,
            options=reading,
            input_shape=shape,
            seed=seed,
            part=part,
            reuse=factor,
            samples=verify,
            progress=_say,
        )
    emit(exported.as_dict(), as_json, lambda: lines_of(exported))


def lines_of(exported: Exported) -> Iterator[str]:
    """What was written and how it was checked."""
    checked = exported.verification
    yield f"project: {exported.project.folder}"
    types = exported.project.weight_types
    yield from table(("layer", "weights stored as"), types.items())
    if checked is None:
        yield "not verified (--verify 0)"
    else:
        accuracy = "" if checked.metric is None else f"; accuracy of the simulated hardware {checked.metric:.4f}"
        yield f"C simulation: {checked.mismatches} mismatches in {checked.samples} samples, bit-exact{accuracy}"
    cost = exported.cost
    yield f"estimate on {cost.part}: {cost.lut}, {cost.latency_us}; fits: {cost.fits}"
    for note in exported.project.notes:
        yield f"note: {note}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
