"""Fold batch normalisation into the convolution or linear layer that feeds it (Jacob et al. 2018, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from hwsim.capture.graph import Network, copy_graph
from hwsim.capture.operators import op_name
from hwsim.quant.rewrite.graph_edits import finish, register, tensor_of
from hwsim.quant.statistics import KEY, BatchStatistics


def fold_batchnorm(network: Network) -> Network:
    """A network with the same function and without the batch normalisations that follow a weighted layer.

    A normalisation stays where its input has another reader, or where it normalises another axis than the layer's
    output channels. The fold is computed in float64. What the normalisation knew of its output stays with the layer as
    `node.meta["statistics"]` (`BatchStatistics`).
    """
    module = copy_graph(network.module)
    for norm in [n for n in module.graph.nodes if n.op == "call_function" and op_name(n) == "batch_norm"]:
        source = norm.args[0]
        if _foldable(source, norm):
            _fold(module, source, norm)
    return finish(network, module)


def _foldable(source: Node, norm: Node) -> bool:
    if source.op != "call_function" or len(source.users) != 1 or len(source.args) < 2:
        return False
    name = op_name(source)
    weight = source.args[1]
    if not isinstance(weight, Node) or weight.op != "get_attr":
        return False
    if name == "linear":
        shape = norm.meta["val"].shape if "val" in norm.meta else ()
        return len(shape) == 2
    return name.startswith("conv")


def _fold(module: GraphModule, source: Node, norm: Node) -> None:
    gamma, beta, mean, var = (tensor_of(module, node) for node in norm.args[1:5])
    eps = float(norm.args[7])  # type: ignore[arg-type]
    weight = tensor_of(module, source.args[1])
    bias = tensor_of(module, source.args[2]) if len(source.args) > 2 else None
    assert weight is not None and mean is not None and var is not None
    sigma = (var.double() + eps).sqrt()
    source.meta[KEY] = _statistics(gamma, beta, sigma)
    factor = 1 / sigma if gamma is None else gamma.double() / sigma
    new_bias = ((bias.double() if bias is not None else 0.0) - mean.double()) * factor
    if beta is not None:
        new_bias = new_bias + beta.double()
    new_weight = weight.double() * _over_outputs(factor, weight, source)
    name = str(source.args[1].target)  # type: ignore[union-attr]
    with module.graph.inserting_before(source):
        source.update_arg(1, register(module, f"{name}_folded", new_weight.to(weight.dtype)))
        bias_node = register(module, f"{name}_folded_bias", new_bias.to(weight.dtype))
        source.args = (*source.args[:2], bias_node, *source.args[3:])
    source.meta["val"] = norm.meta.get("val", source.meta.get("val"))
    norm.replace_all_uses_with(source)


def _statistics(gamma: Tensor | None, beta: Tensor | None, sigma: Tensor) -> BatchStatistics:
    std = torch.ones_like(sigma) if gamma is None else gamma.double().abs()
    mean = torch.zeros_like(sigma) if beta is None else beta.double().clone()
    return BatchStatistics(mean, std, torch.where(std > 0, sigma / std, 0.0))


def _over_outputs(factor: Tensor, weight: Tensor, source: Node) -> Tensor:
    """`factor` (Cout,) in a shape that multiplies the output channels of the weight."""
    if not op_name(source).startswith("conv_transpose"):
        return factor.reshape(-1, *[1] * (weight.dim() - 1))
    groups = int(source.args[6]) if len(source.args) > 6 else 1  # type: ignore[arg-type]
    per_group = factor.reshape(groups, 1, -1).expand(groups, weight.shape[0] // groups, -1)
    return per_group.reshape(weight.shape[0], weight.shape[1], *[1] * (weight.dim() - 2))
