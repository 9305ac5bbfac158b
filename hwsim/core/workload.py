"""What a network computes: layers with shapes, multiply-accumulates and parameters, free of any framework.

Shapes and counts are those of batch 1; the batch axis is kept, since it is not first in every operator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from hwsim.core.errors import InputError, nearest

Shape = tuple[int, ...]
Kind = Literal[
    "conv",  # convolutions of any rank, grouped, depthwise and transposed
    "linear",
    "embedding",
    "matmul",  # a product of two activations
    "attention",  # scaled dot product attention: two products and a softmax
    "norm",  # batch, layer, group, instance, RMS normalisation
    "activation",
    "softmax",
    "pool",
    "add",
    "concat",
    "elementwise",  # any other arithmetic, element by element
    "reduce",
    "reshape",  # moves or selects elements, computes nothing
]
WEIGHTED: frozenset[str] = frozenset({"conv", "linear", "embedding"})
COMPUTE: frozenset[str] = frozenset({"conv", "linear", "matmul", "attention"})


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator of the network.

    Attributes
    ----------
    name : unique; the module's dotted path where there is one.
    kind, op : the family, and the operator itself (`conv2d`, `relu`, `max_pool2d`, ...).
    inputs : names of the layers or network inputs that produce its data inputs, in order.
    in_shapes, out_shape : at batch 1.
    weight_shape : as stored (output channels first; transposed convolutions input channels first), or None.
    macs : multiply-accumulates at batch 1; 0 for layers without products of weights or activations.
    params : weights and biases.
    kernel, stride, padding, dilation : spatial, one entry an axis; empty where they mean nothing.
    value_preserving : output values are a selection or reordering of input values (reshape, max pooling), so a
        quantizer on the input serves the output.
    non_negative : the output provably has no negative value.
    density : share of the output that is computed (dynamic networks); 1 for static ones.
    """

    name: str
    kind: Kind
    op: str
    inputs: tuple[str, ...]
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    weight_shape: Shape | None = None
    has_bias: bool = False
    macs: int = 0
    params: int = 0
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    value_preserving: bool = False
    non_negative: bool = False
    density: float = 1.0

    @property
    def in_elements(self) -> int:
        return sum(prod(s) for s in self.in_shapes)

    @property
    def out_elements(self) -> int:
        return prod(self.out_shape)

    @property
    def weight_elements(self) -> int:
        return prod(self.weight_shape) if self.weight_shape else 0

    @property
    def reduction(self) -> int:
        """Length n of the longest dot product: multiply-accumulates per output element (0 without products)."""
        if self.kind == "conv" and self.weight_shape and self.op.startswith("conv_transpose"):
            return self.weight_shape[0] // self.groups * prod(self.kernel)
        if self.weight_shape and self.kind in ("conv", "linear"):
            return prod(self.weight_shape[1:])
        if self.kind == "matmul":
            return self.in_shapes[0][-1]
        if self.kind == "attention":
            return max(self.in_shapes[0][-1], self.in_shapes[1][-2])
        return 0

    @property
    def is_depthwise(self) -> bool:
        return self.kind == "conv" and self.groups > 1 and self.in_shapes[0][1] == self.groups


@dataclass(frozen=True, slots=True)
class Workload:
    """A network as its layers in order of execution.

    Attributes
    ----------
    name : for tables.
    inputs : names of the network inputs; `input_shapes` their shapes at batch 1.
    outputs : names of the layers whose tensors leave the network.
    """

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    outputs: tuple[str, ...]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise InputError(f"no layer named {name!r}", where=self.name, hint=nearest(name, [x.name for x in self]))

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self)

    @property
    def params(self) -> int:
        return sum(layer.params for layer in self)

    @property
    def compute(self) -> tuple[Layer, ...]:
        """Layers that multiply and accumulate."""
        return tuple(layer for layer in self if layer.kind in COMPUTE)

    @property
    def weighted(self) -> tuple[Layer, ...]:
        """Layers that hold a weight tensor, embeddings included."""
        return tuple(layer for layer in self if layer.kind in WEIGHTED)

    def consumers(self, name: str) -> tuple[Layer, ...]:
        return tuple(layer for layer in self if name in layer.inputs)

    def origin(self, name: str) -> str:
        """The layer or input whose values tensor `name` holds, seen through value-preserving layers."""
        by_name = {layer.name: layer for layer in self}
        while (layer := by_name.get(name)) is not None and layer.value_preserving and len(layer.inputs) == 1:
            name = layer.inputs[0]
        return name
