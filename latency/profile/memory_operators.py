"""Operators that compute next to nothing, on tensors that read and write as many elements as a shape says.

A shape does not say how its elements are laid out. Where an operator needs channels, rows or planes they are guessed:
square planes, the usual widths of tokens. `out_h`, `kernel_h` and `stride` of a pool are used where they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import gcd

import torch
from torch import Tensor
from torch.nn import functional

from hwsim.core.errors import UnsupportedError, nearest
from hwsim.latency.profile.geometry import Window, sliding, square_planes
from hwsim.latency.profile.operators import Call, Maker
from hwsim.latency.profile.point import Point
from hwsim.latency.shapes import KernelShape

Unary = Callable[[Tensor], Tensor]
_UNARY: dict[str, Unary] = {
    "relu": torch.relu, "relu6": functional.relu6, "gelu": functional.gelu, "silu": functional.silu,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "hardswish": functional.hardswish, "neg": torch.neg,
    "hardsigmoid": functional.hardsigmoid, "leaky_relu": functional.leaky_relu, "elu": functional.elu,
    "softplus": functional.softplus, "exp": torch.exp, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "abs": torch.abs,
    "copy": torch.clone, "pow": torch.square,
}  # fmt: skip
_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum,
}  # fmt: skip
_ALIASES = {
    "clone": "copy", "contiguous": "copy", "dropout": "copy", "square": "pow", "hardtanh": "relu6", "swish": "silu",
    "batchnorm": "batch_norm", "batch_norm2d": "batch_norm", "batchnorm2d": "batch_norm", "layernorm": "layer_norm",
    "native_layer_norm": "layer_norm", "native_batch_norm": "batch_norm", "groupnorm": "group_norm", "cat": "concat",
    "max_pool": "max_pool2d", "maxpool": "max_pool2d", "avg_pool": "avg_pool2d", "avgpool": "avg_pool2d",
    "global_avg_pool": "mean", "adaptive_avg_pool2d": "mean", "reduce": "mean", "multiply": "mul",
    "elementwise": "memory", "truediv": "div",
}  # fmt: skip
_TOKEN_WIDTHS = (1024, 768, 512, 384, 256, 192, 128, 96, 64)
_WHOLE = 25  # elements read for one written from which a pool is taken to be over the whole image
_HEADS = (12, 8, 6, 16, 4, 3, 2, 1)


def memory_call(point: Point, make: Maker) -> Call:
    """The call of a `memory` point.

    Raises
    ------
    UnsupportedError
        For an operator that is not known, or a shape that it cannot have.
    """
    name = point.operator.lower().removesuffix("_").removeprefix("vec")
    name = _ALIASES.get(name, name)
    read, write = point.shape.read_elements, point.shape.write_elements
    if name == "memory":
        name = {write: "copy", 2 * write: "add"}.get(read, "mean" if read > write else "expand")
    if name in _UNARY:
        _same(point, read == write)
        unary, data = _UNARY[name], make(point.batch, write)
        return lambda: unary(data)
    if name in _BINARY:
        return _binary(point, _BINARY[name], make)
    if name in _BUILDERS:
        return _BUILDERS[name](point, make)
    known = {*_UNARY, *_BINARY, *_BUILDERS}
    raise UnsupportedError("no builder for this operator", where=point.operator, hint=nearest(name, known))


def _binary(point: Point, operator: Callable[[Tensor, Tensor], Tensor], make: Maker) -> Call:
    """Two tensors of one size, or the second spread over the last axis of the first; with nothing second, a number."""
    batch, write = point.batch, point.shape.write_elements
    second = point.shape.read_elements - write
    _same(point, second == 0 or (second > 0 and write % second == 0))
    if second in (0, write):
        left, right = make(batch, write), make(batch, write) if second else torch.tensor(1.5)
    else:
        left, right = make(batch, second, write // second), make(batch, second, 1)
    return lambda: operator(left, right)


def _layer_norm(point: Point, make: Maker) -> Call:
    width = _width(point)
    data, gain, bias = make(point.batch, point.shape.write_elements // width, width), make(width), make(width)
    return lambda: functional.layer_norm(data, (width,), gain, bias)


def _softmax(point: Point, make: Maker) -> Call:
    write = point.shape.write_elements
    _same(point, point.shape.read_elements == write)
    square = ((h, n) for h in _HEADS for c, n in square_planes(write) if c == h and n > 1)
    heads, side = next(square, (0, 0))
    size = (heads, side, side) if heads else (write,)
    data = make.plain(point.batch, *size)
    return lambda: torch.softmax(data, -1)


def _batch_norm(point: Point, make: Maker) -> Call:
    data = _images(point, make)
    channels = data.shape[1]
    mean, gain, bias = make(channels), make(channels), make(channels)
    variance = make(channels).abs()
    return lambda: functional.batch_norm(data, mean, variance, gain, bias)


def _group_norm(point: Point, make: Maker) -> Call:
    data = _images(point, make)
    channels = data.shape[1]
    groups, gain, bias = gcd(channels, 32), make(channels), make(channels)
    return lambda: functional.group_norm(data, groups, gain, bias)


def _concat(point: Point, make: Maker) -> Call:
    write = point.shape.write_elements
    _same(point, point.shape.read_elements == write > 1)
    left, right = make(point.batch, write // 2), make(point.batch, write - write // 2)
    return lambda: torch.cat((left, right), 1)


def _mean(point: Point, make: Maker) -> Call:
    read, write = point.shape.read_elements, point.shape.write_elements
    _same(point, read % write == 0)
    data = make(point.batch, write, read // write)
    return lambda: data.mean(-1)


def _expand(point: Point, make: Maker) -> Call:
    read, write = point.shape.read_elements, point.shape.write_elements
    _same(point, write % max(read, 1) == 0)
    data = make(point.batch, read, 1)
    return lambda: data.expand(-1, -1, write // read).contiguous()


def _permute(point: Point, make: Maker) -> Call:
    """A copy that transposes tokens and their width."""
    width = _width(point)
    data = make(point.batch, point.shape.write_elements // width, width)
    return lambda: data.transpose(1, 2).contiguous()


def _pool(point: Point, make: Maker) -> Call:
    if point.shape.read_elements >= _WHOLE * point.shape.write_elements:
        return _mean(point, make) if "avg" in point.operator else _whole_max(point, make)
    shape, window, channels = _pool_window(point)
    image = make(point.batch, channels, window.in_h, window.in_w)
    kernel, pad = (shape.kernel_h, shape.kernel_w), (window.pad_h, window.pad_w)
    if "avg" in point.operator:
        return lambda: functional.avg_pool2d(image, kernel, shape.stride, pad)
    return lambda: functional.max_pool2d(image, kernel, shape.stride, pad)


def _whole_max(point: Point, make: Maker) -> Call:
    write = point.shape.write_elements
    _same(point, point.shape.read_elements % write == 0)
    data = make(point.batch, write, point.shape.read_elements // write)
    return lambda: data.amax(-1)


def _pool_window(point: Point) -> tuple[KernelShape, Window, int]:
    """Shape with its window, that window over the input, and the channels."""
    shape = point.shape
    read, write = shape.read_elements, shape.write_elements
    if shape.out_h * shape.out_w > 1 and write % (shape.out_h * shape.out_w) == 0:
        channels = write // (shape.out_h * shape.out_w)
        found = sliding(shape, read // channels) if read % channels == 0 else None
        if found:
            return shape, found, channels
    planes = dict(square_planes(write))
    for channels, side in sorted(square_planes(read), key=lambda plane: abs(plane[1] - 56)):
        if channels in planes and side >= planes[channels]:
            out = planes[channels]
            stride = max(1, round(side / out))
            kernel = shape.kernel_h if shape.kernel_h > 1 else 3 if stride < 3 and out > 1 else stride
            guess = replace(shape, out_h=out, out_w=out, kernel_h=kernel, kernel_w=kernel, stride=stride)
            found = sliding(guess, side * side)
            if found:
                return guess, found, channels
    raise UnsupportedError(f"no pool reads {read} and writes {write} elements", where=point.operator)


def _images(point: Point, make: Maker) -> Tensor:
    """Square images; the channels from the weights (two or four a channel), else a side of 7 to 112 that divides."""
    write, weights = point.shape.write_elements, point.shape.weight_elements
    _same(point, point.shape.read_elements == write)
    planes = dict(square_planes(write))
    for channels in (weights // 2, weights // 4):
        if channels in planes:
            return make(point.batch, channels, planes[channels], planes[channels])
        if channels and write % channels == 0:
            return make(point.batch, channels, write // channels, 1)
    channels = min(planes, key=lambda c: (planes[c] not in range(7, 113), c % 8 != 0, abs(planes[c] - 28)))
    return make(point.batch, channels, planes[channels], planes[channels])


def _width(point: Point) -> int:
    """The width of a token: half the weights, or the largest of the usual ones that divides."""
    write, weights = point.shape.write_elements, point.shape.weight_elements
    _same(point, point.shape.read_elements == write)
    widths = (weights // 2, *_TOKEN_WIDTHS)
    return next((width for width in widths if width and write % width == 0), write)


def _same(point: Point, fits: bool) -> None:
    if not fits:
        sizes = f"reads {point.shape.read_elements} and writes {point.shape.write_elements} elements"
        raise UnsupportedError(f"no such operator {sizes}", where=point.operator)


_BUILDERS: dict[str, Callable[[Point, Maker], Call]] = {
    "layer_norm": _layer_norm, "softmax": _softmax, "batch_norm": _batch_norm, "group_norm": _group_norm,
    "concat": _concat, "mean": _mean, "expand": _expand, "permute": _permute, "max_pool2d": _pool, "avg_pool2d": _pool,
}  # fmt: skip
