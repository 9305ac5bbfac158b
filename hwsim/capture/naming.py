"""Names of layers: the dotted path of the module or of the parameter's owner, made unique."""

from __future__ import annotations

import re

from torch.fx import GraphModule, Node

from hwsim.capture.operators import op_name


def name_layers(module: GraphModule) -> None:
    """Set `node.meta["layer"]` of every node that makes a tensor of data (inputs and operators)."""
    taken: set[str] = set()
    for node in module.graph.nodes:
        if node.op == "placeholder":
            node.meta["layer"] = _unique(node.name, taken)
        elif node.op == "call_function" and _makes_tensor(node):
            node.meta["layer"] = _unique(_natural_name(node), taken)


def _natural_name(node: Node) -> str:
    for arg in node.args[1:3]:
        path = arg.meta.get("path", "") if isinstance(arg, Node) and arg.op == "get_attr" else ""
        if path.endswith(("weight", "kernel")):
            return re.sub(r"[._]?(weight|kernel)$", "", path) or op_name(node)
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = list(stack.values())[-1] if stack else ("", "")
    path = re.sub(r"@\d+", "", str(path)).strip(".")
    if path.startswith("_empty_nn_module_stack"):
        path = ""
    leaf = str(kind).startswith("torch.nn.modules.") and not str(kind).endswith(
        ("Sequential", "MultiheadAttention", "TransformerEncoderLayer", "TransformerDecoderLayer")
    )
    if path and leaf:
        return path
    return f"{path}.{op_name(node)}" if path else op_name(node)


def _makes_tensor(node: Node) -> bool:
    value = node.meta.get("val")
    return value is None or hasattr(value, "shape") or isinstance(value, tuple | list)


def _unique(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        candidate, count = f"{name}_{count}", count + 1
    taken.add(candidate)
    return candidate
