"""Small workloads written by hand, as capture would make them."""

from __future__ import annotations

from math import prod

from hwsim.core.assignment import Assignment, Policy, assign
from hwsim.core.cost import Cost
from hwsim.core.scaled import parse
from hwsim.core.workload import Layer, Shape, Workload
from hwsim.cost_models import estimate, part


def conv(
    name: str,
    source: str,
    shape: Shape,
    out: int,
    *,
    k: int = 3,
    stride: int = 1,
    groups: int = 1,
    bias: bool = True,
    transposed: bool = False,
) -> Layer:
    """A convolution of any rank over `shape` (1, C, ...), same padding for odd kernels."""
    rank = len(shape) - 2
    pad = 0 if transposed else (k - 1) // 2
    if transposed:
        spatial = tuple((s - 1) * stride + k for s in shape[2:])
        weight: Shape = (shape[1], out // groups, *(k,) * rank)
        macs = prod(shape) * prod(weight[1:])
    else:
        spatial = tuple((s + 2 * pad - k) // stride + 1 for s in shape[2:])
        weight = (out, shape[1] // groups, *(k,) * rank)
        macs = out * prod(spatial) * prod(weight[1:])
    op = f"conv_transpose{rank}d" if transposed else f"conv{rank}d"
    return Layer(
        name,
        "conv",
        op,
        (source,),
        (shape,),
        (1, out, *spatial),
        weight_shape=weight,
        has_bias=bias,
        macs=macs,
        params=prod(weight) + (out if bias else 0),
        kernel=(k,) * rank,
        stride=(stride,) * rank,
        padding=(pad,) * rank,
        dilation=(1,) * rank,
        groups=groups,
    )


def linear(name: str, source: str, shape: Shape, out: int, bias: bool = True) -> Layer:
    rows, inputs = prod(shape[:-1]), shape[-1]
    params = out * inputs + (out if bias else 0)
    return Layer(
        name,
        "linear",
        "linear",
        (source,),
        (shape,),
        (*shape[:-1], out),
        weight_shape=(out, inputs),
        has_bias=bias,
        macs=rows * out * inputs,
        params=params,
    )


def unary(name: str, kind: str, op: str, source: str, shape: Shape, out: Shape | None = None, **more: object) -> Layer:
    return Layer(name, kind, op, (source,), (shape,), out or shape, **more)  # type: ignore[arg-type]


def relu(name: str, source: str, shape: Shape) -> Layer:
    return unary(name, "activation", "relu", source, shape, non_negative=True)


def max_pool(name: str, source: str, shape: Shape, k: int = 2) -> Layer:
    out = (*shape[:2], *(s // k for s in shape[2:]))
    rank = len(shape) - 2
    return unary(
        name,
        "pool",
        f"max_pool{rank}d",
        source,
        shape,
        out,
        kernel=(k,) * rank,
        stride=(k,) * rank,
        padding=(0,) * rank,
        dilation=(1,) * rank,
        value_preserving=True,
        non_negative=True,
    )


def add(name: str, first: str, second: str, shape: Shape) -> Layer:
    return Layer(name, "add", "add", (first, second), (shape, shape), shape)


def network(name: str, shape: Shape, layers: list[Layer]) -> Workload:
    return Workload(name, tuple(layers), ("x",), (shape,), (layers[-1].name,))


def chain(inputs: int = 8, outputs: int = 4) -> Workload:
    return network("linear", (1, inputs), [linear("fc", "x", (1, inputs), outputs)])


def small_residual(channels: int = 8, size: int = 8) -> Workload:
    """conv - relu - conv - add - relu - pool - flatten - linear."""
    full, half = (1, channels, size, size), (1, channels, size // 2, size // 2)
    flat = (1, prod(half))
    return network(
        "residual",
        (1, 1, size, size),
        [
            conv("conv1", "x", (1, 1, size, size), channels),
            relu("relu1", "conv1", full),
            conv("conv2", "relu1", full, channels),
            add("sum", "conv2", "relu1", full),
            relu("relu2", "sum", full),
            max_pool("pool", "relu2", full),
            unary("flat", "reshape", "flatten", "pool", half, flat, value_preserving=True, non_negative=True),
            linear("fc", "flat", flat, 10),
        ],
    )


def deep_residual(blocks: int = 9, channels: int = 16, size: int = 32) -> Workload:
    """A stem, `blocks` residual blocks of two convolutions, global pooling and a classifier."""
    shape = (1, channels, size, size)
    layers = [conv("stem", "x", (1, 3, size, size), channels), relu("stem_relu", "stem", shape)]
    last = "stem_relu"
    for i in range(blocks):
        layers += [
            conv(f"b{i}.conv1", last, shape, channels),
            relu(f"b{i}.relu1", f"b{i}.conv1", shape),
            conv(f"b{i}.conv2", f"b{i}.relu1", shape, channels),
            add(f"b{i}.add", f"b{i}.conv2", last, shape),
            relu(f"b{i}.relu2", f"b{i}.add", shape),
        ]
        last = f"b{i}.relu2"
    pooled = (1, channels, 1, 1)
    layers += [
        unary("gap", "pool", "adaptive_avg_pool2d", last, shape, pooled, non_negative=True),
        unary("flat", "reshape", "flatten", "gap", pooled, (1, channels), value_preserving=True, non_negative=True),
        linear("fc", "flat", (1, channels), 10),
    ]
    return network("deep", (1, 3, size, size), layers)


def alone(layer: Layer, shape: Shape, acts: str = "int4") -> Cost:
    """The cost on a ZCU102 of a single layer of 4 bits behind an input of codes."""
    edges = {name: parse(acts, scale="pow2") for name in ("x", "y")}
    inputs = tuple(dict.fromkeys(layer.inputs))
    workload = Workload("one", (layer,), inputs, (shape,) * len(inputs), (layer.name,))
    formats = assign(workload, Policy("int4", "int4", scale="pow2")).layers
    return estimate(workload, Assignment(formats, edges), part("zcu102"))
