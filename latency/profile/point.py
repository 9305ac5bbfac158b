"""What is measured: an operator, its shape and a batch size; and tables of such points."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from hwsim.core.errors import InputError, nearest
from hwsim.latency.shapes import CLASSES, KernelShape

_SHAPE = tuple(f.name for f in fields(KernelShape))
COLUMNS = ("operator", "name", "batch", *_SHAPE)
_NAMES = {"linear": "linear", "matmul": "matmul"}


@dataclass(frozen=True, slots=True)
class Point:
    """One kernel to measure.

    Attributes
    ----------
    operator : `conv2d`, `linear`, `matmul`, or what a `memory` shape does: `relu`, `layer_norm`, `max_pool2d`, ...
    batch : images of the launch.
    shape : at batch 1.
    name : what the measurement is called; free text.
    """

    operator: str
    batch: int
    shape: KernelShape
    name: str = ""


def read_points(path: Path) -> list[Point]:
    """Points of a CSV table: the columns `batch` and those of `KernelShape`, `operator` and `name` where there are.

    A table of measurements is such a table: its times and whole networks are passed over. Points that come twice are
    read once.

    Raises
    ------
    InputError
        For a file that is no such table; the error names file, line and column.
    """
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            for column in ("batch", *_SHAPE):
                if column not in (reader.fieldnames or ()):
                    hint = f"wanted: {', '.join(COLUMNS)}"
                    raise InputError(f"column {column!r} is missing", where=str(path), hint=hint)
            rows = ((values, f"{path}:{reader.line_num}") for values in reader)
            return list(dict.fromkeys(_point(values, where) for values, where in rows if values["kind"] != "network"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(error), where=str(path), hint="a CSV table of points is wanted") from None


def write_points(path: Path, points: Iterable[Point]) -> None:
    """Write points as a table that `read_points` reads."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for point in points:
            shape = [getattr(point.shape, name) for name in _SHAPE]
            writer.writerow([point.operator, point.name, point.batch, *shape])


def _point(values: dict[str, str], where: str) -> Point:
    kind = values["kind"]
    if kind not in CLASSES:
        raise InputError(f"kind = {kind!r}", where=where, hint=nearest(kind, CLASSES))
    numbers = [_whole(values, name, where) for name in _SHAPE[1:]]
    batch = _whole(values, "batch", where)
    if batch < 1:
        raise InputError(f"batch = {batch}", where=where, hint="from 1 up")
    given = values.get("operator") or _NAMES.get(kind, "memory" if kind == "memory" else "conv2d")
    return Point(given, batch, KernelShape(kind, *numbers), values.get("name") or "")


def _whole(values: dict[str, str], name: str, where: str) -> int:
    try:
        number = int(values[name])
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise InputError(f"{name} = {values[name]!r}", where=where, hint="a whole number from 0 up is wanted")
    return number
