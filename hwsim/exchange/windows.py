"""Pooling, padding and resizing in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.capture.operators import op_name
from hwsim.exchange.layers import spread
from hwsim.exchange.translation import Arguments, Handler, Translation, unsupported

_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _spatial(t: Translation, a: Arguments, of: Any) -> list[int]:
    """Sizes of the spatial axes: all but batch and channels."""
    axes = int(op_name(a.node)[-2])
    return t.sizes(a, of, *range(-axes, 0))


def _input(t: Translation, a: Arguments, axes: int) -> str:
    if len(t.shape(a[0])) != axes + 2:
        raise unsupported(a.node, "without a batch axis")
    return t.tensor(a[0])


def _end_pads(inner: list[int], outer: list[int], kernel: list[int], stride: list[int], begin: list[int]) -> list[int]:
    """What must follow the input so that the last window fits: whatever the rounding of sizes was."""
    rows = zip(inner, outer, kernel, stride, begin, strict=True)
    return [max((out - 1) * s + k - size - p, 0) for size, out, k, s, p in rows]


def _max_pool(t: Translation, a: Arguments) -> str:
    """max_poolNd(x, kernel, stride, padding, dilation, ceil_mode); ceil_mode as padding at the end."""
    inner, outer = _spatial(t, a, a[0]), _spatial(t, a, a.node)
    axes = len(inner)
    kernel = spread(a[1], axes)
    stride = spread(a.get(2, "stride") or kernel, axes)
    begin, dilation = spread(a.get(3, "padding", 0), axes), spread(a.get(4, "dilation", 1), axes)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = begin + (_end_pads(inner, outer, reach, stride, begin) if a.get(5, "ceil_mode", False) else begin)
    options = {"kernel_shape": kernel, "strides": stride, "pads": pads, "dilations": dilation}
    return t.writer.add("MaxPool", _input(t, a, axes), **options)


def _avg_pool(t: Translation, a: Arguments) -> str:
    """avg_poolNd(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)."""
    inner, outer = _spatial(t, a, a[0]), _spatial(t, a, a.node)
    axes = len(inner)
    kernel = spread(a[1], axes)
    stride = spread(a.get(2, "stride") or kernel, axes)
    begin, ceil = spread(a.get(3, "padding", 0), axes), bool(a.get(4, "ceil_mode", False))
    x, counted, divisor = _input(t, a, axes), bool(a.get(5, "count_include_pad", True)), a.get(6, "divisor_override")
    if ceil and counted and any(begin):  # zeros that count become part of the input, those of the ceiling do not count
        x = t.writer.add("Pad", x, t.writer.integers(0, 0, *begin, 0, 0, *begin), mode="constant")
        inner = [size + 2 * p for size, p in zip(inner, begin, strict=True)]
        begin = [0] * axes
    end = _end_pads(inner, outer, kernel, stride, begin) if ceil else begin
    include = int(counted and not ceil)
    options = {"kernel_shape": kernel, "strides": stride, "pads": begin + end, "count_include_pad": include}
    y = t.writer.add("AveragePool", x, **options)
    if divisor is None:
        return y
    if ceil or (any(begin) and not counted):
        raise unsupported(a.node, "with a divisor and padding")
    return t.writer.add("Mul", y, t.tensor(float(np.prod(kernel)) / float(divisor)))


def _adaptive_avg_pool(t: Translation, a: Arguments) -> str:
    inner, outer = _spatial(t, a, a[0]), _spatial(t, a, a.node)
    x = _input(t, a, len(inner))
    if all(out == 1 for out in outer):
        return t.writer.add("GlobalAveragePool", x)
    if all(size % out == 0 for size, out in zip(inner, outer, strict=True)):
        steps = [size // out for size, out in zip(inner, outer, strict=True)]
        return t.writer.add("AveragePool", x, kernel_shape=steps, strides=steps)
    return _cell_by_cell(t, "ReduceMean", x, inner, outer)


def _adaptive_max_pool(t: Translation, a: Arguments) -> str:
    inner, outer = _spatial(t, a, a[0]), _spatial(t, a, a.node)
    x = _input(t, a, len(inner))
    if all(size % out == 0 for size, out in zip(inner, outer, strict=True)):
        steps = [size // out for size, out in zip(inner, outer, strict=True)]
        return t.writer.add("MaxPool", x, kernel_shape=steps, strides=steps)
    return _cell_by_cell(t, "ReduceMax", x, inner, outer)


def _cell_by_cell(t: Translation, op: str, x: str, inner: list[int], outer: list[int]) -> str:
    """Windows of unequal length, one axis after the other: cell i covers floor(i n / m) .. ceil((i + 1) n / m)."""
    for axis, (size, out) in enumerate(zip(inner, outer, strict=True), start=2):
        if size == out:
            continue
        bounds = [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]
        cells = [t.writer.reduce(op, t.writer.slice(x, low, high, axis), [axis], True) for low, high in bounds]
        x = t.writer.add("Concat", *cells, axis=axis)
    return x


def _pad(t: Translation, a: Arguments) -> str:
    """constant_pad_nd(x, pad, value), pad(x, pad, mode, value), reflection_padNd, replication_padNd."""
    name = op_name(a.node)
    mode, value = "constant", 0.0
    if name == "constant_pad_nd":
        value = a.get(2, "value", 0.0)
    elif name == "pad":
        mode, value = a.get(2, "mode", "constant"), a.get(3, "value") or 0.0
    else:
        mode = "reflect" if name.startswith("reflection") else "replicate"
    rank = len(t.shape(a[0]))
    amounts = [int(t.number(a, p)) for p in a[1]]  # last axis first, (before, after) each
    before, after = [0] * rank, [0] * rank
    for i in range(len(amounts) // 2):
        before[rank - 1 - i], after[rank - 1 - i] = amounts[2 * i], amounts[2 * i + 1]
    if _MODES[mode] == "wrap" and t.writer.opset < 19:
        raise unsupported(a.node, "around the edge")
    fill = [t.tensor(value, t.dtype(a[0]))] if mode == "constant" else []
    return t.writer.add("Pad", t.tensor(a[0]), t.writer.integers(*before, *after), *fill, mode=_MODES[mode])


def _upsample(t: Translation, a: Arguments) -> str:
    """upsample_nearestNd(x, size, scales...), upsample_bilinear2d(x, size, align_corners, scales...)."""
    name = op_name(a.node)
    axes = int(name[-2])
    inner, outer = t.sizes(a, a[0], *range(2, axes + 2)), t.sizes(a, a.node, *range(2, axes + 2))
    linear = "linear" in name
    first = 3 if linear else 2
    given: Any = list(a.node.args[first:]) or a.node.kwargs.get("scale_factors") or list(a.node.kwargs.values())
    factors = given[0] if given and isinstance(given[0], list | tuple) else given
    aligned = linear and bool(a.get(2, "align_corners", False))
    factors = [float(f) for f in factors or () if isinstance(f, int | float) and not isinstance(f, bool)]
    scales = factors if len(factors) == axes else [out / size for size, out in zip(inner, outer, strict=True)]
    mode = "align_corners" if aligned else "half_pixel" if linear else "asymmetric"
    options: dict[str, Any] = {"mode": "linear" if linear else "nearest", "coordinate_transformation_mode": mode}
    if not linear:
        options["nearest_mode"] = "floor"
    fits = [int(np.float32(size) * np.float32(s)) for size, s in zip(inner, scales, strict=True)] == outer
    if fits and (len(factors) == axes or all(float(s).is_integer() for s in scales)) and not aligned:
        factor = t.writer.constant(np.array([1.0, 1.0, *scales], np.float32))
        return t.writer.add("Resize", t.tensor(a[0]), "", factor, **options)
    return t.writer.add("Resize", t.tensor(a[0]), "", "", t.output_shape(a, a[0]), **options)


WINDOWS: dict[str, Handler] = {
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), _max_pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _avg_pool),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"), _adaptive_avg_pool),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), _adaptive_max_pool),
    **dict.fromkeys(("constant_pad_nd", "pad", "reflection_pad1d", "reflection_pad2d", "replication_pad2d"), _pad),
    **dict.fromkeys(
        ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d"), _upsample
    ),
}
