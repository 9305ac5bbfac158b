"""From a workload to the kernels that a runtime launches.

`eager` launches every operator by itself. `compiled` and `tensorrt` fuse what follows a kernel element by element
(batch norm, activation, residual sum, other arithmetic) into it where it is the only reader. Reshapes are views: free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from hwsim.core.errors import InputError, UnsupportedError, nearest
from hwsim.core.workload import COMPUTE, Layer, Workload
from hwsim.latency.catalog import RUNTIMES
from hwsim.latency.shapes import KernelShape, OperatorClass, conv_class, linear, matmul, memory

_MEMORY = frozenset({"norm", "activation", "softmax", "pool", "add", "concat", "elementwise", "reduce", "embedding"})
_COPIES = frozenset({"pad", "roll", "constant_pad_nd", "index", "index_select", "gather", "im2col", "repeat", "flip"})
_RESHAPES = frozenset({"reshape", "view", "flatten", "unflatten"})
_TURNS = frozenset({"permute", "transpose", "t", "movedim", "swapaxes"})
_FUSED = frozenset({"norm", "activation", "add", "elementwise"})


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch: a layer and what is fused into it.

    Attributes
    ----------
    name : of the layer that gives the kernel its class; `layers` lists all.
    precision : what it computes and moves its data in.
    operator : of that layer (`conv2d`, `layer_norm`, ...).
    shape : what it computes at batch 1.
    """

    name: str
    layers: tuple[str, ...]
    precision: str
    operator: str
    shape: KernelShape

    @property
    def kind(self) -> OperatorClass:
        return self.shape.kind


def kernels(workload: Workload, runtime: str, precisions: dict[str, str] | str = "fp32") -> tuple[Kernel, ...]:
    """The kernels of a workload in order of launch.

    Parameters
    ----------
    runtime : `eager`, `compiled` or `tensorrt`.
    precisions : of every compute layer by name, or one for all. Other layers move their data in the precision of the
        compute layer before them.

    Raises
    ------
    InputError
        For an unknown runtime.
    UnsupportedError
        For a layer whose kind has no model; the error names it.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"no runtime named {runtime!r}", where="--runtime", hint=nearest(runtime, RUNTIMES))
    views = _views(workload)
    readers = _readers(workload, views)
    made: list[Kernel] = []
    maker: dict[str, int] = {}  # tensor -> the kernel whose last output it is
    alias: dict[str, str] = {}
    precision = _first_precision(workload, precisions)
    for layer in workload:
        sources = [alias.get(name, name) for name in layer.inputs]
        if layer.name in views:
            alias[layer.name] = sources[0] if sources else layer.name
            continue
        if layer.kind in COMPUTE and not isinstance(precisions, str):
            precision = precisions[layer.name]
        host = _host(layer, sources, readers, maker, runtime)
        if host is None:
            maker[layer.name] = len(made)
            made.append(Kernel(layer.name, (layer.name,), precision, layer.op, shape_of(layer)))
        else:
            made[host] = _fuse(made[host], layer)
            maker[layer.name] = host
    return tuple(made)


def shape_of(layer: Layer) -> KernelShape:
    """What a layer computes, as one launch.

    Raises
    ------
    UnsupportedError
        For a kind without a model.
    """
    if layer.kind == "conv":
        return _convolution(layer)
    if layer.kind == "linear":
        columns = layer.weight_shape[0] if layer.weight_shape else layer.out_shape[-1]
        rows = layer.out_elements // max(columns, 1)
        return replace(linear(rows, layer.macs // max(rows * columns, 1), columns), weight_elements=layer.params)
    if layer.kind == "matmul":
        depth, (rows, columns) = layer.in_shapes[0][-1], (layer.out_shape[-2:] if len(layer.out_shape) > 1 else (1, 1))
        count = layer.macs // max(rows * columns * depth, 1)
        return replace(matmul(count, rows, columns, depth), read_elements=layer.in_elements)
    if layer.kind == "attention":
        rows, depth = layer.in_shapes[0][-2:]
        columns, width = layer.in_shapes[1][-2], layer.out_shape[-1]
        both = matmul(prod(layer.in_shapes[0][:-2]), rows, columns, depth + width)
        return replace(both, read_elements=layer.in_elements, write_elements=layer.out_elements)
    if layer.kind == "embedding":  # gathers one row a token: what is read is what is written
        return memory(layer.out_elements, layer.out_elements)
    if layer.kind in _MEMORY or layer.kind == "reshape":
        return replace(memory(layer.in_elements, layer.out_elements), weight_elements=layer.params)
    raise UnsupportedError(
        f"no latency model for {layer.kind!r} ({layer.op})", where=f"layer {layer.name}", hint="replace the layer"
    )


def _convolution(layer: Layer) -> KernelShape:
    """Any rank as two axes: a volume's first ones join; a transposed one is its mirror image."""
    transposed = layer.op.startswith("conv_transpose")
    cin, cout = layer.in_shapes[0][1], layer.out_shape[1]
    plane = layer.in_shapes[0] if transposed else layer.out_shape
    channels = (cout, cin) if transposed else (cin, cout)
    stride = max(layer.stride, default=1)
    kind = conv_class(
        channels[0], layer.groups, layer.kernel, stride, transposed or any(d != 1 for d in layer.dilation)
    )
    return KernelShape(
        kind, layer.groups, prod(plane) // plane[1], channels[1] // layer.groups,
        channels[0] // layer.groups * prod(layer.kernel), *_two(plane[2:]), *_two(layer.kernel), stride,
        layer.in_elements, layer.out_elements, layer.params,
    )  # fmt: skip


def _two(axes: tuple[int, ...]) -> tuple[int, int]:
    """Sides as two: of a signal (1, n), of a volume the first ones joined."""
    return (prod(axes[:-1]), axes[-1])


def _views(workload: Workload) -> frozenset[str]:
    """Layers that only look at data another way: all that compute nothing but padding, rolls, and views of a turned
    tensor, which move it."""
    maker = {layer.name: layer for layer in workload}
    found = []
    for layer in workload:
        if layer.kind != "reshape" or layer.op in _COPIES:
            continue
        before = maker.get(layer.inputs[0]) if layer.inputs else None
        turned = before is not None and before.op in _TURNS and len(before.out_shape) != len(layer.out_shape)
        if not (turned and layer.op in _RESHAPES):
            found.append(layer.name)
    return frozenset(found)


def _fuse(kernel: Kernel, layer: Layer) -> Kernel:
    """What `layer` adds to the kernel that makes one of its inputs: its other operands are read."""
    extra = max(0, layer.in_elements - layer.out_elements) if layer.kind in ("add", "elementwise") else 0
    shape = replace(kernel.shape, read_elements=kernel.shape.read_elements + extra)
    return replace(kernel, layers=(*kernel.layers, layer.name), shape=shape)


def _host(layer: Layer, sources: list[str], readers: dict[str, int], maker: dict[str, int], runtime: str) -> int | None:
    """Index of the kernel that `layer` is fused into: that of its latest operand, if nothing else reads it."""
    if runtime == "eager" or layer.kind not in _FUSED:
        return None
    if layer.kind == "norm" and not layer.op.startswith(("batch_norm", "_native_batch_norm", "_batch_norm")):
        return None
    latest = max((maker.get(name, -1) for name in sources), default=-1)
    for name, shape in zip(sources, layer.in_shapes, strict=False):
        if maker.get(name, -1) == latest >= 0 and readers[name] == 1 and prod(shape) == layer.out_elements:
            return latest
    return None


def _readers(workload: Workload, views: frozenset[str]) -> dict[str, int]:
    """How many layers read each tensor, seen through reshapes; a network output counts as one more."""
    alias: dict[str, str] = {}
    count: dict[str, int] = {}
    for layer in workload:
        sources = [alias.get(name, name) for name in layer.inputs]
        if layer.name in views:
            alias[layer.name] = sources[0] if sources else layer.name
            continue
        for name in sources:
            count[name] = count.get(name, 0) + 1
    for name in workload.outputs:
        source = alias.get(name, name)
        count[source] = count.get(source, 0) + 1
    return count


def _first_precision(workload: Workload, precisions: dict[str, str] | str) -> str:
    if isinstance(precisions, str):
        return precisions
    return next((precisions[layer.name] for layer in workload if layer.kind in COMPUTE), "fp32")
