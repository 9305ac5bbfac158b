"""The state of a translation from an fx graph of ATen calls to ONNX, and what operator translations ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from hwsim.capture.operators import op_name
from hwsim.core.codes import WeightCodes
from hwsim.core.errors import UnsupportedError
from hwsim.core.workload import Layer
from hwsim.exchange.observed import Observed
from hwsim.exchange.onnx_writer import OnnxWriter
from hwsim.quant.layers import Quantizer
from hwsim.quant.model import QuantizedModel


class Scheme(Protocol):
    """How quantized tensors are written: QDQ or QONNX."""

    @property
    def name(self) -> str:
        """Of the backend."""

    def opset(self, model: QuantizedModel) -> int:
        """The version of the standard operators that the formats of a network need."""

    def activation(self, t: Translation, tensor: str, quantizer: Quantizer, x: str, shape: Shape) -> str:
        """Write the quantizer of an activation; returns the value behind it."""

    def weight(self, t: Translation, layer: Layer, codes: WeightCodes, values: Tensor) -> str:
        """Write a quantized weight as (Cout, Cin/groups, ...) rows; returns the value that dequantizes it."""


Shape = tuple[int | None, ...]
Handler = Callable[["Translation", "Arguments"], "str | tuple[str, ...]"]
_NUMPY: dict[torch.dtype, str] = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.float16: "float16",
    torch.int64: "int64",
    torch.int32: "int32",
    torch.int16: "int16",
    torch.int8: "int8",
    torch.uint8: "uint8",
    torch.bool: "bool",
}


class Arguments:
    """The arguments of an ATen call by position or name."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def get(self, index: int, name: str, default: Any = None) -> Any:
        if len(self.node.args) > index:
            return self.node.args[index]
        return self.node.kwargs.get(name, default)

    def __getitem__(self, index: int) -> Any:
        return self.node.args[index]


class Translation:
    """Values written so far and the facts about every node.

    Attributes
    ----------
    writer, scheme, model : where to, how, and what.
    observed : shape and type of every node.
    names : ONNX value (or values) of every node that was written.
    formats : format of each quantized tensor and weight, for the file's metadata.
    """

    def __init__(
        self, writer: OnnxWriter, scheme: Scheme, model: QuantizedModel, observed: Mapping[Node, Observed]
    ) -> None:
        self.writer = writer
        self.scheme = scheme
        self.model = model
        self.observed = observed
        self.names: dict[Node, str | tuple[str, ...]] = {}
        self.formats: dict[str, str] = {}

    def tensor(self, argument: Any, dtype: torch.dtype | None = None) -> str:
        """The ONNX value of an argument, cast to `dtype` where it is of another type; numbers become constants."""
        if not isinstance(argument, Node):
            return self.writer.constant(np.asarray(argument, numpy_name(dtype or torch.float32)))
        fact = self.observed[argument]
        if fact.shape is None and isinstance(fact.value, bool | int | float):
            return self.tensor(fact.value, dtype)
        name = self._written(argument)
        if dtype is not None and fact.dtype is not None and fact.dtype != dtype:
            return self.cast(name, dtype)
        if fact.shape is None and not fact.parts:  # a size, kept as a list of one number
            scalar = self.writer.add("Squeeze", name, self.writer.integers(0))
            return scalar if dtype in (None, torch.int64) else self.cast(scalar, dtype)
        return name

    def _written(self, node: Node) -> str:
        if node not in self.names:
            value = self.observed[node].value
            assert isinstance(value, Tensor), f"{node} was not written"
            self.names[node] = self.writer.constant(value.detach().cpu().numpy(), name=self._constant_name(node))
        name = self.names[node]
        assert isinstance(name, str), f"{node} has several results"
        return name

    def _constant_name(self, node: Node) -> str:
        return str(node.meta.get("path") or node.target) if node.op == "get_attr" else node.name

    def cast(self, name: str, dtype: torch.dtype) -> str:
        kind = self.writer.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(numpy_name(dtype)))
        return self.writer.add("Cast", name, to=kind)

    def shape(self, argument: Any) -> Shape:
        """Sizes of an argument (of the first of several results); None for those that follow the batch."""
        if not isinstance(argument, Node):
            return ()
        fact = self.observed[argument]
        return (fact.parts[0] if fact.parts else fact).shape or ()

    def dtype(self, argument: Any) -> torch.dtype:
        found = self.observed[argument].dtype if isinstance(argument, Node) else None
        return found or torch.float32

    def sizes(self, a: Arguments, argument: Any, *axes: int) -> list[int]:
        """Sizes along axes, which must not depend on the batch."""
        shape = self.shape(argument)
        found = [shape[axis] for axis in axes]
        if any(size is None for size in found):
            raise unsupported(a.node, "along an axis that grows with the batch")
        return [size for size in found if size is not None]

    def number(self, a: Arguments, value: Any) -> Any:
        """A Python number that no input changes."""
        if isinstance(value, Node):
            value = self.observed[value].value
            if value is None:
                raise unsupported(a.node, "with a number that depends on the input")
        return value

    def integer(self, value: Any) -> str:
        """A whole number as a list of one, whether known or computed from the batch size."""
        if isinstance(value, Node):
            known = self.observed[value].value
            if known is None:
                name = self.names[value]
                assert isinstance(name, str)
                return name
            value = known
        return self.writer.integers(int(value))

    def shape_list(self, values: list[Any]) -> str:
        """A shape of known and computed sizes."""
        known = [self.observed[v].value if isinstance(v, Node) else v for v in values]
        if all(v is not None for v in known):
            return self.writer.integers(*(int(v) for v in known))
        return self.writer.add("Concat", *(self.integer(v) for v in values), axis=0)

    def output_shape(self, a: Arguments, like: Any = None) -> str:
        """The shape of the node's own result, with the open sizes taken from the tensor `like`."""
        shape = self.shape(a.node)
        if None not in shape:
            return self.writer.integers(*(s for s in shape if s is not None))
        if shape.count(None) == 1 and like is not None and self.shape(like).count(None) == 1:
            source = self.writer.add("Shape", self.tensor(like))
            size = self.writer.add("Gather", source, self.writer.integers(self.shape(like).index(None)), axis=0)
            parts = [size if s is None else self.writer.integers(s) for s in shape]
            return self.writer.add("Concat", *parts, axis=0)
        raise unsupported(a.node, "with several sizes that grow with the batch")

    def weight(self, a: Arguments, argument: Any) -> tuple[str, bool]:
        """The weight of the node's layer, and whether it comes as rows (Cout, Cin/groups, ...).

        A quantized weight is written by the scheme; any other as it is.
        """
        layer = str(a.node.meta.get("layer", ""))
        if layer not in self.model.codes or not isinstance(argument, Node) or argument.op != "get_attr":
            return self.tensor(argument), False
        codes = self.model.codes[layer]
        values = self.observed[argument].value
        self.formats[f"{layer}.weight"] = str(codes.spec)
        return self.scheme.weight(self, self.model.network.workload[layer], codes, values), True


def numpy_name(dtype: torch.dtype) -> str:
    """The numpy name of a torch type."""
    if dtype not in _NUMPY:
        raise UnsupportedError(f"tensors of {dtype}", where="export", hint="networks compute in float32")
    return _NUMPY[dtype]


def unsupported(node: Node, what: str = "") -> UnsupportedError:
    """The error for an operator, or a use of it, that has no translation."""
    where = node.meta.get("layer", node.name)
    return UnsupportedError(
        f"operator {op_name(node)} {what}".rstrip() + " has no ONNX translation",
        where=f"layer {where}",
        hint="replace it, or export the weights alone with --backend packed",
    )
