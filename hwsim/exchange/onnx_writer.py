"""Building an ONNX graph node by node: fresh names, shared constants, one scope a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import MissingToolError

Array = NDArray[Any]
QONNX_DOMAIN = "qonnx.custom_op.general"


def onnx_package() -> Any:
    """The `onnx` package.

    Raises
    ------
    MissingToolError
        It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        hint = "pip install hwsim[onnx]"
        raise MissingToolError("the onnx package is not installed", where="export", hint=hint) from error
    return onnx


class OnnxWriter:
    """An ONNX graph in the making.

    Attributes
    ----------
    opset : version of the standard operators.
    scope : the layer that is being written; nodes and values are named after it.
    nodes, initializers : protobuf messages in order.
    value_info : descriptions of values, by name.
    domains : operator domains in use.
    """

    def __init__(self, opset: int) -> None:
        self.onnx = onnx_package()
        self.opset = opset
        self.scope = ""
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.value_info: dict[str, Any] = {}
        self.domains: set[str] = {""}
        self._taken: set[str] = set()
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def fresh(self, wanted: str) -> str:
        """A name that no value or node has yet."""
        name, count = wanted or "value", 1
        while name in self._taken:
            name, count = f"{wanted}_{count}", count + 1
        self._taken.add(name)
        return name

    def node(self, op: str, inputs: list[str], outputs: int | list[str] = 1, **attributes: Any) -> list[str]:
        """Add a node with several results; attributes that are None are left out.

        Parameters
        ----------
        outputs : how many, or their names (which must be fresh).
        """
        domain = attributes.pop("domain", "")
        self.domains.add(domain)
        path = self.scope.replace(".", "/")
        name = self.fresh(f"/{path}/{op}" if path else f"/{op}")
        if isinstance(outputs, int):
            outputs = [self.fresh(f"{self.scope}.{op.lower()}" if self.scope else op.lower()) for _ in range(outputs)]
        given = {key: value for key, value in attributes.items() if value is not None}
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, outputs, name=name, domain=domain, **given))
        return outputs

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one result and return its name; "" stands for an optional input left out."""
        (output,) = self.node(op, list(inputs), 1, **attributes)
        return output

    def constant(self, value: Any, dtype: Any = None, name: str = "") -> str:
        """An initializer; small unnamed ones of equal value are shared."""
        array = np.asarray(value) if dtype is None else np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        small = not name and array.size <= 64
        if small and key in self._shared:
            return self._shared[key]
        fresh = self.fresh(name or (f"{self.scope}.constant" if self.scope and not small else "constant"))
        self.initializers.append(
            self.onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), fresh)
        )
        if small:
            self._shared[key] = fresh
        return fresh

    def raw_constant(self, data_type: int, shape: tuple[int, ...], values: Any, name: str) -> str:
        """An initializer of a type that numpy lacks: 4-bit integers, 8-bit floats (their codes as bytes)."""
        fresh = self.fresh(name)
        proto = self.onnx.TensorProto
        if data_type in (proto.INT4, proto.UINT4):
            flat = np.asarray(values).astype(np.int64).reshape(-1) & 15
            flat = np.append(flat, 0) if flat.size % 2 else flat
            raw = (flat[0::2] | (flat[1::2] << 4)).astype(np.uint8).tobytes()  # first element in the low nibble
        else:
            raw = np.asarray(values).astype(np.uint8).tobytes()
        self.initializers.append(self.onnx.helper.make_tensor(fresh, data_type, shape, raw, raw=True))
        return fresh

    def integers(self, *values: int) -> str:
        """A list of whole numbers: shapes, axes, bounds."""
        return self.constant(np.array(values, np.int64))

    def reduce(self, op: str, x: str, axes: list[int], keep: bool) -> str:
        """A reduction; its axes became an input with opset 18, for ReduceSum with 13."""
        if self.opset >= 18 or op == "ReduceSum":
            return self.add(op, x, self.integers(*axes), keepdims=int(keep))
        return self.add(op, x, axes=axes, keepdims=int(keep))

    def reshape(self, x: str, *shape: int) -> str:
        return self.add("Reshape", x, self.integers(*shape))

    def slice(self, x: str, start: int, end: int, axis: int, step: int = 1) -> str:
        return self.add("Slice", x, self.integers(start), self.integers(end), self.integers(axis), self.integers(step))

    def describe(self, name: str, dtype: str, shape: tuple[int | str | None, ...]) -> Any:
        """A value's type and shape, for inputs, outputs and value_info."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)
