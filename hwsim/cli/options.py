"""Options that several verbs share, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hwsim.core.errors import InputError

if TYPE_CHECKING:
    from hwsim.inputs import DataOptions

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="file.py:factory, package.module:factory, zoo:NAME, .pt2, .onnx, timm:NAME"),
]
Weights = Annotated[str, typer.Option("--weights", "-w", metavar="FMT", help="weight format, e.g. int4, e2m1, nvfp4")]
Acts = Annotated[str, typer.Option("--acts", "-a", metavar="FMT", help="activation format, e.g. int8, e4m3")]
Edge = Annotated[
    str,
    typer.Option(
        "--edge", metavar="FMT[,FMT]|same", help="weight and activation format of the first and last compute layer"
    ),
]
PaperEdge = Annotated[
    str | None,
    typer.Option(
        "--edge",
        metavar="FMT[,FMT]|same",
        help="format of the first and last compute layer; by default 8 bits in papers' recipes, else same",
    ),
]
Override = Annotated[
    list[str] | None, typer.Option("--override", metavar="GLOB=FMT[,FMT]", help="formats of layers by name; repeatable")
]
InputShape = Annotated[
    str | None, typer.Option("--input-shape", metavar="1,C,H,W", help="needed where neither model nor data give it")
]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="of the calibration draw")]
CalibRows = Annotated[int, typer.Option("--calib-rows", metavar="N", help="calibration rows, seeded")]
Mean = Annotated[str | None, typer.Option("--mean", metavar="X,..", help="per-channel mean to subtract")]
Std = Annotated[str | None, typer.Option("--std", metavar="X,..", help="per-channel deviation to divide by")]
Resize = Annotated[int | None, typer.Option("--resize", metavar="PIXELS", help="side of square images")]
AllowOverlap = Annotated[bool, typer.Option("--allow-overlap", help="accept rows in both sets")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="where to write")]


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """`1,3,32,32` as a tuple."""
    if text is None:
        return None
    shape = tuple(_ints(text, "--input-shape", "e.g. 1,3,32,32"))
    if min(shape) < 1:
        raise InputError(f"{text}", where="--input-shape", hint="positive sizes, the batch axis first: 1,3,32,32")
    return shape


def batches_of(text: str) -> tuple[int, ...]:
    """`1,8,32` as batch sizes."""
    sizes = tuple(_ints(text, "--batch", "e.g. 1,8,32"))
    if min(sizes) < 1:
        raise InputError(f"batch {min(sizes)}", where="--batch", hint="allowed: 1 and up")
    return sizes


def devices_of(text: str) -> tuple[str, ...]:
    """`v100,my.toml` as names, each once; a file whose name holds a comma is one device."""
    names = [text] if text.endswith(".toml") and Path(text).is_file() else [name.strip() for name in text.split(",")]
    return tuple(dict.fromkeys(names))


def floats_of(text: str | None, option: str) -> tuple[float, ...] | None:
    """`0.5,0.5` as numbers."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{text!r}", where=option, hint="numbers joined by commas, e.g. 0.5,0.5,0.5") from None


def data_options(rows: int, mean: str | None, std: str | None, resize: int | None, allow_overlap: bool) -> DataOptions:
    """How DATA strings are read."""
    if rows < 1:
        raise InputError(f"{rows}", where="--calib-rows", hint="allowed: 1 and up")
    if resize is not None and resize < 1:
        raise InputError(f"{resize}", where="--resize", hint="a side in pixels, from 1")
    means, deviations = floats_of(mean, "--mean"), floats_of(std, "--std")
    from hwsim.inputs import DataOptions

    return DataOptions(means, deviations, resize, rows, allow_overlap)


def overrides_of(texts: list[str] | None) -> tuple[tuple[str, str], ...]:
    """`GLOB=FMT[,FMT]` as pairs; a format may hold `=` itself, so the first one divides."""
    pairs = []
    for text in texts or []:
        glob, equals, formats = text.partition("=")
        if not equals or not glob or not formats:
            raise InputError(f"{text!r}", where="--override", hint="e.g. --override 'blocks.0.*=int8,int8'")
        pairs.append((glob, formats))
    return tuple(pairs)


def reuse_of(text: str) -> int | Literal["auto"]:
    """A reuse factor, or `auto`."""
    if text == "auto":
        return "auto"
    (value,) = _ints(text, "--reuse", "a whole number from 1, or auto") if "," not in text else (0,)
    if value < 1:
        raise InputError(f"{text!r}", where="--reuse", hint="a whole number from 1, or auto")
    return value


def _ints(text: str, option: str, hint: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{text!r}", where=option, hint=hint) from None
