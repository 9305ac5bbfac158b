"""CSV tables of measured times: hwsim's own, and one that is easy to write by hand.

The easy one has a column `op`, sizes of the operator, and one of `latency_us`, `latency_ms`, `latency_ns`, `latency_s`:

    op,batch,cin,h,w,cout,kernel,stride,groups,latency_ms
    conv2d,1,64,56,56,64,3,1,1,0.041
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from hwsim.core.errors import InputError, nearest
from hwsim.latency.importers.imported import PRECISIONS, Imported, Labels, wanted
from hwsim.latency.measurements import COLUMNS, NETWORK, Measurement, lines_of, number, read, whole
from hwsim.latency.shapes import KernelShape, conv, linear, matmul, memory

OWN, EASY = "hwsim table", "CSV with op and latency"
_US = {"latency_us": 1.0, "latency_ms": 1e3, "latency_ns": 1e-3, "latency_s": 1e6}
_SIZES = ("cin", "h", "w", "cout", "kernel", "stride", "padding", "groups", "rows", "cols", "depth", "count")
_TEXTS = ("device", "runtime", "precision", "layout", "name", "source")
_KNOWN = ("op", "batch", *_SIZES, *_US, *_TEXTS, "spread", "samples")
_ONES = {"batch": "1", "h": "1", "w": "1", "stride": "1", "groups": "1", "rows": "1", "count": "1", "samples": "1"}


def read_csv(path: Path, labels: Labels) -> Imported:
    """The rows of a CSV table; a table that says its columns `operator` and `kind` is hwsim's own, and says all.

    Raises
    ------
    InputError
        For an unknown column (with the nearest), a column of latencies too many or too few, or a bad cell.
    """
    columns = _columns(path)
    if "kind" in columns or "operator" in columns:
        return Imported(OWN, tuple(read(path)))
    units = [name for name in columns if name in _US]
    if len(units) > 1:
        hint = f"keep one of {', '.join(units)}"
        raise InputError(f"{len(units)} columns of latencies", where=str(path), hint=hint)
    rows = []
    for given, where in lines_of(path, _KNOWN, ("op", units[0] if units else "latency_us")):
        rows.append(_row(given, units[0], labels, where))
    return Imported(EASY, tuple(rows))


def _columns(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        hint = f"a CSV table is wanted, with columns {', '.join(COLUMNS[:8])}, ... or {', '.join(_KNOWN[:8])}, ..."
        raise InputError(str(error), where=str(path), hint=hint) from None


def _row(cells_: dict[str, str], unit: str, labels: Labels, where: str) -> Measurement:
    given = _ONES | {"spread": "0", "layout": "nchw", "name": labels.name} | cells_
    op = given.get("op", "")
    if op not in (*_SHAPES, NETWORK):
        raise InputError(f"op = {op!r}", where=where, hint=nearest(op, (*_SHAPES, NETWORK)))
    precision = given.get("precision") or wanted(labels, "precision", where)
    if precision not in PRECISIONS:
        raise InputError(f"precision = {precision!r}", where=where, hint=nearest(precision, PRECISIONS))
    if op == NETWORK and not given["name"]:
        raise InputError("a network without a name", where=where, hint="name = its MODEL string, e.g. timm:resnet50")
    return Measurement(
        device=given.get("device") or wanted(labels, "device", where),
        runtime=given.get("runtime") or wanted(labels, "runtime", where),
        precision=precision,
        layout=given["layout"],
        operator=op,
        name=given["name"] if op == NETWORK else cells_.get("name", ""),
        batch=whole(given, "batch", where),
        shape=None if op == NETWORK else _SHAPES[op](given, where),
        latency_us=number(given, unit, where) * _US[unit],
        spread=number(given, "spread", where, zero=True),
        samples=whole(given, "samples", where),
        source=given.get("source", EASY),
    )


def _conv2d(given: Mapping[str, str], where: str) -> KernelShape:
    cin, height, width, cout, stride, groups = (
        whole(given, key, where) for key in ("cin", "h", "w", "cout", "stride", "groups")
    )  # fmt: skip
    kernel = _pair(given, "kernel", where)
    padding = _pair(given, "padding", where, zero=True) if "padding" in given else (kernel[0] // 2, kernel[1] // 2)
    if cin % groups or cout % groups:
        hint = f"a number that divides cin = {cin} and cout = {cout}"
        raise InputError(f"groups = {groups}", where=where, hint=hint)
    if height + 2 * padding[0] < kernel[0] or width + 2 * padding[1] < kernel[1]:
        raise InputError(f"kernel = {given['kernel']!r} is larger than the padded input", where=where, hint="h and w")
    return conv(cin, cout, (height, width), kernel, stride, groups, padding)


def _linear(given: Mapping[str, str], where: str) -> KernelShape:
    return linear(*(whole(given, key, where) for key in ("rows", "cin", "cout")))


def _matmul(given: Mapping[str, str], where: str) -> KernelShape:
    return matmul(*(whole(given, key, where) for key in ("count", "rows", "cols", "depth")))


def _unary(given: Mapping[str, str], where: str) -> KernelShape:
    size = _size(given, where)
    return memory(size, size)


def _binary(given: Mapping[str, str], where: str) -> KernelShape:
    size = _size(given, where)
    return memory(2 * size, size)


def _size(given: Mapping[str, str], where: str) -> int:
    return whole(given, "cin", where) * whole(given, "h", where) * whole(given, "w", where)


def _pair(given: Mapping[str, str], key: str, where: str, zero: bool = False) -> tuple[int, int]:
    """`3` or `3x5`."""
    first, cross, second = given.get(key, "").partition("x")
    halves = {key: first, f"{key} (the second)": second if cross else first}
    height, width = (whole(halves, name, where, zero) for name in halves)
    return height, width


_SHAPES: dict[str, Callable[[Mapping[str, str], str], KernelShape]] = {
    "conv2d": _conv2d, "linear": _linear, "matmul": _matmul, "add": _binary, "mul": _binary,
    **dict.fromkeys(("relu", "gelu", "silu", "sigmoid", "tanh", "softmax", "layer_norm", "batch_norm"), _unary),
}  # fmt: skip
