"""ONNX operators over windows of pixels and over channels, where no torch layer fits: pooling, padding, resizing."""

from __future__ import annotations

from itertools import chain
from math import ceil, floor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hwsim.capture.onnx_values import OnnxNode, Operator, Value, ints, tensor

_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def torch_padding(before: list[int], after: list[int]) -> list[int]:
    """Padding of each axis in order, as F.pad wants it: last axis first."""
    return list(chain.from_iterable(reversed(list(zip(before, after, strict=True)))))


def same_padding(size: Any, kernel: int, stride: int, dilation: int, upper: bool) -> tuple[Any, Any]:
    """Padding before and after an axis for `auto_pad=SAME_*`: the output has ceil(size / stride) elements."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    small = total // 2
    return (small, total - small) if upper else (total - small, small)


def window_padding(node: OnnxNode, kernel: list[int], spatial: Any) -> tuple[list[int], list[int]]:
    """Padding before and after each spatial axis of a node with `pads` or `auto_pad`."""
    axes = len(kernel)
    mode = node.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        strides, dilations = node.get("strides") or [1] * axes, node.get("dilations") or [1] * axes
        pairs = [
            same_padding(s, k, t, d, mode == "SAME_UPPER")
            for s, k, t, d in zip(spatial, kernel, strides, dilations, strict=True)
        ]
        return [p[0] for p in pairs], [p[1] for p in pairs]
    pads = [0] * 2 * axes if mode == "VALID" else list(node.get("pads") or [0] * 2 * axes)
    return pads[:axes], pads[axes:]


def _max_pool(node: OnnxNode, x: Value) -> Tensor:
    data, kernel = tensor(x), node.get("kernel_shape")
    if len([name for name in node.outputs if name]) > 1:
        raise node.unsupported("its indices are used")
    before, after = window_padding(node, kernel, data.shape[2:])
    if any(before) or any(after):
        data = F.pad(data, torch_padding(before, after), value=float("-inf"))
    return _MAX_POOL[len(kernel)](
        data,
        kernel,
        node.get("strides") or [1] * len(kernel),
        dilation=node.get("dilations") or [1] * len(kernel),
        ceil_mode=bool(node.get("ceil_mode", 0)),
    )


def _average_pool(node: OnnxNode, x: Value) -> Tensor:
    """Average over the window; unless padding counts, the sum is divided by the number of real elements."""
    data, kernel = tensor(x), node.get("kernel_shape")
    if any(d != 1 for d in node.get("dilations") or []):
        raise node.unsupported("dilations")
    before, after = window_padding(node, kernel, data.shape[2:])
    padding = torch_padding(before, after)
    pool, strides = _AVG_POOL[len(kernel)], node.get("strides") or [1] * len(kernel)
    rounding = bool(node.get("ceil_mode", 0))
    if node.get("count_include_pad", 0):
        return pool(F.pad(data, padding), kernel, strides, ceil_mode=rounding)
    share = pool(F.pad(torch.ones_like(data[:1, :1]), padding), kernel, strides, ceil_mode=rounding)
    return pool(F.pad(data, padding), kernel, strides, ceil_mode=rounding) / share


def _global(function: Any) -> Operator:
    def run(node: OnnxNode, x: Value) -> Tensor:
        data = tensor(x)
        return function(data, list(range(2, data.ndim)), keepdim=True)

    return run


def _pad(
    node: OnnxNode, x: Value, pads: Value | None = None, value: Value | None = None, axes: Value | None = None
) -> Tensor:
    data, mode = tensor(x), node.get("mode", "constant")
    given = list(node.get("pads") or []) if pads is None else ints(node, pads, "pads")
    fill = node.get("value", 0.0) if value is None else ints(node, value, "value")[0]
    dims = list(range(data.ndim)) if axes is None else [a % data.ndim for a in ints(node, axes, "axes")]
    before, after = [0] * data.ndim, [0] * data.ndim
    for i, dim in enumerate(dims):
        before[dim], after[dim] = given[i], given[i + len(dims)]
    first = next((i for i in range(data.ndim) if before[i] or after[i]), data.ndim)
    if first == data.ndim:
        return data
    if mode == "constant":
        return F.pad(data, torch_padding(before[first:], after[first:]), value=fill)
    if mode not in _PAD_MODES or first == 0 or data.ndim - first > 3:
        raise node.unsupported(f"mode {mode!r} on axis {first}")
    start = max(1, data.ndim - 3) if data.ndim > 4 else min(first, data.ndim - 1)
    while data.ndim - start not in (data.ndim - 1, data.ndim - 2):  # torch pads all but one or two leading axes
        start -= 1
    return F.pad(data, torch_padding(before[start:], after[start:]), mode=_PAD_MODES[mode])


def _resize(node: OnnxNode, x: Value, *given: Value | None) -> Tensor:
    """Inputs (roi, scales, sizes), or (scales,) up to opset 10; spatial axes only."""
    data = tensor(x)
    _, scales, target = (None, *given, None)[:3] if node.opset < 11 else (*given, None, None, None)[:3]
    axes = node.get("axes") or list(range(data.ndim))
    if node.get("antialias", 0) or node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise node.unsupported("antialias or keep_aspect_ratio_policy")
    factors, out = [1.0] * data.ndim, list(data.shape)
    if target is not None and np.size(target):
        for axis, size in zip(axes, ints(node, target, "sizes"), strict=True):
            out[axis], factors[axis] = size, size / data.shape[axis]
    else:
        wanted = node.get("scales") if scales is None else ints(node, scales, "scales")
        for axis, factor in zip(axes, wanted, strict=True):
            out[axis], factors[axis] = _scaled_size(data.shape[axis], factor), factor
    if factors[0] != 1 or factors[1] != 1:
        raise node.unsupported("resizing of batch or channels")
    mode = node.get("mode", "nearest")
    place = node.get("coordinate_transformation_mode", "half_pixel" if node.opset >= 11 else "asymmetric")
    if mode == "nearest":
        return _resize_nearest(node, data, out, factors, place)
    return _resize_smooth(node, data, out, factors, mode, place)


def _scaled_size(size: Any, factor: float) -> Any:
    """floor(size x factor), in float32 as the operator's scales are."""
    return size * int(factor) if factor == int(factor) else floor(np.float32(size) * np.float32(factor))


def _resize_nearest(node: OnnxNode, x: Tensor, out: list[Any], factors: list[float], place: str) -> Tensor:
    """Whole enlargement factors are torch's own; other ones select rows and columns by the formula of the operator."""
    rounding = node.get("nearest_mode", "round_prefer_floor" if node.opset >= 11 else "floor")
    whole = all(f == int(f) for f in factors)
    usual = (place == "asymmetric" and rounding == "floor") or (
        place in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round")
    )
    if whole and usual:
        return F.interpolate(x, scale_factor=[float(f) for f in factors[2:]], mode="nearest")
    for axis in range(2, x.ndim):
        if out[axis] == x.shape[axis]:
            continue
        size = x.shape[axis]
        places = [_source(i, size, out[axis], factors[axis], place, node) for i in range(out[axis])]
        rows = [min(max(_rounded(p, rounding), 0), size - 1) for p in places]
        x = x.index_select(axis, torch.tensor(rows))
    return x


def _source(i: int, size: int, out: int, factor: float, place: str, node: OnnxNode) -> float:
    """The coordinate of the input that output element `i` reads (ONNX Resize, coordinate_transformation_mode)."""
    if place == "asymmetric":
        return i / factor
    if place == "half_pixel" or (place == "pytorch_half_pixel" and out > 1):
        return (i + 0.5) / factor - 0.5
    if place == "pytorch_half_pixel":
        return 0.0
    if place == "align_corners":
        return i * (size - 1) / (out - 1) if out > 1 else 0.0
    raise node.unsupported(f"coordinate_transformation_mode {place!r}")


def _rounded(value: float, rounding: str) -> int:
    if rounding == "floor":
        return floor(value)
    if rounding == "ceil":
        return ceil(value)
    return ceil(value - 0.5) if rounding == "round_prefer_floor" else floor(value + 0.5)


def _resize_smooth(node: OnnxNode, x: Tensor, out: list[Any], factors: list[float], mode: str, place: str) -> Tensor:
    names = {("linear", 3): "linear", ("linear", 4): "bilinear", ("linear", 5): "trilinear", ("cubic", 4): "bicubic"}
    kind = names.get((mode, x.ndim))
    half = place in ("half_pixel", "pytorch_half_pixel")
    if kind is None or not (half or place == "align_corners") or node.get("exclude_outside", 0):
        raise node.unsupported(f"mode {mode!r} with coordinates {place!r} on {x.ndim} axes")
    if mode == "cubic" and node.get("cubic_coeff_a", -0.75) != -0.75:
        raise node.unsupported("cubic_coeff_a other than -0.75")
    if half and any(size != f * x.shape[i + 2] for i, (size, f) in enumerate(zip(out[2:], factors[2:], strict=True))):
        scale = [float(f) for f in factors[2:]]
        return F.interpolate(x, scale_factor=scale, mode=kind, align_corners=False, recompute_scale_factor=False)
    return F.interpolate(x, size=out[2:], mode=kind, align_corners=not half)


def _batch_norm(node: OnnxNode, x: Value, scale: Value, bias: Value, mean: Value, var: Value) -> Tensor:
    if node.get("training_mode", 0):
        raise node.unsupported("training_mode")
    running = (tensor(mean), tensor(var))
    return F.batch_norm(tensor(x), *running, tensor(scale), tensor(bias), eps=node.get("epsilon", 1e-5))


def _layer_norm(node: OnnxNode, x: Value, scale: Value, bias: Value | None = None) -> Tensor:
    if len([name for name in node.outputs if name]) > 1:
        raise node.unsupported("its mean or deviation is used")
    data = tensor(x)
    shape = list(data.shape[node.get("axis", -1) % data.ndim :])
    y = F.layer_norm(data, shape, eps=node.get("epsilon", 1e-5)) * tensor(scale)
    return y if bias is None else y + tensor(bias)


def _rms_norm(node: OnnxNode, x: Value, scale: Value) -> Tensor:
    data = tensor(x)
    shape = list(data.shape[node.get("axis", -1) % data.ndim :])
    return F.rms_norm(data, shape, eps=node.get("epsilon", 1e-5)) * tensor(scale)


def _instance_norm(node: OnnxNode, x: Value, scale: Value, bias: Value) -> Tensor:
    return F.instance_norm(tensor(x), weight=tensor(scale), bias=tensor(bias), eps=node.get("epsilon", 1e-5))


def _group_norm(node: OnnxNode, x: Value, scale: Value, bias: Value) -> Tensor:
    data, groups, eps = tensor(x), node.get("num_groups"), node.get("epsilon", 1e-5)
    if node.opset >= 21:
        return F.group_norm(data, groups, tensor(scale), tensor(bias), eps)
    by_group = (1, groups, 1, *(1,) * (data.ndim - 2))  # one scale a group up to opset 20
    y = F.group_norm(data, groups, eps=eps).unflatten(1, (groups, -1))
    return (y * tensor(scale).reshape(by_group) + tensor(bias).reshape(by_group)).flatten(1, 2)


def _local_response_norm(node: OnnxNode, x: Value) -> Tensor:
    size = node.get("size")
    return F.local_response_norm(
        tensor(x), size, node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    )


def _lp_norm(node: OnnxNode, x: Value) -> Tensor:
    return F.normalize(tensor(x), p=node.get("p", 2), dim=node.get("axis", -1))


def _softmax(function: Any) -> Operator:
    """Up to opset 12 the axes from `axis` on count as one."""

    def run(node: OnnxNode, x: Value) -> Tensor:
        data = tensor(x)
        if node.opset >= 13:
            return function(data, node.get("axis", -1))
        axis = node.get("axis", 1) % data.ndim
        return function(data.flatten(axis), axis).reshape(data.shape)

    return run


WINDOWS: dict[str, Operator] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global(torch.mean),
    "GlobalMaxPool": _global(torch.amax),
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LRN": _local_response_norm,
    "LpNormalization": _lp_norm,
    "Softmax": _softmax(F.softmax),
    "LogSoftmax": _softmax(F.log_softmax),
}
