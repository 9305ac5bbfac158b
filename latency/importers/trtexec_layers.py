"""The kernel of a layer as TensorRT's engine inspector describes it (`trtexec --exportLayerInfo`, detailed verbosity).

Keys: the example of TensorRT's developer guide, and the engine files among the tests of NVIDIA's engine explorer
(NVIDIA/TensorRT @ 8fe0539, tools/experimental/trt-engine-explorer/tests/inputs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from hwsim.latency.importers.imported import Unreadable
from hwsim.latency.importers.json_files import whole_numbers
from hwsim.latency.shapes import KernelShape, conv, linear, matmul, memory

Dims = tuple[int, ...]
_MEMORY = (
    "reformat", "pooling", "pointwise", "pointwisev2", "elementwise", "activation", "softmax", "shuffle", "reduce",
    "slice", "resize", "scale", "concatenation", "unary", "gather", "cast", "copy", "normalization", "padding",
)  # fmt: skip
_PRODUCTS = ("matrixmultiply", "gemm")
_TYPES = {
    "bf16": "bf16", "bfloat16": "bf16", "fp16": "fp16", "half": "fp16", "int8": "int8", "fp8": "fp8", "int4": "int4",
    "int32": "int32", "int64": "int64", "bool": "bool", "fp32": "fp32", "float": "fp32",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerKernel:
    """What a layer computes: `precision` is "" where the inspector does not say it."""

    operator: str
    batch: int
    shape: KernelShape
    precision: str
    layout: str


def layer_kernel(layer: Mapping[str, object]) -> LayerKernel:
    """The kernel of one layer; Unreadable, with the reason, for a layer that is not one known kernel."""
    kind = str(layer.get("ParameterType") or layer.get("LayerType") or "").lower()
    inputs, outputs = _tensors(layer, "Inputs"), _tensors(layer, "Outputs")
    if kind == "convolution":
        operator, batch, shape = "conv2d", inputs[0][0], _convolution(layer, inputs, outputs)
    elif kind in _PRODUCTS:
        operator, batch, shape = _product(inputs, outputs)
    elif kind in _MEMORY:
        operator, (batch, shape) = kind, _moved(inputs, outputs)
    else:
        raise Unreadable(f"what a layer of type {kind!r} computes is not said")
    return LayerKernel(operator, batch, shape, _precision(layer), _layout(layer))


def _convolution(layer: Mapping[str, object], inputs: list[Dims], outputs: list[Dims]) -> KernelShape:
    """Sizes of the output as TensorRT says them, since padding may differ by side; a fused addition is read as well."""
    kernel, stride, dilation = (_pair(layer, key) for key in ("Kernel", "Stride", "Dilation"))
    groups, cout = (whole_numbers([layer.get(key)])[0] for key in ("Groups", "OutMaps"))
    if len(inputs[0]) != 4 or len(outputs[0]) != 4 or stride[0] != stride[1]:
        raise Unreadable("not a two-dimensional convolution of one stride")
    _, cin, height, width = inputs[0]
    _, maps, out_h, out_w = outputs[0]
    if maps != cout or cin % groups or cout % groups:
        raise Unreadable(f"OutMaps {cout}, Groups {groups} and dimensions {inputs[0]} -> {outputs[0]} disagree")
    plain = conv(cin, cout, (height, width), kernel, stride[0], groups, dilated=dilation != (1, 1))
    added = sum(prod(dims[1:]) for dims in inputs[1:])
    return replace(
        plain, rows=out_h * out_w, out_h=out_h, out_w=out_w,
        read_elements=plain.read_elements + added, write_elements=cout * out_h * out_w,
    )  # fmt: skip


def _product(inputs: list[Dims], outputs: list[Dims]) -> tuple[str, int, KernelShape]:
    """A product with constant weights (one input) or of two activations, whichever of them is transposed."""
    out = outputs[0]
    if len(inputs) == 1 and len(out) > 1 and inputs[0][:-1] == out[:-1]:
        return "linear", out[0], linear(prod(out[1:-1]), inputs[0][-1], out[-1])
    if len(inputs) > 1 and len(out) > 1:
        rows, cols, count = out[-2], out[-1], prod(out[:-2])
        depth, rest = divmod(prod(inputs[0]), count * rows)
        if not rest and depth and prod(inputs[1]) == count * depth * cols:
            batch = out[0] if len(out) > 3 else 1
            return "matmul", batch, matmul(count // batch, rows, cols, depth)
    raise Unreadable(f"not one product: {inputs} -> {outputs}")


def _moved(inputs: list[Dims], outputs: list[Dims]) -> tuple[int, KernelShape]:
    """Elements read and written, an image where all tensors have the same first axis."""
    firsts = {dims[0] for dims in inputs + outputs}
    batch = firsts.pop() if len(firsts) == 1 else 1
    return batch, memory(sum(map(prod, inputs)) // batch, sum(map(prod, outputs)) // batch)


def _tensors(layer: Mapping[str, object], key: str) -> list[Dims]:
    tensors = layer.get(key)
    if not isinstance(tensors, list) or not tensors or not all(isinstance(t, Mapping) for t in tensors):
        raise Unreadable(f"no {key} with Dimensions: export with --profilingVerbosity=detailed")
    dims = [t.get("Dimensions") for t in tensors]
    if any(isinstance(d, list) and -1 in d for d in dims):
        raise Unreadable("dynamic dimensions (-1): export from an engine of fixed shapes")
    sizes = [whole_numbers(d) for d in dims]
    if not all(sizes):
        raise Unreadable(f"a tensor of no dimensions among {key}")
    return sizes


def _pair(layer: Mapping[str, object], key: str) -> tuple[int, int]:
    pair = whole_numbers(layer.get(key))
    if len(pair) != 2:
        raise Unreadable(f"{key} = {pair}: not a two-dimensional convolution")
    return pair[0], pair[1]


def _format(layer: Mapping[str, object]) -> str:
    """`Format/Datatype` of the first input in lower case: "row major linear fp32", "... int8 format", "half"."""
    inputs = layer.get("Inputs")
    first = inputs[0] if isinstance(inputs, list) and inputs else {}
    return str(first.get("Format/Datatype", "")).lower() if isinstance(first, Mapping) else ""


def _precision(layer: Mapping[str, object]) -> str:
    text = _format(layer)
    said = next((name for word, name in _TYPES.items() if word in text), "")
    return "tf32" if said == "fp32" and "tf32" in str(layer.get("TacticName", "")).lower() else said


def _layout(layer: Mapping[str, object]) -> str:
    return "nhwc" if "channel major" in _format(layer) else "nchw"
