"""The kernel of an aten operator from what torch.profiler records of its arguments (record_shapes=True)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from hwsim.latency.importers.imported import Unreadable
from hwsim.latency.importers.json_files import whole_numbers
from hwsim.latency.shapes import KernelShape, conv, linear, matmul, memory

_PRECISIONS = {"float": "fp32", "c10::Half": "fp16", "c10::BFloat16": "bf16", "signed char": "int8"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments of one call, in the operator's order.

    Attributes
    ----------
    dims : sizes of a tensor, [] of anything else, a list of sizes of a list of tensors.
    values : numbers, lists and flags as text, "" for tensors; none before torch 2.1.
    strides, types : of the tensors, as torch records them.
    in_linear : whether `aten::linear` made the call, so that its second matrix is weights.
    """

    dims: Sequence[object]
    values: Sequence[object]
    strides: Sequence[object]
    types: Sequence[object]
    in_linear: bool = False

    def tensor(self, index: int, rank: int = 0) -> tuple[int, ...]:
        """Sizes of a tensor argument; Unreadable if it is none or of another rank."""
        sizes = whole_numbers(self.dims[index]) if 0 <= index < len(self.dims) else ()
        if not sizes or (rank and len(sizes) != rank):
            raise Unreadable(f"argument {index} is no tensor of rank {rank or 'above 0'}")
        return sizes

    def numbers(self, index: int, rank: int, least: int) -> tuple[int, ...]:
        """`rank` whole numbers of a list argument; a single one stands for all."""
        numbers = whole_numbers(_value(self, index), least)
        if len(numbers) not in (1, rank):
            raise Unreadable(f"argument {index} has {len(numbers)} numbers, not {rank}")
        return numbers * rank if len(numbers) == 1 else numbers


def precision(call: Arguments) -> str:
    """Precision of the first tensor, "" where it is not recorded, torch's own word where it is none of hwsim's."""
    said = next((str(word) for word in call.types if word not in ("", "Scalar", "ScalarList", "TensorList")), "")
    return _PRECISIONS.get(said, said)


def layout(call: Arguments) -> str:
    """`nhwc` for a first tensor whose channels are next to each other, else `nchw`."""
    sizes, strides = (x[0] if x else None for x in (call.dims, call.strides))
    if not isinstance(sizes, list) or not isinstance(strides, list) or len(sizes) != 4 or len(strides) != 4:
        return "nchw"
    return "nhwc" if strides[1] == 1 and sizes[1] != 1 else "nchw"


def _convolution(call: Arguments) -> tuple[str, int, KernelShape]:
    batch, cin, height, width = call.tensor(0, 4)
    cout, depth, *kernel = call.tensor(1, 4)
    stride, padding, dilation = call.numbers(3, 2, 1), call.numbers(4, 2, 0), call.numbers(5, 2, 1)
    groups = _value(call, 8)
    if _value(call, 6) is not False or stride[0] != stride[1]:
        raise Unreadable("transposed, or strides that differ")
    if type(groups) is not int or groups < 1 or depth * groups != cin or cout % groups:
        raise Unreadable(f"groups {groups!r:.20}, input {call.dims[0]} and weights {call.dims[1]} disagree")
    sides = (height, width)
    out_h, out_w = (
        (sides[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    )  # fmt: skip
    if out_h < 1 or out_w < 1:
        raise Unreadable("the kernel is larger than the padded input")
    shape = replace(
        conv(cin, cout, sides, (kernel[0], kernel[1]), stride[0], groups, dilated=dilation != (1, 1)),
        rows=out_h * out_w, out_h=out_h, out_w=out_w, write_elements=cout * out_h * out_w,
    )  # fmt: skip
    return "conv2d", batch, shape


def _addmm(call: Arguments) -> tuple[str, int, KernelShape]:
    return _two(call, 1, weights=True)


def _mm(call: Arguments) -> tuple[str, int, KernelShape]:
    return _two(call, 0, weights=call.in_linear)


def _two(call: Arguments, first: int, weights: bool) -> tuple[str, int, KernelShape]:
    (rows, depth), (inner, cols) = call.tensor(first, 2), call.tensor(first + 1, 2)
    if inner != depth:
        raise Unreadable(f"{rows} x {depth} by {inner} x {cols}")
    return ("linear", 1, linear(rows, depth, cols)) if weights else ("matmul", 1, matmul(1, rows, cols, depth))


def _bmm(call: Arguments) -> tuple[str, int, KernelShape]:
    first = len([d for d in call.dims if d]) - 2
    (count, rows, depth), (many, inner, cols) = call.tensor(first, 3), call.tensor(first + 1, 3)
    if inner != depth or many != count:
        raise Unreadable(f"{call.dims} is not a batch of products")
    return "matmul", 1, matmul(count, rows, cols, depth)


def _same(call: Arguments) -> tuple[int, int]:
    return prod(call.tensor(0)), prod(call.tensor(0))


def _binary(call: Arguments) -> tuple[int, int]:
    tensors = [call.tensor(i) for i in (0, 1) if i < len(call.dims) and call.dims[i]]
    try:
        out = np.broadcast_shapes(*tensors)
    except ValueError:
        raise Unreadable(f"{tensors} do not broadcast") from None
    return sum(map(prod, tensors)), prod(out)


def _copy(call: Arguments) -> tuple[int, int]:
    return prod(call.tensor(1)), prod(call.tensor(0))


def _cat(call: Arguments) -> tuple[int, int]:
    parts = call.dims[0] if call.dims else None
    if not isinstance(parts, list) or not parts:
        raise Unreadable("the sizes of the tensors are not recorded")
    size = sum(prod(whole_numbers(part)) for part in parts)
    return size, size


def _pool(call: Arguments) -> tuple[int, int]:
    *outer, height, width = call.tensor(0, 4)
    kernel, padding = call.numbers(1, 2, 1), call.numbers(3, 2, 0)
    stride = kernel if _value(call, 2) == [] else call.numbers(2, 2, 1)
    if "True" in call.values[4:6]:
        raise Unreadable("a pool that rounds its size up")
    sides = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip((height, width), padding, kernel, stride, strict=True)]
    return prod(call.tensor(0)), prod(outer) * prod(sides)


def _adaptive(call: Arguments) -> tuple[int, int]:
    return prod(call.tensor(0)), prod(call.tensor(0, 4)[:2]) * prod(call.numbers(1, 2, 1))


def _value(call: Arguments, index: int) -> object:
    """An argument that is a number, a list or a flag."""
    text = call.values[index] if index < len(call.values) else ""
    if not isinstance(text, str) or not text:
        raise Unreadable(f"argument {index} is not recorded: trace with torch 2.1 or later and record_shapes=True")
    try:
        return {"True": True, "False": False}[text] if text in ("True", "False") else json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable(f"argument {index} = {text:.40}") from None


_Product = Callable[[Arguments], tuple[str, int, KernelShape]]
_PRODUCTS: dict[str, _Product] = {
    "aten::convolution": _convolution, "aten::addmm": _addmm, "aten::mm": _mm, "aten::bmm": _bmm,
    "aten::baddbmm": _bmm,
}  # fmt: skip
_MOVED: dict[str, Callable[[Arguments], tuple[int, int]]] = {
    **dict.fromkeys("relu relu_ relu6 gelu silu silu_ sigmoid tanh hardswish hardswish_ hardsigmoid".split(), _same),
    **dict.fromkeys("hardtanh hardtanh_ leaky_relu clamp clamp_min _softmax".split(), _same),
    **dict.fromkeys(("batch_norm", "native_layer_norm"), _same),
    **dict.fromkeys("add add_ sub sub_ mul mul_ div div_".split(), _binary),
    "copy_": _copy, "cat": _cat, "max_pool2d": _pool, "avg_pool2d": _pool, "adaptive_avg_pool2d": _adaptive,
}  # fmt: skip


def is_known(name: str) -> bool:
    """Whether an operator (`aten::relu`) is one whose kernel can be told."""
    return name in _PRODUCTS or (name.startswith("aten::") and name[6:] in _MOVED)


def operator_kernel(name: str, call: Arguments) -> tuple[str, int, KernelShape]:
    """Operator, batch and shape of a known call; Unreadable where its arguments do not tell.

    The batch is the first axis of an image tensor (rank 4), else 1.
    """
    if name in _PRODUCTS:
        return _PRODUCTS[name](call)
    operator = name.removeprefix("aten::")
    read, write = _MOVED[operator](call)
    first = call.dims[0]
    batch = first[0] if isinstance(first, list) and len(first) == 4 and type(first[0]) is int else 1
    if read % batch or write % batch:
        batch = 1
    if not read or not write:
        raise Unreadable("moves no elements")
    return operator, batch, memory(read // batch, write // batch)
