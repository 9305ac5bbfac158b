"""Measured times as a CSV file: what `hwsim profile` writes, importers make and `hwsim calibrate gpu` reads."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from hwsim.core.errors import InputError, nearest
from hwsim.latency.shapes import CLASSES, KernelShape

NETWORK = "network"
_SHAPE = tuple(f.name for f in fields(KernelShape))
_TEXT = ("device", "runtime", "precision", "layout", "operator", "name")
COLUMNS = (*_TEXT, "batch", *_SHAPE, "latency_us", "spread", "samples", "source")
_OPTIONAL = {"layout": "nchw", "operator": "", "name": "", "spread": "0", "samples": "1", "source": ""}

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured time.

    Attributes
    ----------
    device : name of the GPU (or CPU) as its device file says it.
    runtime, precision, layout : `eager|compiled|tensorrt`, or of `hwsim profile` `eager|eager-queued|graph`
        (`hwsim.latency.profile.timing`); `fp32|tf32|fp16|bf16|int8`; `nchw|nhwc`.
    operator : what ran: `conv2d`, `linear`, `matmul`, `relu`, `layer_norm`, ..., or `network`.
    name : of a network its MODEL string (`timm:resnet50`), and `@` with the side of its images in pixels where that
        was noted (`timm:resnet50@224`); of a kernel what the measurement called it.
    batch : images of the launch.
    shape : of the kernel at batch 1; None for a network.
    latency_us : median time of a launch, or of a whole network.
    spread : (90 % quantile less 10 % quantile) over the median.
    samples : timings that the median is of.
    source : where the number comes from.
    """

    device: str
    runtime: str
    precision: str
    layout: str
    operator: str
    name: str
    batch: int
    shape: KernelShape | None
    latency_us: float
    spread: float
    samples: int
    source: str


def write(path: Path, rows: Iterable[Measurement]) -> None:
    """Write measurements, a row each, latencies to a nanosecond."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(cells(row) for row in rows)


def cells(row: Measurement) -> list[str | int]:
    """A measurement as the fields of its line, in the order of `COLUMNS`; latencies to a nanosecond."""
    shape = [getattr(row.shape, name) for name in _SHAPE] if row.shape else [NETWORK, *[""] * (len(_SHAPE) - 1)]
    text = [getattr(row, name) for name in _TEXT]
    return [*text, row.batch, *shape, f"{row.latency_us:.3f}", f"{row.spread:.4f}", row.samples, row.source]


def read(path: Path) -> list[Measurement]:
    """Read measurements.

    Raises
    ------
    InputError
        For a file that is not such a table; the error names file, line and column.
    """
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            _check_columns(columns, path)
            return [_row(values, f"{path}:{reader.line_num}") for values in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(error), where=str(path), hint="a CSV table of measurements is wanted") from None


def _check_columns(columns: Sequence[str], path: Path) -> None:
    for name in columns:
        if name not in COLUMNS:
            raise InputError(f"unknown column {name!r}", where=str(path), hint=nearest(name, COLUMNS))
    for name in COLUMNS:
        if name not in columns and name not in _OPTIONAL:
            raise InputError(f"column {name!r} is missing", where=str(path), hint=f"wanted: {', '.join(COLUMNS)}")


def _row(values: dict[str, str], where: str) -> Measurement:
    given = _OPTIONAL | {key: value for key, value in values.items() if value not in ("", None)}
    device, runtime, precision, layout, operator, name = (given.get(column, "") for column in _TEXT)
    return Measurement(
        device,
        runtime,
        precision,
        layout,
        operator,
        name,
        _whole(given, "batch", where),
        None if given.get("kind") == NETWORK else _shape(given, where),
        _real(given, "latency_us", where),
        _real(given, "spread", where, zero=True),
        _whole(given, "samples", where),
        given["source"],
    )


def _shape(given: dict[str, str], where: str) -> KernelShape:
    kind = given.get("kind", "")
    if kind not in CLASSES:
        raise InputError(f"kind = {kind!r}", where=where, hint=nearest(kind, (*CLASSES, NETWORK)))
    return KernelShape(kind, *(_whole(given, name, where, zero=True) for name in _SHAPE[1:]))


def _whole(given: dict[str, str], name: str, where: str, zero: bool = False) -> int:
    return _number(int, given, name, where, "a whole number", zero)


def _real(given: dict[str, str], name: str, where: str, zero: bool = False) -> float:
    return _number(float, given, name, where, "a number", zero)


def _number(kind: Callable[[str], N], given: dict[str, str], name: str, where: str, words: str, zero: bool) -> N:
    hint = f"{words} {'from 0 up' if zero else 'above 0'} is wanted"
    try:
        value = kind(given[name])
    except (KeyError, ValueError):
        raise InputError(f"{name} = {given.get(name, '')!r}", where=where, hint=hint) from None
    if not (value > 0 or (zero and value == 0)) or value == float("inf"):
        raise InputError(f"{name} = {value}", where=where, hint=hint)
    return value
