"""From a point to a call that runs it in torch, on tensors of normal random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hwsim.core.errors import UnsupportedError
from hwsim.latency.profile.geometry import conv_window
from hwsim.latency.profile.point import Point
from hwsim.latency.shapes import KernelShape

Call = Callable[[], Tensor]
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the operands: random normal, of one type, on one device, images in one layout."""

    precision: str
    layout: str
    device: str

    def __call__(self, *size: int) -> Tensor:
        """A tensor; of four axes it is laid out as images are."""
        made = self.plain(*size)
        return made.contiguous(memory_format=LAYOUTS[self.layout]) if len(size) == 4 else made

    def plain(self, *size: int) -> Tensor:
        """A tensor whose last axis lies closest, however many there are."""
        return torch.randn(size, dtype=DTYPES[self.precision], device=self.device)


def moved_bytes(point: Point, precision: str) -> int:
    """Bytes of all operands and results of a point."""
    shape = point.shape
    elements = point.batch * (shape.read_elements + shape.write_elements) + shape.weight_elements
    return elements * DTYPES[precision].itemsize


def build(point: Point, make: Maker) -> Call:
    """The call that a point stands for.

    Raises
    ------
    UnsupportedError
        For an operator without a builder, or a shape that it cannot have.
    """
    from hwsim.latency.profile.memory_operators import memory_call

    shape = point.shape
    if shape.kind == "linear":
        return _linear(point, make)
    if shape.kind == "matmul":
        return _matmul(point, make)
    if shape.kind == "memory":
        return memory_call(point, make)
    return _conv(point, make)


def _conv(point: Point, make: Maker) -> Call:
    shape, window = point.shape, conv_window(point.shape)
    image = make(point.batch, shape.cin, window.in_h, window.in_w)
    weight = make(shape.cout, shape.cin // shape.count, shape.kernel_h, shape.kernel_w)
    bias = _bias(shape, make)
    stride, pad, dilation, groups = shape.stride, (window.pad_h, window.pad_w), window.dilation, shape.count
    return lambda: functional.conv2d(image, weight, bias, stride, pad, dilation, groups)


def _linear(point: Point, make: Maker) -> Call:
    shape = point.shape
    rows = (point.batch, shape.rows) if shape.rows > 1 else (point.batch,)
    data, weight, bias = make(*rows, shape.depth), make(shape.cols, shape.depth), _bias(shape, make)
    return lambda: functional.linear(data, weight, bias)


def _matmul(point: Point, make: Maker) -> Call:
    shape = point.shape
    if "attention" in point.operator:
        raise UnsupportedError("an attention is several products: give each as a matmul", where=point.operator)
    heads = (point.batch, shape.count) if shape.count > 1 else (point.batch,)
    left, right = make.plain(*heads, shape.rows, shape.depth), make.plain(*heads, shape.depth, shape.cols)
    return lambda: torch.matmul(left, right)


def _bias(shape: KernelShape, make: Maker) -> Tensor | None:
    """One where the shape counts more weights than its products have."""
    return make(shape.cout) if shape.weight_elements - shape.count * shape.cols * shape.depth == shape.cout else None
