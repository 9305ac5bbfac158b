"""Give every convolution and linear layer a bias, so that corrections have one to change."""

from __future__ import annotations

import torch

from hwsim.capture.graph import Network, copy_graph
from hwsim.quant.rewrite.graph_edits import finish, is_weighted, output_channels, set_argument, tensor_of


def add_biases(network: Network) -> Network:
    """The same function, with a bias of zeros, shape (Cout,), wherever a convolution or linear layer had none."""
    module = copy_graph(network.module)
    for node in list(module.graph.nodes):
        if not is_weighted(node) or (len(node.args) > 2 and node.args[2] is not None):
            continue
        weight = tensor_of(module, node.args[1])
        assert weight is not None
        set_argument(module, node, 2, torch.zeros(output_channels(node, weight), dtype=weight.dtype))
    return finish(network, module)
