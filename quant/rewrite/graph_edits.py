"""Small edits of a captured graph that rewrites share: read, replace, add and drop the tensors a node holds."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from hwsim.capture.graph import Network, copy_graph
from hwsim.capture.operators import op_name

WEIGHTED_OPS = frozenset(
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split()
)  # layers with a weight of channels: rows make output channels, columns read input channels


def is_weighted(node: Node) -> bool:
    """Whether a node is a convolution or linear layer whose weight is a tensor of the network."""
    if node.op != "call_function" or op_name(node) not in WEIGHTED_OPS or len(node.args) < 2:
        return False
    weight = node.args[1]
    return isinstance(weight, Node) and weight.op == "get_attr"


def groups_of(node: Node) -> int:
    """Groups of a convolution, 1 for a linear layer."""
    if op_name(node) == "linear":
        return 1
    found = node.args[6] if len(node.args) > 6 else node.kwargs.get("groups", 1)
    return int(found)  # type: ignore[arg-type]


def output_channels(node: Node, weight: Tensor) -> int:
    """Output channels of a convolution or linear layer with this weight."""
    transposed = op_name(node).startswith("conv_transpose")
    return weight.shape[1] * groups_of(node) if transposed else weight.shape[0]


def tensor_of(module: GraphModule, node: object) -> Tensor | None:
    """The tensor of a `get_attr` node, None for anything else."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    found = getattr(module, str(node.target))
    return found if isinstance(found, Tensor) else None


def register(module: GraphModule, name: str, tensor: Tensor) -> Node:
    """A node for a new tensor of the network, at the graph's insertion point; `name` is made unique."""
    while hasattr(module, name):
        name += "_"
    module.register_buffer(name, tensor)
    node = module.graph.get_attr(name)
    node.meta["path"] = name
    node.meta["val"] = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    return node


def set_argument(module: GraphModule, node: Node, position: int, tensor: Tensor) -> Node:
    """Give a node a tensor of its own at an argument position, whatever stood there; other readers keep theirs.

    Returns the new tensor's node.
    """
    old = node.args[position] if len(node.args) > position else None
    name = str(old.target) if isinstance(old, Node) else f"{node.name}_{'bias' if position == 2 else 'tensor'}"
    with module.graph.inserting_before(node):
        new = register(module, f"{name.removesuffix('_rewritten').rstrip('_')}_rewritten", tensor)
    if isinstance(old, Node):
        new.meta = {**old.meta, "val": new.meta["val"]}
    padded = [*node.args, *[None] * (position + 1 - len(node.args))]
    node.args = (*padded[:position], new, *padded[position + 1 :])
    return new


def finish(network: Network, module: GraphModule) -> Network:
    """The edited graph as a network: dead nodes and tensors that nobody reads are gone."""
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    used = {str(n.target) for n in module.graph.nodes if n.op == "get_attr"}
    for name in [n for n, _ in module.named_buffers() if "." not in n and n not in used]:
        delattr(module, name)
    module.graph.lint()
    module.recompile()
    return Network(network.name, module, network.examples, network.fixed_batch, network.head)


def cast(network: Network, dtype: torch.dtype) -> Network:
    """The network with every floating-point tensor in another type, its examples included."""
    module = copy_graph(network.module)
    for name, tensor in list(module.named_buffers()):
        if "." not in name and tensor.is_floating_point():
            setattr(module, name, tensor.to(dtype))
    examples = tuple(x.to(dtype) if x.is_floating_point() else x for x in network.examples)
    return Network(network.name, module, examples, network.fixed_batch, network.head)
