"""Multiply channel classes by factors: their rows and biases by c, the columns that read them by 1 / c."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from hwsim.capture.operators import op_name
from hwsim.quant.channels import Affine, Channels, Clip, Weighted
from hwsim.quant.rewrite.graph_edits import groups_of, register, set_argument, tensor_of
from hwsim.quant.statistics import KEY, statistics_of


def grouped(node: Node, weight: Tensor) -> Tensor:
    """A weight as (groups, Cout / groups, Cin / groups, kernel elements)."""
    groups = groups_of(node)
    if op_name(node).startswith("conv_transpose"):
        return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1).transpose(1, 2)
    return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)


def ungrouped(node: Node, weight: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `grouped`; `shape` is that of the weight as stored."""
    return (weight.transpose(1, 2) if op_name(node).startswith("conv_transpose") else weight).reshape(shape)


def row_ranges(weight: Tensor) -> Tensor:
    """Largest magnitude of each output channel of a grouped weight, shape (Cout,)."""
    return weight.abs().amax((2, 3)).flatten()


def column_ranges(weight: Tensor) -> Tensor:
    """Largest magnitude of each input channel of a grouped weight, shape (Cin,)."""
    return weight.abs().amax((1, 3)).flatten()


def rescaled(weight: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """A grouped weight with its rows times `rows` (Cout,) and its columns divided by `columns` (Cin,)."""
    groups, couts, cins, _ = weight.shape
    return weight * rows.reshape(groups, couts, 1, 1) / columns.reshape(groups, 1, cins, 1)


def scale_channels(module: GraphModule, channels: Channels, factor: Tensor) -> None:
    """Change the tensors of a graph in place of its own (not those it shares with others) so that class k is times
    `factor[k]`, shape (count,), float64, 1 for pinned classes. The function stays; batch statistics go along.
    """
    assert not bool((factor[list(channels.pinned)] != 1).any()), "a pinned class has a factor"
    done: dict[str, Node] = {}  # tensors that several layers share are scaled once, and stay shared
    for member in channels.weighted:
        _scale_weight(module, member, factor, done)
    for affine in channels.affine:
        _scale_affine(module, affine, factor, done)
    for clip in channels.clips:
        _scale_clip(module, clip, factor)


def _scale_weight(module: GraphModule, member: Weighted, factor: Tensor, done: dict[str, Node]) -> None:
    node, rows, columns = member.node, factor[member.rows], factor[member.columns]
    target = str(node.args[1].target)  # type: ignore[union-attr]
    weight = tensor_of(module, node.args[1])
    assert weight is not None
    if target not in done and bool((torch.cat([rows, columns]) != 1).any()):
        done[target] = node
        new = rescaled(grouped(node, weight.double()), rows, columns)
        setattr(module, target, ungrouped(node, new, weight.shape).to(weight.dtype).contiguous())
    if bool((rows == 1).all()):
        return
    bias = tensor_of(module, node.args[2]) if len(node.args) > 2 else None
    if bias is not None:
        _replace(module, node, 2, (bias.double() * rows).to(bias.dtype), target, done)
    statistics = statistics_of(node)
    if statistics is not None:
        node.meta[KEY] = statistics.scaled(rows)


def _replace(
    module: GraphModule, node: Node, position: int, tensor: Tensor, weight: str, done: dict[str, Node]
) -> None:
    """Give a node a new tensor; nodes that shared the old one, and `weight` with it, go on sharing."""
    key = f"{node.args[position].target} with {weight}"  # type: ignore[union-attr]
    if key in done:
        node.update_arg(position, done[key])
    else:
        done[key] = set_argument(module, node, position, tensor)


def _scale_affine(module: GraphModule, affine: Affine, factor: Tensor, done: dict[str, Node]) -> None:
    by, node, first = factor[affine.classes], affine.node, affine.position
    if bool((by == 1).all()):
        return
    name = str(node.args[first].target)  # type: ignore[union-attr]
    for position in (first,) if op_name(node) == "rms_norm" else (first, first + 1):
        tensor = tensor_of(module, node.args[position]) if len(node.args) > position else None
        if tensor is not None:
            _replace(module, node, position, (tensor.double() * by).to(tensor.dtype), name, done)


def _scale_clip(module: GraphModule, clip: Clip, factor: Tensor) -> None:
    by, node = factor[clip.classes], clip.node
    if bool((by == 1).all()):
        return
    by = by.reshape(clip.shape)
    if clip.bound is None:
        old = tensor_of(module, node.args[1])
        assert old is not None
        set_argument(module, node, 1, (old.double() * by).to(old.dtype))
        return
    _clip_by_channel(module, node, (clip.bound * by).to(clip.dtype))


def _clip_by_channel(module: GraphModule, node: Node, bounds: Tensor) -> None:
    """min(x, bounds), then ReLU, in place of a clip to [0, bound]; the ReLU keeps the name of the layer."""
    graph, layer = module.graph, str(node.meta["layer"])
    taken = {n.meta.get("layer") for n in graph.nodes}
    name = f"{layer}.bound"
    while name in taken:
        name += "_"
    with graph.inserting_before(node):
        constant = register(module, f"{node.name}_bounds", bounds)
        constant.meta["parameter"] = False
        clipped = graph.call_function(torch.ops.aten.minimum.default, (node.args[0], constant))
        relu = graph.call_function(torch.ops.aten.relu.default, (clipped,))
    clipped.meta = {**{k: v for k, v in node.meta.items() if k == "val"}, "layer": name}
    relu.meta = dict(node.meta)
    node.replace_all_uses_with(relu)
    graph.erase_node(node)
