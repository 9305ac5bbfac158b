"""ATen operators that pick, join or fill values, in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.fx import Node

from hwsim.capture.operators import op_name
from hwsim.exchange.translation import Arguments, Handler, Translation, numpy_name, unsupported

_END = 1 << 62


def _axis(t: Translation, a: Arguments, value: Any, of: Any = None) -> int:
    return int(value) % max(1, len(t.shape(a[0] if of is None else of)))


def _cat(t: Translation, a: Arguments) -> str:
    tensors = [x for x in a[0] if t.shape(x) != (0,)]  # torch lets empty vectors join anything
    kind = t.dtype(a.node)
    axis = _axis(t, a, a.get(1, "dim", 0), tensors[0])
    return t.writer.add("Concat", *(t.tensor(x, kind) for x in tensors), axis=axis)


def _stack(t: Translation, a: Arguments) -> str:
    axis = _axis(t, a, a.get(1, "dim", 0), a.node)
    where = t.writer.integers(axis)
    parts = [t.writer.add("Unsqueeze", t.tensor(x, t.dtype(a.node)), where) for x in a[0]]
    return t.writer.add("Concat", *parts, axis=axis)


def _select(t: Translation, a: Arguments) -> str:
    """select(x, dim, index): a scalar index drops the axis."""
    index = t.writer.constant(int(t.number(a, a[2])), "int64")
    return t.writer.add("Gather", t.tensor(a[0]), index, axis=_axis(t, a, a[1]))


def _slice(t: Translation, a: Arguments) -> str:
    """slice(x, dim, start, end, step)."""
    axis = _axis(t, a, a.get(1, "dim", 0))
    start, end, step = a.get(2, "start"), a.get(3, "end"), a.get(4, "step", 1)
    if start in (None, 0) and (end is None or (isinstance(end, int) and end > _END)) and step == 1:
        return t.tensor(a[0])
    bounds = [t.integer(0 if start is None else start), t.integer(_END if end is None else end)]
    return t.writer.add("Slice", t.tensor(a[0]), *bounds, t.writer.integers(axis), t.integer(step))


def _narrow(t: Translation, a: Arguments) -> str:
    start, length = int(t.number(a, a[2])), int(t.number(a, a[3]))
    return t.writer.slice(t.tensor(a[0]), start, start + length, _axis(t, a, a[1]))


def _split(t: Translation, a: Arguments) -> tuple[str, ...]:
    """split, split_with_sizes, chunk, unbind: the lengths are those observed."""
    parts = t.observed[a.node].parts
    name = op_name(a.node)
    axis = _axis(t, a, a.get(1, "dim", 0) if name == "unbind" else a.get(2, "dim", 0))
    if name == "unbind":
        lengths: list[int | None] = [1] * len(parts)
    else:
        lengths = [(part.shape or ())[axis] for part in parts]
    known = [n for n in lengths if n is not None]
    if len(known) < len(lengths):
        raise unsupported(a.node, "along an axis that grows with the batch")
    found = t.writer.node("Split", [t.tensor(a[0]), t.writer.integers(*known)], len(parts), axis=axis)
    if name == "unbind":
        found = [t.writer.add("Squeeze", x, t.writer.integers(axis)) for x in found]
    return tuple(found)


def _index_select(t: Translation, a: Arguments) -> str:
    return t.writer.add("Gather", t.tensor(a[0]), t.tensor(a[2]), axis=_axis(t, a, a[1]))


def _index(t: Translation, a: Arguments) -> str:
    """x[..., indices, ...] with one tensor of indices, or several for the leading axes."""
    indices = [(axis, i) for axis, i in enumerate(a[1]) if i is not None]
    if any(t.dtype(i) in (torch.bool, torch.uint8) for _, i in indices):
        raise unsupported(a.node, "by a mask")
    if len(indices) == 1:
        ((axis, index),) = indices
        return t.writer.add("Gather", t.tensor(a[0]), t.tensor(index), axis=axis)
    if [axis for axis, _ in indices] != list(range(len(indices))):
        raise unsupported(a.node, "by tensors of indices on axes that are not the first ones")
    shape = np.broadcast_shapes(*(tuple(s or 1 for s in t.shape(i)) for _, i in indices))
    if any(None in t.shape(i) for _, i in indices):
        raise unsupported(a.node, "by indices that grow with the batch")
    spread = [t.writer.add("Expand", t.tensor(i), t.writer.integers(*shape)) for _, i in indices]
    last = t.writer.integers(-1)
    stacked = t.writer.add("Concat", *(t.writer.add("Unsqueeze", i, last) for i in spread), axis=-1)
    return t.writer.add("GatherND", t.tensor(a[0]), stacked)


def _gather(t: Translation, a: Arguments) -> str:
    return t.writer.add("GatherElements", t.tensor(a[0]), t.tensor(a[2]), axis=_axis(t, a, a[1]))


def _flip(t: Translation, a: Arguments) -> str:
    x = t.tensor(a[0])
    for dim in a[1]:
        x = t.writer.slice(x, -1, -_END, _axis(t, a, dim), -1)
    return x


def _roll(t: Translation, a: Arguments) -> str:
    shifts, dims = a[1], a.get(2, "dims", [])
    x = t.tensor(a[0])
    if not dims:
        raise unsupported(a.node, "of a flattened tensor")
    for shift, dim in zip(shifts, dims, strict=True):
        axis = _axis(t, a, dim)
        cut = -int(t.number(a, shift)) % t.sizes(a, a[0], axis)[0]
        if cut:
            tail, head = t.writer.slice(x, cut, _END, axis), t.writer.slice(x, 0, cut, axis)
            x = t.writer.add("Concat", tail, head, axis=axis)
    return x


def _triangle(upper: int) -> Handler:
    def write(t: Translation, a: Arguments) -> str:
        diagonal = t.writer.constant(int(a.get(1, "diagonal", 0)), "int64")
        return t.writer.add("Trilu", t.tensor(a[0]), diagonal, upper=upper)

    return write


def _filled(value: float | None) -> Handler:
    """zeros, ones, full and their _like and new_ forms, whose shape follows the batch (others are constants)."""

    def write(t: Translation, a: Arguments) -> str:
        name, fill = op_name(a.node), value
        if fill is None:
            fill = t.number(a, a[2] if name.startswith("new_") else a[1])
        if name.endswith("_like"):
            shape = t.writer.add("Shape", t.tensor(a[0]))
        else:
            shape = t.shape_list(list(a[1] if name.startswith("new_") else a[0]))
        array = np.array([fill], numpy_name(t.dtype(a.node)))
        return t.writer.add("ConstantOfShape", shape, value=t.writer.onnx.numpy_helper.from_array(array))

    return write


def _range(t: Translation, a: Arguments) -> str:
    """arange up to a size that follows the batch."""
    bounds = [x for x in a.node.args if isinstance(x, int | Node)]
    start, end = (0, bounds[0]) if len(bounds) == 1 else (bounds[0], bounds[1])
    step = bounds[2] if len(bounds) > 2 else 1
    scalars = [t.writer.add("Squeeze", t.integer(x), t.writer.integers(0)) for x in (start, end, step)]
    found = t.writer.add("Range", *scalars)
    return found if t.dtype(a.node) == torch.int64 else t.cast(found, t.dtype(a.node))


SELECTION: dict[str, Handler] = {
    **dict.fromkeys(("cat", "concat"), _cat),
    "stack": _stack,
    "select": _select,
    "slice": _slice,
    "narrow": _narrow,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "unbind"), _split),
    "index_select": _index_select,
    "index": _index,
    "gather": _gather,
    "flip": _flip,
    "roll": _roll,
    "tril": _triangle(0),
    "triu": _triangle(1),
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros", "empty"), _filled(0.0)),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), _filled(1.0)),
    **dict.fromkeys(("full", "full_like", "new_full"), _filled(None)),
    "arange": _range,
}
