"""Convolutions and linear layers as stages."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray
from torch.fx import Node

from hwsim.core.codes import WeightCodes
from hwsim.core.errors import UnsupportedError
from hwsim.core.workload import Layer
from hwsim.hls.builder import Builder, Layout, Tensor
from hwsim.hls.nodes import arguments
from hwsim.hls.stages import Operation
from hwsim.hls.weights import Arrange, products
from hwsim.quant.model import QuantizedModel


def convolution(builder: Builder, model: QuantizedModel, node: Node, layer: Layer, x: Tensor) -> Tensor:
    """conv1d and conv2d: padding is a stage of its own; groups, unless depthwise, become zeros in a full kernel."""
    check_convolution(layer)
    codes = model.codes[layer.name]
    if not builder.is_map(x) and len(x.shape) > 1 and prod(x.shape[1:]) == 1:
        return _on_one_position(builder, model, node, layer, x)
    builder.need_map(x)
    depthwise = layer.is_depthwise and layer.weight_shape is not None and layer.weight_shape[0] == layer.groups
    if layer.groups > 1 and not depthwise:
        codes = _ungrouped(codes, layer.groups)
        builder.notes.append(
            f"{layer.name}: {layer.groups} groups became a full kernel, zero elsewhere; the weight type is as before"
        )
    operation: Operation = "depthwise" if depthwise else "conv"
    x = builder.padded(layer.name, x, _pads(node, layer), suffix="_pad")
    geometry = {"kernel": layer.kernel, "stride": layer.stride}
    arrange = _depthwise_order if depthwise else _convolution_order
    shape = tuple(layer.out_shape[1:])
    return _multiply(builder, model, node, layer, x, codes, arrange, operation, shape, geometry)


def linear(builder: Builder, model: QuantizedModel, node: Node, layer: Layer, x: Tensor) -> Tensor:
    """linear on vectors; columns follow the order in which hardware has the input."""
    if len(x.shape) != 1:
        raise UnsupportedError(
            f"a linear layer on a tensor of shape {x.shape}", hint="supported: vectors; flatten the tensor first"
        )
    order = builder.stages[x.stage].order
    x = builder.flat(layer.name, x)
    codes = model.codes[layer.name]
    return _multiply(
        builder, model, node, layer, x, codes, lambda c: c[:, order].T, "dense", (codes.codes.shape[0],), {}
    )


def _on_one_position(builder: Builder, model: QuantizedModel, node: Node, layer: Layer, x: Tensor) -> Tensor:
    """A 1x1 convolution behind a global pooling is a linear layer."""
    if any(k != 1 for k in layer.kernel) or any(layer.padding) or layer.groups != 1:
        builder.need_map(x)
    codes = model.codes[layer.name]

    def arrange(c: NDArray[np.int64]) -> NDArray[np.int64]:
        return c.reshape(c.shape[0], -1).T

    shape = tuple(layer.out_shape[1:])
    return _multiply(builder, model, node, layer, x, codes, arrange, "dense", shape, {})


def _multiply(
    builder: Builder,
    model: QuantizedModel,
    node: Node,
    layer: Layer,
    x: Tensor,
    codes: WeightCodes,
    arrange: Arrange,
    operation: Operation,
    shape: tuple[int, ...],
    geometry: dict[str, tuple[int, ...]],
) -> Tensor:
    """The stage itself, and behind it the shifts of channels whose weights have other powers of two."""
    found = products(codes, _bias(model, node), x.grid, arrange, f"layer {layer.name}")
    layout = Layout.vector(shape[0]) if operation == "dense" else None
    y = builder.add(
        layer.name, operation, (x,), shape, found.grid,
        accumulator=found.accumulator, weights=found.weights, geometry=geometry, layout=layout,
    )  # fmt: skip
    if not found.shifts:
        return y
    builder.stages[y.stage] = replace(builder.stages[y.stage], tensor=None)
    return builder.add(
        layer.name, "shift", (y,), shape, found.shifted,
        suffix="_shift", tensor=layer.name, shifts=found.shifts, accumulator=found.shifted.type, layout=layout,
    )  # fmt: skip


def check_convolution(layer: Layer) -> None:
    """UnsupportedError for convolutions that no stage computes."""
    if layer.op not in ("conv1d", "conv2d", "convolution") or len(layer.kernel) > 2:
        raise UnsupportedError(f"operator {layer.op}", hint="supported convolutions: conv1d and conv2d")
    if any(d != 1 for d in layer.dilation):
        raise UnsupportedError(f"a dilation of {layer.dilation}", hint="supported: dilation 1")


def _bias(model: QuantizedModel, node: Node) -> NDArray[np.float64] | None:
    bias = node.args[2] if len(node.args) > 2 else None
    if not isinstance(bias, Node):
        return None
    values: NDArray[np.float64] = getattr(model.module, str(bias.target)).detach().double().numpy()
    return values


def _pads(node: Node, layer: Layer) -> tuple[int, ...]:
    """(low, high) zeros of each axis; `same` puts the odd one behind, as PyTorch does."""
    if arguments(node).get("padding") != "same":
        return tuple(p for pad in layer.padding for p in (pad, pad))
    totals = [d * (k - 1) for k, d in zip(layer.kernel, layer.dilation, strict=True)]
    return tuple(p for total in totals for p in (total // 2, total - total // 2))


def _convolution_order(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(Cout, Cin, kernel...) to (kernel..., Cin, Cout)."""
    return np.moveaxis(codes, (0, 1), (-1, -2))


def _depthwise_order(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(C, 1, kernel...) to (kernel..., C, 1)."""
    return np.moveaxis(codes, (0, 1), (-2, -1))


def _ungrouped(codes: WeightCodes, groups: int) -> WeightCodes:
    """The same convolution without groups: zeros where a group does not look."""
    outputs, inputs = codes.codes.shape[:2]
    full = np.zeros((outputs, inputs * groups, *codes.codes.shape[2:]), np.int64)
    rows = outputs // groups
    for g in range(groups):
        part = slice(g * rows, (g + 1) * rows)
        full[part, g * inputs : (g + 1) * inputs] = codes.codes[part]
    return replace(codes, codes=full)
