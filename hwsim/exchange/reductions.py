"""Reductions in ONNX."""

from __future__ import annotations

from typing import Any

from hwsim.capture.operators import op_name
from hwsim.exchange.translation import Arguments, Handler, Translation, unsupported


def _axes(t: Translation, a: Arguments, dims: Any) -> list[int]:
    """Axes as a list; all of them where none is given."""
    rank = len(t.shape(a[0]))
    if dims is None or (isinstance(dims, list | tuple) and not dims):
        return list(range(rank))
    return [d % max(rank, 1) for d in ([dims] if isinstance(dims, int) else dims)]


def _reduce(op: str) -> Handler:
    """op(x, dims, keepdim)."""

    def write(t: Translation, a: Arguments) -> str:
        keep = bool(a.get(2, "keepdim", False))
        return t.writer.reduce(op, t.tensor(a[0], t.dtype(a.node)), _axes(t, a, a.get(1, "dim")), keep)

    return write


def _extreme(reduction: str, index: str, binary: str) -> Handler:
    """max and min: of everything, of two tensors, or along an axis with the index."""

    def write(t: Translation, a: Arguments) -> str | tuple[str, ...]:
        if len(a.node.args) > 1 and not isinstance(a[1], int):
            kind = t.dtype(a.node)
            return t.writer.add(binary, t.tensor(a[0], kind), t.tensor(a[1], kind))
        x, keep = t.tensor(a[0]), bool(a.get(2, "keepdim", False))
        if len(a.node.args) == 1:
            return t.writer.reduce(reduction, x, _axes(t, a, None), False)
        (axis,) = _axes(t, a, a[1])
        values = t.writer.reduce(reduction, x, [axis], keep)
        return values, t.writer.add(index, x, axis=axis, keepdims=int(keep))

    return write


def _arg(op: str) -> Handler:
    def write(t: Translation, a: Arguments) -> str:
        x, axis = t.tensor(a[0]), a.get(1, "dim")
        if axis is None:
            x = t.writer.reshape(x, -1)
            return t.writer.add(op, x, axis=0, keepdims=0)
        return t.writer.add(op, x, axis=int(axis), keepdims=int(bool(a.get(2, "keepdim", False))))

    return write


def _variance(t: Translation, a: Arguments) -> str:
    """Mean squared distance from the mean, times n / (n - correction)."""
    axes, w = _axes(t, a, a.get(1, "dim")), t.writer
    correction: Any
    if len(a.node.args) > 2:  # var.dim(x, dims, unbiased, keepdim)
        correction, keep = int(bool(a[2])), bool(a.get(3, "keepdim", False))
    else:  # var.correction(x, dims, *, correction, keepdim)
        given = a.node.kwargs.get("correction", 1)
        correction, keep = 1 if given is None else given, bool(a.node.kwargs.get("keepdim", False))
    count = 1
    for size in t.sizes(a, a[0], *axes):
        count *= size
    x = t.tensor(a[0])
    centred = w.add("Sub", x, w.reduce("ReduceMean", x, axes, keep=True))
    total = w.reduce("ReduceSum", w.add("Mul", centred, centred), axes, keep)
    found = w.add("Div", total, t.tensor(float(count - correction)))
    return w.add("Sqrt", found) if op_name(a.node) == "std" else found


def _norm(t: Translation, a: Arguments) -> str:
    """norm(x, p, dims, keepdim) and linalg_vector_norm(x, ord, dims, keepdim), p = 1 or 2."""
    order = a.get(1, "ord", a.node.kwargs.get("p", 2))
    if order not in (None, 1, 2):
        raise unsupported(a.node, f"of order {order}")
    op = "ReduceL1" if order == 1 else "ReduceL2"
    keep = bool(a.get(3, "keepdim", False))
    return t.writer.reduce(op, t.tensor(a[0]), _axes(t, a, a.get(2, "dim")), keep)


def _cumsum(t: Translation, a: Arguments) -> str:
    axis = t.writer.constant(int(a[1]), "int64")
    return t.writer.add("CumSum", t.tensor(a[0], t.dtype(a.node)), axis)


REDUCTIONS: dict[str, Handler] = {
    "mean": _reduce("ReduceMean"),
    "sum": _reduce("ReduceSum"),
    "amax": _reduce("ReduceMax"),
    "amin": _reduce("ReduceMin"),
    "max": _extreme("ReduceMax", "ArgMax", "Max"),
    "min": _extreme("ReduceMin", "ArgMin", "Min"),
    "argmax": _arg("ArgMax"),
    "argmin": _arg("ArgMin"),
    "var": _variance,
    "std": _variance,
    "norm": _norm,
    "linalg_vector_norm": _norm,
    "cumsum": _cumsum,
}
