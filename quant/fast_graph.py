"""The evaluation form of a quantized graph: overwrite what nobody else reads, drop what a quantizer does anyway."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from hwsim.capture.graph import copy_graph
from hwsim.capture.operators import op_name
from hwsim.core.formats import Int
from hwsim.quant.layers import Quantizer

_FRESH = frozenset(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear add mul relu batch_norm layer_norm "
    "matmul bmm mm mean avg_pool2d adaptive_avg_pool2d max_pool2d cat gelu scaled_dot_product_attention".split()
)


def fast_graph(module: GraphModule, dtype: torch.dtype = torch.float32) -> GraphModule:
    """The same function without gradients, fewer passes over memory.

    A quantizer overwrites a tensor of which it is the only reader; a ReLU before an unsigned integer quantizer
    is dropped, since its clipping at zero does the same; other ReLUs and residual sums overwrite their input.
    Convolutions compute channels last in memory.
    """
    fast = copy_graph(module)
    images = image_weights(fast)
    for name, tensor in list(fast.named_buffers()):
        if "." not in name:
            value = _cast(tensor, dtype)
            setattr(fast, name, channels_last(value) if name in images else value)
    for name, child in list(fast.named_children()):
        fast.add_submodule(name, _in_dtype(child, dtype))
    for node in list(fast.graph.nodes):
        if node.op == "call_module":
            _shorten(fast, node)
    for node in list(fast.graph.nodes):
        if node.op == "call_function" and op_name(node) in ("relu", "add"):
            _overwrite(node)
    fast.graph.lint()
    fast.recompile()
    return fast.eval()


def image_weights(module: GraphModule) -> frozenset[str]:
    """Names of the tensors that two-dimensional convolutions take as weights."""
    convolutions = [n for n in module.graph.nodes if n.op == "call_function" and op_name(n) == "conv2d"]
    return frozenset(str(n.args[1].target) for n in convolutions if n.args[1].op == "get_attr")


def channels_last(weight: Tensor) -> Tensor:
    """A weight in the layout that makes a float32 convolution compute channels last: the same function, faster."""
    return weight.contiguous(memory_format=torch.channels_last) if weight.dtype == torch.float32 else weight


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _in_dtype(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    if not isinstance(module, Quantizer):
        return module
    zero = None if module.zero_point is None else _cast(module.zero_point, dtype)
    return Quantizer(module.spec, _cast(module.scale, dtype), zero, module.axis)


def _shorten(module: GraphModule, node: Node) -> None:
    quantizer = module.get_submodule(str(node.target))
    if not isinstance(quantizer, Quantizer):
        return
    source = node.args[0]
    assert isinstance(source, Node)
    fmt = quantizer.spec.format
    clips_at_zero = isinstance(fmt, Int) and not fmt.signed and not quantizer.spec.zero_point
    if clips_at_zero and _is_relu(source) and len(source.users) == 1:
        node.update_arg(0, source.args[0])
        module.graph.erase_node(source)
        source = node.args[0]
    if isinstance(source, Node) and _is_private(source):
        fresh = Quantizer(quantizer.spec, quantizer.scale, quantizer.zero_point, quantizer.axis, inplace=True)
        module.add_submodule(str(node.target), fresh)


def _overwrite(node: Node) -> None:
    source = node.args[0]
    if not isinstance(source, Node) or not _is_private(source):
        return
    if op_name(node) == "relu":
        node.target = torch.ops.aten.relu_.default
    elif len(node.args) == 2 and isinstance(node.args[1], Node) and not node.kwargs:
        before, after = (getattr(n.meta.get("val"), "shape", ()) for n in (source, node))
        if before and len(before) == len(after) and before[1:] == after[1:]:
            node.target = torch.ops.aten.add_.Tensor


def _is_relu(node: Node) -> bool:
    return node.op == "call_function" and op_name(node) == "relu"


def _is_private(node: Node) -> bool:
    """Whether the node made a tensor of its own that has a single reader."""
    return node.op == "call_function" and op_name(node) in _FRESH and len(node.users) == 1
