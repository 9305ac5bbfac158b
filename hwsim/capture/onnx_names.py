"""Names of imported layers: those of the original modules wherever the file still tells them."""

from __future__ import annotations

import re

from torch import nn

from hwsim.capture.onnx_values import OnnxNode

_INDEXED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "LayerNormalization", "PRelu")


def layer_path(node: OnnxNode) -> str:
    """A dotted path for the layer of a node.

    The owner of its weight where the file names one (`blocks.0.conv1.weight`); else the scope in the node's own name
    (`/blocks/blocks.0/conv1/Conv`); else the node's name.
    """
    weight = node.inputs[0 if node.op == "Gather" else 1] if len(node.inputs) > 1 else ""
    if (node.op in _INDEXED or node.op == "Gather") and weight.endswith(".weight"):
        return _clean(weight.removesuffix(".weight"))
    scope = [part for part in node.name.split("/") if part]
    if node.name.startswith("/") and len(scope) > 1:
        scope = scope if not re.fullmatch(rf"{node.op}(_\d+)?", scope[-1]) else scope[:-1]
        while len(scope) > 1 and (scope[1].startswith(scope[0] + ".")):
            scope = scope[1:]
        joined = [p for p, after in zip(scope, [*scope[1:], ""], strict=True) if not after.startswith(p + ".")]
        return _clean(".".join(joined))
    return _clean(node.name.replace("/", "_"))


def _clean(path: str) -> str:
    parts = [re.sub(r"\W+", "_", part).strip("_") for part in path.split(".")]
    return ".".join(part for part in parts if part) or "layer"


def attach(root: nn.Module, path: str, layer: nn.Module) -> str:
    """Put a layer at a dotted path, making the modules above it; returns the path, changed where it was taken."""
    *above, leaf = path.split(".")
    owner, taken = root, []
    for part in above:
        name = part
        while hasattr(owner, name) and not isinstance(getattr(owner, name), nn.Module):
            name += "_"
        if not hasattr(owner, name):
            owner.add_module(name, nn.Module())
        owner = getattr(owner, name)
        taken.append(name)
    name, count = leaf, 1
    while hasattr(owner, name):
        name, count = f"{leaf}_{count}", count + 1
    owner.add_module(name, layer)
    return ".".join([*taken, name])


def free_name(root: nn.Module, name: str) -> str:
    """A valid attribute name for a constant that `root` does not have yet."""
    base = re.sub(r"\W+", "_", name).strip("_") or "constant"
    candidate, count = base, 1
    while hasattr(root, candidate):
        candidate, count = f"{base}_{count}", count + 1
    return candidate
