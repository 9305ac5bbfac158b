"""Reading operator nodes of the captured graph."""

from __future__ import annotations

from typing import Any

from torch import fx
from torch.fx import Node

from hwsim.quant.layers import Quantizer


def arguments(node: Node) -> dict[str, Any]:
    """Arguments of an ATen call by the names of its schema, defaults filled in."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = dict(zip((a.name for a in schema), node.args, strict=False)) | dict(node.kwargs)
    return {a.name: given.get(a.name, a.default_value) for a in schema}


def operands(node: Node) -> list[Node]:
    """Nodes among the arguments, in order, once for each time they stand there."""
    found: list[Node] = []
    fx.map_arg((node.args, node.kwargs), found.append)
    return found


def quantizer_of(node: Node) -> Quantizer | None:
    """The quantizer module of a node that calls one."""
    if node.op != "call_module" or node.graph.owning_module is None:
        return None
    module = node.graph.owning_module.get_submodule(str(node.target))
    return module if isinstance(module, Quantizer) else None


def only_reader(node: Node) -> Node | None:
    """The one node that reads a node, or None."""
    return next(iter(node.users)) if len(node.users) == 1 else None
