"""A captured graph as JSON values, and back: nothing is pickled, nothing is executed on reading."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from hwsim.core.errors import InputError

_BUILTINS = {f.__name__: f for f in (operator.getitem, operator.mul, operator.add, operator.sub, operator.floordiv)}
_KEPT = ("layer", "quantizes", "path", "parameter")
_TYPES = {"dtype": torch.dtype, "layout": torch.layout, "memory_format": torch.memory_format}


def graph_to_json(module: GraphModule) -> list[dict[str, Any]]:
    """The nodes in order: op, name, target, args, kwargs and layer name."""
    return [
        {
            "op": node.op,
            "name": node.name,
            "target": _target_name(node),
            "args": [_encode(a) for a in node.args],
            "kwargs": {k: _encode(v) for k, v in node.kwargs.items()},
            **{key: node.meta[key] for key in _KEPT if key in node.meta},
            "shape": _shape(node),
        }
        for node in module.graph.nodes
    ]


def graph_from_json(rows: list[dict[str, Any]], attributes: dict[str, Any]) -> GraphModule:
    """Rebuild a graph over the given tensors and modules.

    Raises
    ------
    InputError
        For an operator outside PyTorch's `aten` library or a malformed row.
    """
    graph = Graph()
    made: dict[str, Node] = {}
    for row in rows:
        try:
            args = tuple(_decode(a, made) for a in row["args"])
            kwargs = {k: _decode(v, made) for k, v in row["kwargs"].items()}
            target = _target_of(row["op"], row["target"])
            node = graph.create_node(row["op"], target, args, kwargs, name=row["name"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"malformed graph: {error}", where=f"node {row.get('name', '?')}") from None
        made[row["name"]] = node
        node.meta.update({key: row[key] for key in _KEPT if key in row})
        if row.get("shape") is not None:
            node.meta["val"] = torch.empty([max(s, 0) for s in row["shape"]], device="meta")
    graph.lint()
    return GraphModule(attributes, graph).eval()


def _target_name(node: Node) -> str:
    if node.op != "call_function":
        return str(node.target)
    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target)
    return f"builtin.{node.target.__name__}"  # type: ignore[union-attr]


def _target_of(op: str, name: str) -> Any:
    if op != "call_function":
        return name
    library, _, rest = name.partition(".")
    if library == "builtin" and rest in _BUILTINS:
        return _BUILTINS[rest]
    packet, _, overload = rest.partition(".")
    if library == "aten" and packet.isidentifier() and overload.isidentifier():
        return getattr(getattr(torch.ops.aten, packet), overload)
    raise ValueError(f"operator {name!r} is not allowed")


def _shape(node: Node) -> list[int] | None:
    value = node.meta.get("val")
    return [s if isinstance(s, int) else -1 for s in value.shape] if isinstance(value, Tensor) else None


def _encode(value: Any) -> Any:
    if isinstance(value, Node):
        return {"node": value.name}
    if isinstance(value, list | tuple):
        return [_encode(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for kind, cls in _TYPES.items():
        if isinstance(value, cls):
            return {kind: str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    raise InputError(f"an argument of type {type(value).__name__} cannot be stored", where="graph")


def _decode(value: Any, made: dict[str, Node]) -> Any:
    if isinstance(value, list):
        return [_decode(v, made) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    if kind == "node":
        return made[text]
    if kind == "float":
        return float(text)
    if kind == "device":
        return torch.device(text)
    found = getattr(torch, text)
    if kind not in _TYPES or not isinstance(found, _TYPES[kind]):
        raise ValueError(f"{kind} {text!r}")
    return found
