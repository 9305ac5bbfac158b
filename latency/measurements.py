"""Measured times as a CSV file: what `hwsim profile` writes, importers make and `hwsim calibrate gpu` reads."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TextIO

from hwsim.core.errors import InputError, nearest
from hwsim.latency.shapes import CLASSES, KernelShape

NETWORK = "network"
_SHAPE = tuple(f.name for f in fields(KernelShape))
_TEXT = ("device", "runtime", "precision", "layout", "operator", "name")
_NEEDED = ("device", "runtime", "precision")
COLUMNS = (*_TEXT, "batch", *_SHAPE, "latency_us", "spread", "samples", "source")
_OPTIONAL = {"layout": "nchw", "operator": "", "name": "", "spread": "0", "samples": "1", "source": ""}


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
    """Write measurements, a row each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(cells(row) for row in rows)


def cells(row: Measurement) -> list[str | int]:
    """A row as the cells of a table, in the order of `COLUMNS`; latencies to a picosecond."""
    shape = [getattr(row.shape, name) for name in _SHAPE] if row.shape else [NETWORK, *[""] * (len(_SHAPE) - 1)]
    text = [getattr(row, name) for name in _TEXT]
    return [*text, row.batch, *shape, f"{row.latency_us:.6f}", f"{row.spread:.4f}", row.samples, row.source]


def read(path: Path) -> list[Measurement]:
    """Read measurements.

    Raises
    ------
    InputError
        For a file that is not such a table; the error names file, line and column.
    """
    return [
        _row(values, where) for values, where in lines_of(path, COLUMNS, [c for c in COLUMNS if c not in _OPTIONAL])
    ]


def lines_of(path: Path, known: Sequence[str], wanted: Sequence[str]) -> Iterator[tuple[dict[str, str], str]]:
    """The rows of a CSV file with their place (`file:line`), empty cells left out.

    Parameters
    ----------
    known, wanted : the columns that there may be and must be.
    """
    try:
        with _opened(path) as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(list(reader.fieldnames or ()), path, known, wanted)
            for values in reader:
                where = f"{path}:{reader.line_num}"
                if None in values:
                    raise InputError("more cells than columns", where=where, hint="quote cells that hold a comma")
                yield {name: value for name, value in values.items() if value}, where
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(error), where=str(path), hint="a CSV table of measurements is wanted") from None


def _opened(path: Path) -> TextIO:
    """A table as text, also one that gzip compressed."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="", encoding="utf-8-sig")
    return path.open(newline="", encoding="utf-8-sig")


def _check_columns(columns: Sequence[str], path: Path, known: Sequence[str], wanted: Sequence[str]) -> None:
    for name in columns:
        if name not in known:
            raise InputError(f"unknown column {name!r}", where=str(path), hint=nearest(name, known))
        if columns.count(name) > 1:
            raise InputError(f"column {name!r} is there twice", where=str(path), hint="remove one")
    for name in wanted:
        if name not in columns:
            raise InputError(f"column {name!r} is missing", where=str(path), hint=f"wanted: {', '.join(wanted)}")


def _row(values: dict[str, str], where: str) -> Measurement:
    given = _OPTIONAL | values
    for name in _NEEDED:
        if name not in given:
            raise InputError(_cell(given, name), where=where, hint=f"every row says its {', '.join(_NEEDED)}")
    return Measurement(
        device=given["device"],
        runtime=given["runtime"],
        precision=given["precision"],
        layout=given["layout"],
        operator=given["operator"],
        name=given["name"],
        batch=whole(given, "batch", where),
        shape=None if given.get("kind") == NETWORK else _shape(given, where),
        latency_us=number(given, "latency_us", where),
        spread=number(given, "spread", where, zero=True),
        samples=whole(given, "samples", where),
        source=given["source"],
    )


def _shape(given: dict[str, str], where: str) -> KernelShape:
    for kind in CLASSES:
        if given.get("kind") == kind:
            memory = kind == "memory"
            return KernelShape(
                kind, *(whole(given, n, where, zero=memory or n.endswith("_elements")) for n in _SHAPE[1:])
            )
    said = given.get("kind", "")
    raise InputError(f"kind = {said!r}", where=where, hint=nearest(said, (*CLASSES, NETWORK)))


def whole(given: Mapping[str, str], name: str, where: str, zero: bool = False) -> int:
    """A cell as a whole number above 0, or from 0 up; InputError otherwise."""
    try:
        value = int(given.get(name, ""))
    except ValueError:
        value = -1
    if value < 0 or (value == 0 and not zero):
        raise InputError(_cell(given, name), where=where, hint=f"a whole number {_least(zero)} is wanted")
    return value


def number(given: Mapping[str, str], name: str, where: str, zero: bool = False) -> float:
    """A cell as a finite number above 0, or from 0 up; InputError otherwise."""
    try:
        value = float(given.get(name, ""))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or (value == 0 and not zero):
        raise InputError(_cell(given, name), where=where, hint=f"a number {_least(zero)} is wanted")
    return value


def _cell(given: Mapping[str, str], name: str) -> str:
    return f"{name} = {given[name]!r}" if name in given else f"{name} is empty"


def _least(zero: bool) -> str:
    return "from 0 up" if zero else "above 0"
