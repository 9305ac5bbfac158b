"""Operators without weights as stages."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from torch.fx import Node

from hwsim.capture.operators import op_name
from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Int
from hwsim.core.workload import Layer
from hwsim.hls.builder import Builder, Layout, Tensor
from hwsim.hls.fixed import FixedType, Grid, exponents_of_powers, of_values, union_of
from hwsim.hls.nodes import arguments, only_reader, quantizer_of

Handler = Callable[[Builder, Node, Layer, tuple[Tensor, ...]], Tensor]
_CLAMPS: dict[str, tuple[float, float]] = {"relu": (0.0, np.inf), "relu6": (0.0, 6.0)}
_CLAMP_BITS = 24  # a bound that float32 holds exactly


def clamp(builder: Builder, node: Node, layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """relu, relu6, hardtanh, clamp: nothing at all where the quantizer behind saturates there anyway."""
    (x,) = inputs
    low, high = _bounds(node)
    if builder.requantizable(x) and _saturates_within(node, low, high):
        return Tensor(x.stage, x.shape, x.grid, True)
    if (low, high) == (0.0, np.inf):
        return builder.same_layout(layer.name, "relu", x, x.grid.at_least(0.0))
    grid = x.grid
    grid = grid if low == -np.inf else grid.at_least(low)
    grid = grid if high == np.inf else grid.at_most(high)
    wide = x.grid.union(of_values([bound for bound in (low, high) if np.isfinite(bound)])).type
    return builder.same_layout(layer.name, "clamp", x, grid, bounds=(low, high), accumulator=wide)


def _bounds(node: Node) -> tuple[float, float]:
    name = op_name(node)
    if name in _CLAMPS:
        return _CLAMPS[name]
    given = arguments(node)
    low = given.get("min_val", given.get("min"))
    high = given.get("max_val", given.get("max"))
    pair = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
    if pair[0] > pair[1]:
        raise UnsupportedError(f"a clamp between {low} and {high}", hint="the lower bound comes first")
    for bound in pair:
        if np.isfinite(bound) and abs(of_values([bound]).low) >= 1 << _CLAMP_BITS:
            raise UnsupportedError(f"a bound at {bound}", hint="supported: short binary fractions, e.g. 0.75 or 6")
    return pair


def _saturates_within(node: Node, low: float, high: float) -> bool:
    """Whether the quantizer that alone reads the node clips to values between the bounds."""
    reader = only_reader(node)
    source = node.args[0]
    quantizer = quantizer_of(reader) if reader is not None else None
    if quantizer is None or not isinstance(source, Node) or len(source.users) != 1:
        return False
    fmt, scale = quantizer.spec.format, float(quantizer.scale)
    return isinstance(fmt, Int) and low <= fmt.min * scale and fmt.max * scale <= high


def add(builder: Builder, node: Node, layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """Sum of two tensors of one shape."""
    if len(inputs) != 2 or arguments(node).get("alpha", 1) != 1:
        raise UnsupportedError("an addition of a constant", hint="supported: the sum of two tensors")
    x, y = inputs
    a, b = builder.layout(x), builder.layout(y)
    if x.shape != y.shape or a.shape != b.shape or not np.array_equal(a.order, b.order):
        raise UnsupportedError(
            f"a sum of tensors of shape {x.shape} and {y.shape}",
            hint="supported: equal shapes that hardware stores in the same order, no broadcasting",
        )
    return builder.add(layer.name, "add", (x, y), x.shape, x.grid.plus(y.grid), layout=a)


def concat(builder: Builder, node: Node, layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """Concatenation of channels, or of vectors; more than two inputs are chained."""
    axis = int(arguments(node).get("dim", 0))
    rank = len(inputs[0].shape)
    if axis % (rank + 1) != 1:
        raise UnsupportedError(f"a concatenation along axis {axis}", hint="supported: channels (axis 1)")
    if rank > 1:
        for x in inputs:
            builder.need_map(x)
    else:
        inputs = tuple(builder.flat(f"{layer.name}_{i}", x) for i, x in enumerate(inputs))
    total, *rest = inputs
    for i, x in enumerate(rest, 1):
        shape = (total.shape[0] + x.shape[0], *total.shape[1:])
        layout = None
        if rank == 1:
            first, second = (builder.layout(t).order for t in (total, x))
            layout = Layout.vector(np.concatenate([first, second + total.shape[0]]))
        suffix = "" if i == len(rest) else f"_part{i}"
        grid = total.grid.union(x.grid)
        total = builder.add(layer.name, "concat", (total, x), shape, grid, suffix=suffix, layout=layout)
    return total


def max_pool(builder: Builder, node: Node, layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """Windows side by side."""
    (x,) = inputs
    _check_window(node, layer, x)
    builder.need_map(x)
    return builder.add(
        layer.name, "max_pool", (x,), tuple(layer.out_shape[1:]), x.grid,
        geometry={"kernel": layer.kernel}, accumulator=x.grid.type,
    )  # fmt: skip


def average_pool(builder: Builder, node: Node, layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """Windows side by side of a power of two of elements; the whole map where the window is that large."""
    (x,) = inputs
    _check_window(node, layer, x)
    if arguments(node).get("divisor_override") is not None:
        raise UnsupportedError("divisor_override", hint="supported: plain means")
    if layer.kernel == tuple(x.shape[1:]):
        return _whole_map(builder, layer, x)
    return _average(builder, layer, x, layer.kernel)


def adaptive_average_pool(builder: Builder, node: Node, layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    (x,) = inputs
    size, out = x.shape[1:], tuple(layer.out_shape[2:])
    if out == size:
        return Tensor(x.stage, x.shape, x.grid, False)
    if all(n == 1 for n in out):
        return _whole_map(builder, layer, x)
    if any(n % m for n, m in zip(size, out, strict=True)):
        raise UnsupportedError(f"adaptive pooling of {size} to {out}", hint="supported: sizes that divide evenly")
    return _average(builder, layer, x, tuple(n // m for n, m in zip(size, out, strict=True)))


def mean(builder: Builder, node: Node, layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """Mean over the whole map."""
    (x,) = inputs
    rank = len(x.shape) + 1
    axes = arguments(node).get("dim")
    if axes is None or {int(a) % rank for a in axes} != set(range(2, rank)) or rank < 3:
        raise UnsupportedError(f"a mean over axes {axes}", hint="supported: the mean over all positions of a map")
    return _whole_map(builder, layer, x)


def _average(builder: Builder, layer: Layer, x: Tensor, kernel: tuple[int, ...]) -> Tensor:
    builder.need_map(x)
    steps = _log2_window(prod(kernel))
    return builder.add(
        layer.name, "average_pool", (x,), tuple(layer.out_shape[1:]), x.grid.mean(steps),
        geometry={"kernel": kernel}, accumulator=_summing(x.grid, steps),
    )  # fmt: skip


def _whole_map(builder: Builder, layer: Layer, x: Tensor) -> Tensor:
    builder.need_map(x)
    steps = _log2_window(prod(x.shape[1:]))
    return builder.add(
        layer.name, "global_average", (x,), tuple(layer.out_shape[1:]), x.grid.mean(steps),
        layout=Layout.vector(x.shape[0]), accumulator=_summing(x.grid, steps),
    )  # fmt: skip


def _summing(grid: Grid, steps: int) -> FixedType:
    """Type that holds the sum of 2^steps values and, below its point, their exact mean."""
    fine = grid.at(grid.exponent - steps)
    return union_of([fine, Grid(fine.exponent, fine.low << steps, fine.high << steps)]).type


def _log2_window(count: int) -> int:
    exponents = exponents_of_powers(np.array([float(count)]))
    if exponents is None:
        raise UnsupportedError(
            f"a mean of {count} elements, which has no finite binary expansion",
            hint="supported: windows of a power of two of elements; choose another input size or window",
        )
    return int(exponents[0])


def _check_window(node: Node, layer: Layer, x: Tensor) -> None:
    given = arguments(node)
    size = x.shape[1:]
    side_by_side = layer.stride == layer.kernel or layer.kernel == tuple(size)
    dilation = given.get("dilation", [1])
    dilated = any(d != 1 for d in (dilation if isinstance(dilation, list | tuple) else [dilation]))
    fits = tuple((n - k) // s + 1 for n, k, s in zip(size, layer.kernel, layer.stride, strict=True))
    if not side_by_side or any(layer.padding) or dilated or fits != tuple(layer.out_shape[2:]):
        raise UnsupportedError(
            f"pooling with window {layer.kernel}, stride {layer.stride}, padding {layer.padding}",
            hint="supported: windows side by side (stride equal to the window), no padding, no ceil_mode",
        )


def reshape(builder: Builder, node: Node, layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """Views keep every element where it is; what reads them checks that it can."""
    (x,) = inputs
    shape = tuple(layer.out_shape[1:])
    if layer.out_shape[0] != 1 or prod(shape) != prod(x.shape):
        raise UnsupportedError(
            f"a view of {x.shape} as {layer.out_shape}", hint="supported: views that keep the batch axis"
        )
    return Tensor(x.stage, shape, x.grid, False)


def pad(builder: Builder, node: Node, layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """Zeros around a map."""
    (x,) = inputs
    given = arguments(node)
    amounts = [int(p) for p in given["pad"]]
    value = given.get("value", 0)
    if value not in (0, 0.0, None) or any(p < 0 for p in amounts) or len(amounts) > 2 * len(x.shape[1:]):
        raise UnsupportedError(f"padding {amounts} with {value}", hint="supported: zeros around the positions of a map")
    axes = [(amounts[i], amounts[i + 1]) for i in range(0, len(amounts), 2)]  # torch counts from the last axis
    axes += [(0, 0)] * (len(x.shape) - 1 - len(axes))
    return builder.padded(layer.name, x, tuple(p for pair in reversed(axes) for p in pair))


def upsample(builder: Builder, node: Node, layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """Nearest neighbour by whole factors."""
    (x,) = inputs
    builder.need_map(x)
    shape = tuple(layer.out_shape[1:])
    if len(shape) != 3 or any(b % a for a, b in zip(x.shape[1:], shape[1:], strict=True)):
        raise UnsupportedError(f"upsampling {x.shape} to {shape}", hint="supported: maps of two axes, whole factors")
    return builder.add(layer.name, "upsample", (x,), shape, x.grid)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max"), clamp),
    "add": add,
    **dict.fromkeys(("cat", "concat"), concat),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), max_pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), average_pool),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), adaptive_average_pool),
    "mean": mean,
    **dict.fromkeys("view reshape flatten unflatten squeeze unsqueeze _unsafe_view view_as".split(), reshape),
    **dict.fromkeys(("constant_pad_nd", "pad"), pad),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d"), upsample),
}
SUPPORTED = (
    "supported: conv1d, conv2d (grouped and depthwise too), linear, relu, relu6, hardtanh and clamp, residual sums, "
    "concatenation, max and mean pooling, flatten, zero padding, nearest upsampling"
)
