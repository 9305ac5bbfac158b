"""`hwsim export`: an HLS project, an ONNX or QONNX file, or packed weights, compared with the quantized network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hwsim.cli import options
from hwsim.cli.output import emit, table
from hwsim.core.assignment import Policy
from hwsim.core.errors import InputError, UnsupportedError, nearest

if TYPE_CHECKING:
    from hwsim.exchange.written_file import WrittenFile
    from hwsim.exporting import Exported

BACKENDS = ("vitis", "onnx", "qonnx", "packed")


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
    edge: options.PaperEdge = None,
    override: options.Override = None,
    acts_signed: Annotated[
        bool, typer.Option("--acts-signed", help="keep signed integers on non-negative tensors (onnxruntime's int8)")
    ] = False,
    part: Annotated[str, typer.Option("--part", metavar="PART", help="an FPGA part (hwsim parts)")] = "kv260",
    reuse: Annotated[str, typer.Option("--reuse", metavar="N|auto")] = "auto",
    backend: Annotated[
        str, typer.Option("--backend", metavar="vitis|onnx|qonnx|packed", help="HLS project, or a file for other tools")
    ] = "vitis",
    container: Annotated[
        str, typer.Option("--container", metavar="npz|safetensors", help="file of the packed weights")
    ] = "npz",
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
    """Export a quantized network and compare it with what was exported.

    vitis: an HLS project of an integer design with power-of-two scales, bit-exact by C simulation. onnx:
    QuantizeLinear and DequantizeLinear, for onnxruntime. qonnx: Quant and FloatQuant. packed: weights at their true
    width. For onnx and qonnx at least 99.9 % of the decisions must agree.
    """
    if (run_dir is None) == (model is None):
        raise InputError(
            "one of MODEL and --run is wanted", where="export", hint="--run DIR --design ID, or MODEL --calib .."
        )
    if verify < 0:
        raise InputError(f"{verify}", where="--verify", hint="allowed: 0 and up")
    backend = backend.lower()
    if backend not in BACKENDS:
        raise UnsupportedError(f"backend {backend!r}", where="--backend", hint=nearest(backend, BACKENDS))
    if container not in ("npz", "safetensors"):
        raise InputError(f"{container!r}", where="--container", hint="allowed: npz, safetensors")
    box: Any = container
    if run_dir is not None:
        if design is None:
            raise InputError("no design", where="--design", hint="ids are in designs.csv and in the report")
        from hwsim.exporting import export_design

        _, exported = export_design(run_dir, design, out, samples=verify, backend=backend, container=box, progress=_say)
    else:
        if calib is None:
            raise InputError("no calibration data", where="--calib", hint="DATA, e.g. zoo:digits or an .npz")
        reading = options.data_options(calib_rows, mean, std, resize, allow_overlap)
        scale: Literal["f32", "pow2"] = "pow2" if backend == "vitis" else "f32"  # as hwsim quantize takes them
        from hwsim.quant.papers import default_edge

        policy = Policy(
            weights, acts, edge or default_edge(recipe, weights), options.overrides_of(override), scale, acts_signed
        )
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
            backend=backend,
            container=box,
            progress=_say,
        )
    emit(exported.as_dict(), as_json, lambda: lines_of(exported))


def lines_of(exported: Exported | WrittenFile) -> Iterator[str]:
    """What was written and how it was checked."""
    from hwsim.exchange.written_file import WrittenFile

    yield from _file_lines(exported) if isinstance(exported, WrittenFile) else _project_lines(exported)


def _file_lines(exported: WrittenFile) -> Iterator[str]:
    for path in exported.files:
        yield f"written: {path}"
    yield from table(("layer", "weights stored as"), exported.formats.items())
    checked = exported.agreement
    if checked is None:
        yield "not verified (--verify 0)"
        return
    accuracy = "" if checked.metric is None else f"; accuracy of the exported file {checked.metric:.4f}"
    yield f"{checked.mismatches} of {checked.decisions} {checked.compared} differ ({checked.share:.3%} agree){accuracy}"
    if isinstance(checked.optimised, float):
        yield f"with onnxruntime's graph optimisations on: {checked.optimised:.3%} agree"
    elif checked.optimised is not None:
        yield f"with its graph optimisations on: {checked.optimised}"


def _project_lines(exported: Exported) -> Iterator[str]:
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
