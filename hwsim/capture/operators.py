"""What each ATen operator is to hwsim: its family, whether values pass through it, and its multiply-accumulates.

An operator that is not listed is accepted only when PyTorch itself tags it as pointwise or as a view; any other one is
an UnsupportedError that names it, so nothing is ever costed as zero by accident.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch.fx import Node

from hwsim.core.errors import UnsupportedError
from hwsim.core.workload import Kind, Shape

KINDS: dict[str, Kind] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), "conv"),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), "conv"),
    **dict.fromkeys(("linear",), "linear"),
    **dict.fromkeys(("embedding",), "embedding"),
    **dict.fromkeys(("matmul", "mm", "bmm"), "matmul"),
    **dict.fromkeys(("scaled_dot_product_attention",), "attention"),
    **dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"), "norm"),
    **dict.fromkeys(
        (
            "relu relu6 hardtanh leaky_relu prelu elu selu celu gelu silu mish sigmoid tanh hardsigmoid hardswish "
            "softplus softsign logsigmoid log_sigmoid clamp clamp_min clamp_max threshold"
        ).split(),
        "activation",
    ),
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), "softmax"),
    **dict.fromkeys(
        (
            "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
            "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d"
        ).split(),
        "pool",
    ),
    **dict.fromkeys(("cat", "stack", "concat"), "concat"),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "var", "std", "argmax", "cumsum", "norm"), "reduce"),
    **dict.fromkeys(
        (
            "view reshape flatten unflatten permute transpose t squeeze unsqueeze select slice split "
            "split_with_sizes chunk unbind expand expand_as repeat clone contiguous alias detach _unsafe_view "
            "view_as constant_pad_nd pad upsample_nearest1d upsample_nearest2d upsample_nearest3d "
            "upsample_bilinear2d pixel_shuffle pixel_unshuffle roll flip index index_select gather "
            "channel_shuffle movedim swapaxes tile narrow lift_fresh_copy _to_copy to copy reflection_pad2d "
            "replication_pad2d im2col unfold where masked_fill tril triu arange zeros ones full scalar_tensor "
            "zeros_like ones_like full_like new_zeros new_ones new_full empty eye linspace"
        ).split(),
        "reshape",
    ),
}
_PASS_VALUES = frozenset(
    (
        "view reshape flatten unflatten permute transpose t squeeze unsqueeze expand expand_as clone "
        "contiguous alias detach _unsafe_view view_as upsample_nearest1d upsample_nearest2d "
        "upsample_nearest3d pixel_shuffle pixel_unshuffle movedim swapaxes max_pool1d max_pool2d max_pool3d "
        "adaptive_max_pool1d adaptive_max_pool2d flip roll channel_shuffle"
    ).split()
)
_ALWAYS_POSITIVE = frozenset("relu relu6 sigmoid hardsigmoid softmax _softmax abs exp softplus square".split())
_KEEPS_SIGN = frozenset(
    (
        "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d mean "
        "sum select slice split chunk upsample_bilinear2d repeat index index_select gather getitem mul add "
        "cat stack reflection_pad2d replication_pad2d amax max sqrt"
    ).split()
)


def op_name(node: Node) -> str:
    """`conv2d`, `relu`, ...; in-place and overload suffixes dropped."""
    packet = getattr(node.target, "overloadpacket", None)
    name = packet.__name__ if packet is not None else getattr(node.target, "__name__", str(node.target))
    return name if name.startswith("_") else name.rstrip("_")


def kind_of(node: Node) -> Kind:
    """The family of an operator node.

    Raises
    ------
    UnsupportedError
        For an operator hwsim has no model of.
    """
    name = op_name(node)
    if name == "add" and all(isinstance(a, Node) for a in node.args[:2]):
        return "add"
    if name in KINDS:
        return KINDS[name]
    if name == "getitem":
        return "reshape"
    tags = getattr(node.target, "tags", ())
    if torch.Tag.pointwise in tags:
        return "elementwise"
    if getattr(node.target, "is_view", False):
        return "reshape"
    where = node.meta.get("layer", node.name)
    raise UnsupportedError(
        f"operator {node.target} has no model",
        where=f"layer {where}",
        hint="supported: convolutions, linear, embedding, matmul, attention, normalisation, pooling, element-wise and "
        "shape operators; replace it, or split the network around it",
    )


def passes_values(node: Node) -> bool:
    """Whether the output only selects or reorders values of the one tensor input."""
    name = op_name(node)
    if name in ("constant_pad_nd", "pad"):
        return len(node.args) < 3 or node.args[2] in (0, 0.0, "constant")
    return name in _PASS_VALUES


def is_non_negative(node: Node, inputs: list[bool]) -> bool:
    """Whether the output provably has no negative value, given that of each tensor input."""
    name = op_name(node)
    if name in _ALWAYS_POSITIVE:
        return True
    if name in ("hardtanh", "clamp", "clamp_min", "threshold"):
        low: Any = node.args[1] if len(node.args) > 1 else -1.0
        return isinstance(low, int | float) and low >= 0
    if name in _KEEPS_SIGN or passes_values(node):
        scalars = [a for a in node.args[:2] if isinstance(a, int | float) and not isinstance(a, bool)]
        if name in ("add", "mul") and any(s < 0 for s in scalars):
            return False
        return bool(inputs) and all(inputs)
    return False


def macs_of(kind: Kind, op: str, in_shapes: tuple[Shape, ...], weight: Shape | None, out: Shape) -> int:
    """Multiply-accumulates of one operator; `torch.utils.flop_counter` counts two for each.

    Raises
    ------
    UnsupportedError
        For attention whose key and value lengths differ from what its operands say.
    """
    if kind == "conv" and weight is not None:
        positions = in_shapes[0] if op.startswith("conv_transpose") else out
        return prod(positions) * prod(weight[1:])
    if kind == "linear" and weight is not None:
        return prod(out) * weight[-1]
    if kind == "matmul":
        return prod(out) * in_shapes[0][-1]
    if kind == "attention":
        query, key, value = in_shapes[:3]
        return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    return 0
