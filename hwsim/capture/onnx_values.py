"""What flows through an imported ONNX graph: tensors, and small host arrays for shapes, axes and scalars.

Host arrays are plain numpy, so that `Shape -> Gather -> Concat -> Reshape` is arithmetic on sizes rather than on
tensors. While torch.export traces with an open batch, their elements may be symbolic sizes (dtype object).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwsim.core.errors import UnsupportedError

Host = np.ndarray[Any, Any]
Value = Tensor | Host
HOST_LIMIT = 64


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One node of the file.

    Attributes
    ----------
    op : the operator, without its domain.
    name : as in the file, else made from the first output; for error messages.
    inputs, outputs : names of values, "" for optional ones left out.
    attributes : as Python values; strings decoded, tensors as numpy arrays.
    opset : version of the operator set that the file follows.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int

    def get(self, key: str, default: Any = None) -> Any:
        return self.attributes.get(key, default)

    def unsupported(self, what: str, hint: str = "simplify the graph, or give the PyTorch model") -> UnsupportedError:
        """The error to raise for a use of this operator that has no counterpart."""
        return UnsupportedError(f"operator {self.op}: {what}", where=f"node {self.name!r}", hint=hint)


Operator = Callable[..., Any]
TORCH_TYPES: dict[int, torch.dtype] = {  # numbers of onnx.TensorProto.DataType
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    4: torch.uint16,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}


def is_host(*values: Any) -> bool:
    """Whether all of these are host arrays."""
    return all(isinstance(v, np.ndarray) for v in values)


def settle(value: Any) -> Host:
    """A host array; one whose elements are all known becomes an array of numbers again."""
    array = np.asarray(value)
    if array.dtype == object and all(isinstance(v, int | bool | np.integer) for v in array.flat):
        return array.astype(np.int64)
    return array


def sizes(shape: Any) -> Host:
    """A shape as a host array."""
    array = np.empty(len(shape), object)
    for i, size in enumerate(shape):
        array[i] = size
    return settle(array)


def ints(node: OnnxNode, value: Any, what: str) -> list[Any]:
    """A host array as a list of (possibly symbolic) whole numbers.

    Raises
    ------
    UnsupportedError
        The value depends on data.
    """
    if isinstance(value, Tensor):
        raise node.unsupported(f"its {what} depends on data")
    return np.atleast_1d(value).tolist()


def tensor(value: Value, like: Tensor | None = None) -> Tensor:
    """A value as a tensor."""
    if isinstance(value, Tensor):
        return value
    if value.dtype == object:
        return torch.stack([torch.scalar_tensor(v, dtype=torch.int64) for v in value.flat]).reshape(value.shape)
    found = torch.from_numpy(np.array(value))
    return found if like is None else found.to(like.device)


def operand(value: Value, other: Value) -> Any:
    """A value as the operand beside tensor `other`: single host numbers stay Python numbers."""
    if isinstance(value, Tensor):
        return value
    if value.size == 1 and isinstance(other, Tensor) and value.ndim <= other.ndim:
        return value.item()
    return tensor(value, other if isinstance(other, Tensor) else None)


def from_onnx_array(array: Host) -> Host:
    """Arrays of types that numpy itself lacks (bfloat16, float8, int4) as their plain neighbours."""
    if array.dtype.kind in "biuf":
        return np.array(array)
    wide = np.asarray(array, np.float32)
    return wide.astype(np.int8) if "int" in array.dtype.name else wide
