"""From a workload to the kernels that a runtime launches.

`eager` launches every operator by itself. `compiled` and `tensorrt` fuse what follows a kernel element by element
(batch norm, activation, residual sum, other arithmetic) into it where it is the only reader. Reshapes are views: free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from hwsim.core.errors import InputError, UnsupportedError, nearest
from hwsim.core.workload import COMPUTE, Layer, Workload
from hwsim.latency.catalog import RUNTIMES

OperatorClass = Literal["conv3x3", "conv", "pointwise", "depthwise", "grouped", "linear", "matmul", "memory"]
CLASSES: tuple[OperatorClass, ...] = (
    "conv3x3", "conv", "pointwise", "depthwise", "grouped", "linear", "matmul", "memory"
)  # fmt: skip
_MEMORY = frozenset({"norm", "activation", "softmax", "pool", "add", "concat", "elementwise", "reduce", "embedding"})
_FUSED = frozenset({"norm", "activation", "add", "elementwise"})


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch: a layer and what is fused into it, counted at batch 1.

    Attributes
    ----------
    name : of the layer that gives the kernel its class; `layers` lists all.
    kind : the operator class that efficiencies are kept for. `conv3x3` is dense with stride 1, where libraries use
        Winograd's algorithm; `memory` is everything that computes next to nothing.
    precision : what it computes and moves its data in.
    macs : multiply-accumulates an image.
    rows, cols : of the product that a dense convolution is (output positions an image, output channels); 0 elsewhere.
    act_elements : activations read and written an image.
    weight_elements : weights and biases, read once a launch.
    """

    name: str
    kind: OperatorClass
    layers: tuple[str, ...]
    precision: str
    macs: int
    rows: int
    cols: int
    act_elements: int
    weight_elements: int


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
    readers = _readers(workload)
    made: list[Kernel] = []
    maker: dict[str, int] = {}  # tensor -> the kernel whose last output it is
    alias: dict[str, str] = {}
    precision = _first_precision(workload, precisions)
    for layer in workload:
        sources = [alias.get(name, name) for name in layer.inputs]
        if layer.kind == "reshape":
            alias[layer.name] = sources[0] if sources else layer.name
            continue
        kind = operator_class(layer)
        if layer.kind in COMPUTE and not isinstance(precisions, str):
            precision = precisions[layer.name]
        host = _host(layer, sources, readers, maker, runtime)
        if host is None:
            maker[layer.name] = len(made)
            made.append(_single(layer, kind, precision))
        else:
            made[host] = _fuse(made[host], layer)
            maker[layer.name] = host
    return tuple(made)


def operator_class(layer: Layer) -> OperatorClass:
    """The class that a layer's efficiencies are kept under.

    Raises
    ------
    UnsupportedError
        For a kind without a model.
    """
    if layer.kind == "conv":
        if layer.is_depthwise:
            return "depthwise"
        if layer.groups > 1:
            return "grouped"
        if all(k == 1 for k in layer.kernel):
            return "pointwise"
        plain = layer.kernel == (3, 3) and layer.stride == (1, 1) and not layer.op.startswith("conv_transpose")
        return "conv3x3" if plain and all(d == 1 for d in layer.dilation) else "conv"
    if layer.kind == "linear":
        return "linear"
    if layer.kind in ("matmul", "attention"):
        return "matmul"
    if layer.kind in _MEMORY:
        return "memory"
    raise UnsupportedError(
        f"no latency model for {layer.kind!r} ({layer.op})", where=f"layer {layer.name}", hint="replace the layer"
    )


def _single(layer: Layer, kind: OperatorClass, precision: str) -> Kernel:
    acts = layer.in_elements + layer.out_elements
    if layer.kind == "embedding":  # gathers one row a token: what is read is what is written
        return Kernel(layer.name, kind, (layer.name,), precision, 0, 0, 0, 2 * layer.out_elements, 0)
    rows = cols = 0
    if kind in ("conv3x3", "conv", "pointwise"):
        cols = layer.out_shape[1]
        rows = prod(layer.out_shape) // max(cols, 1)
    return Kernel(layer.name, kind, (layer.name,), precision, layer.macs, rows, cols, acts, layer.params)


def _fuse(kernel: Kernel, layer: Layer) -> Kernel:
    """What `layer` adds to the kernel that makes one of its inputs: its other operands are read."""
    extra = layer.in_elements - layer.out_elements if layer.kind in ("add", "elementwise") else 0
    return replace(kernel, layers=(*kernel.layers, layer.name), act_elements=kernel.act_elements + max(0, extra))


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


def _readers(workload: Workload) -> dict[str, int]:
    """How many layers read each tensor, seen through reshapes; a network output counts as one more."""
    alias: dict[str, str] = {}
    count: dict[str, int] = {}
    for layer in workload:
        sources = [alias.get(name, name) for name in layer.inputs]
        if layer.kind == "reshape":
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
