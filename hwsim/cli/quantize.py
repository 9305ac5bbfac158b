"""`hwsim quantize`: make the quantized network and measure it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli import options
from hwsim.cli.output import ProgressLines, emit, table
from hwsim.core.errors import InputError

if TYPE_CHECKING:
    from hwsim.api import Quantized


def run(
    model: options.Model,
    calib: Annotated[
        str, typer.Option("--calib", metavar="DATA", help="calibration data: zoo:NAME, .npz, folder, factory")
    ],
    weights: options.Weights,
    acts: options.Acts,
    evaluate: Annotated[str | None, typer.Option("--eval", metavar="DATA", help="held-out data to measure on")] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="R", help="a name, steps joined by +, or a TOML file")
    ] = "rtn",
    edge: options.PaperEdge = None,
    override: options.Override = None,
    scale: Annotated[
        str, typer.Option("--scale", metavar="f32|pow2", help="scale type where a format names none")
    ] = "f32",
    acts_signed: Annotated[
        bool, typer.Option("--acts-signed", help="keep signed integers on non-negative tensors")
    ] = False,
    unsigned_minifloat: Annotated[
        bool, typer.Option("--unsigned-minifloat", help="give the sign bit of non-negative tensors to the mantissa")
    ] = False,
    calib_rows: options.CalibRows = 1024,
    mean: options.Mean = None,
    std: options.Std = None,
    resize: options.Resize = None,
    allow_overlap: options.AllowOverlap = False,
    input_shape: options.InputShape = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Make the quantized network, measure it, and say what became of each layer."""
    if scale not in ("f32", "pow2"):
        raise InputError(f"{scale!r}", where="--scale", hint="allowed: f32, pow2")
    overrides, shape = options.overrides_of(override), options.shape_of(input_shape)
    reading = options.data_options(calib_rows, mean, std, resize, allow_overlap)
    from hwsim.api import quantize

    result = quantize(
        model,
        calib,
        evaluate,
        weights=weights,
        acts=acts,
        recipe=recipe,
        edge=edge,
        overrides=overrides,
        scale=scale,  # type: ignore[arg-type]
        acts_signed=acts_signed,
        unsigned_minifloat=unsigned_minifloat,
        seed=seed,
        input_shape=shape,
        options=reading,
        progress=ProgressLines(),
    )
    document = result.as_dict()
    if out is not None:
        document["saved"] = str(result.model.save(out))
    emit(document, as_json, lambda: _lines(result, document.get("saved")))


def _lines(result: Quantized, saved: str | None) -> Iterator[str]:
    model = result.model
    policy = model.policy
    yield f"{model.network.name}: weights {policy.weights}, activations {policy.acts}, recipe {model.recipe}"
    yield f"first and last layer: {model.policy.edge}; scales: {model.policy.scale}"
    if result.metric and result.float_metric:
        m, f = result.metric, result.float_metric
        yield f"{m.name} {m.value:.4f} (90 % interval {m.lo:.4f} to {m.hi:.4f}, {m.n} samples); float {f.value:.4f}"
    yield f"weights and biases: {model.memory_bits:,} bits; {result.seconds:.1f} s"
    yield ""
    rows = [
        (r["name"], r["kind"], r["weight"], r["act"], _db(r["weight_sqnr_db"]), _db(r["sqnr_db"]))
        for r in result.layers
    ]
    yield from table(
        ("layer", "kind", "weights", "activations", "weight SQNR dB", "output SQNR dB"), rows, right=(4, 5)
    )
    if saved:
        yield f"\nsaved to {saved}"


def _db(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
