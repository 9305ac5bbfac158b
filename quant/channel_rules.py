"""What each operator does to channel labels: hand on, move, tie, or pin (the default)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node

from hwsim.capture.operators import op_name
from hwsim.quant.channel_labels import PINNED, ZERO, ClipLabels, Labels

Values = Mapping[Node, Any]
Rule = Callable[[Labels, Node, Values, Values, Any], Any]  # state, node, labels, real values, result -> its labels, or
# None where the rule does not hold for these arguments


def pin_inputs(state: Labels, node: Node, labels: Values, _: Values, result: Any) -> Any:
    """The operator is not positively homogeneous, or not known."""
    for source in node.all_input_nodes:
        state.pin(labels.get(source), f"{op_name(node)} reads it")
    return state.constant(result)


def _same(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """f(c x) = c f(x), element by element."""
    if not isinstance(node.args[0], Node) or not isinstance(result, Tensor) or not result.is_floating_point():
        return None
    if any(n not in state.constants for n in node.all_input_nodes if n is not node.args[0]):
        return None  # a slope that depends on the data
    return labels[node.args[0]]


def _move(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """Values are selected and reordered: so are labels, by the operator itself."""
    source = node.args[0]
    if not isinstance(source, Node):
        return None
    if isinstance(labels[source], tuple):
        return labels[source][node.args[1]]  # an operator with several results
    if any(n is not source and labels.get(n) is not None and n not in state.constants for n in node.all_input_nodes):
        return None  # which values move depends on the data
    rest = fx.map_arg((node.args[1:], node.kwargs), lambda n: values[n])
    return _as_labels(node.target(labels[source].double().contiguous(), *rest[0], **rest[1]))  # type: ignore[operator]


def _join(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    parts = fx.map_arg(node.args[0], lambda n: labels[n])
    return node.target(list(parts), *node.args[1:], **node.kwargs)  # type: ignore[operator,arg-type]


def _as_labels(moved: Any) -> Any:
    return tuple(m.long() for m in moved) if isinstance(moved, tuple | list) else moved.long()


def _pad(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """Padding with zeros."""
    mode_and_value = (*node.args[2:4], *node.kwargs.values())  # "constant" and 0 in `pad`, 0 in `constant_pad_nd`
    if any(v not in (0, None, "constant") for v in mode_and_value):
        return None
    pad = fx.map_arg(node.args[1], lambda n: values[n])
    return torch.nn.functional.pad(labels[node.args[0]], list(pad), value=ZERO)  # type: ignore[index,arg-type]


def _operands(node: Node, labels: Values) -> tuple[Tensor | None, Tensor | None]:
    """Labels of both operands; None for a number."""
    a, b = node.args[:2]
    return (labels[a] if isinstance(a, Node) else None, labels[b] if isinstance(b, Node) else None)


def _tie(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """f(c x, c y) = c f(x, y): a sum, the larger of two."""
    first, second = _operands(node, labels)
    if first is None or second is None:
        return None
    return state.tie(first, second, f"{op_name(node)} ties it to a constant or an input")


def _product(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """A factor that keeps its scale hands the other's labels on; of two that may change, the second is pinned."""
    first, second = _operands(node, labels)
    if first is None or second is None:
        return first if second is None else second
    if state.all_pinned(first):
        return second.expand(result.shape)
    state.pin(second, "it multiplies another tensor")
    return first.expand(result.shape)


def _quotient(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    first, second = _operands(node, labels)
    if first is None or node.kwargs.get("rounding_mode"):
        return None
    if second is not None:
        state.pin(second, "it divides another tensor")
    return first.expand(result.shape)


def _over_space(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """Pooling and resizing act on each channel alone; the operator's name ends with its number of axes."""
    if not isinstance(result, Tensor):
        return None
    axes = int(op_name(node)[-2])
    source = labels[node.args[0]]  # type: ignore[index]
    return state.over(source, tuple(range(source.dim() - axes, source.dim())), keepdim=True).expand(result.shape)


def _reduce(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """Mean, sum, largest along dimensions; a result without elements to tell apart is one label."""
    if not isinstance(result, Tensor) or "dim" in node.kwargs:
        return None
    source = labels[node.args[0]]  # type: ignore[index]
    dims = node.args[1] if len(node.args) > 1 else None
    listed = [dims] if isinstance(dims, int) else list(dims or range(source.dim()))  # type: ignore[arg-type]
    keep = result.dim() == source.dim()
    return state.over(source, tuple(d % source.dim() for d in listed), keepdim=keep)


def _clip(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """Clipping at 0 from below and at a bound above: homogeneous once the bound is scaled with the channel."""
    low, high = _bounds(node)
    if low != 0 or not (high is None or (isinstance(high, int | float) and high > 0)):
        return None
    source = labels[node.args[0]]  # type: ignore[index]
    return source if high is None else _record_clip(state, node, source, float(high), result.dtype)


def _bounds(node: Node) -> tuple[Any, Any]:
    name, args = op_name(node), node.args[1:]
    default: tuple[Any, Any] = {"relu6": (0.0, 6.0), "hardtanh": (-1.0, 1.0)}.get(name, (None, None))
    low = args[0] if args else node.kwargs.get("min", node.kwargs.get("min_val", default[0]))
    high = args[1] if len(args) > 1 else node.kwargs.get("max", node.kwargs.get("max_val", default[1]))
    return low, high


def _record_clip(state: Labels, node: Node, source: Tensor, bound: float | None, dtype: torch.dtype) -> Tensor | None:
    for axis in range(1, source.dim()):
        line = source[tuple(slice(None) if d == axis else 0 for d in range(source.dim()))]
        if bool((source == state.spread(line, axis, source.shape)).all()):
            shape = tuple(-1 if d == axis else 1 for d in range(source.dim()))
            state.clips.append(ClipLabels(node, line.clamp(min=PINNED), bound, shape, dtype))
            return source
    return None


def _minimum(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """With a constant: a clip by channel. Of two tensors: a tie."""
    bound = node.args[1]
    if not isinstance(bound, Node) or bound.op != "get_attr":
        return _tie(state, node, labels, values, result)
    source = labels[node.args[0]].clamp(min=PINNED)  # type: ignore[index]  # a padded zero may fall to the bound
    return _record_clip(state, node, source, None, result.dtype) if source.shape == result.shape else None


def _threshold(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    return labels[node.args[0]] if tuple(node.args[1:3]) == (0, 0) else None  # type: ignore[index]


def _affine(position: int, axis: int) -> Rule:
    """A normalisation with weights of its own: its input is pinned, each weight is an element.

    `axis` is that of the channels, or 0 where the weight lies on the last axes.
    """

    def rule(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
        weight = node.args[position] if len(node.args) > position else None
        if not isinstance(weight, Node) or weight.op != "get_attr":
            return None
        pin_inputs(state, node, labels, values, result)
        elements = state.affine_labels(node, position, values[weight].shape)
        return state.spread(elements, axis, result.shape) if axis else elements.expand(result.shape)

    return rule


def _mix(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """A product A V, whose A keeps its scale, is linear in V: each column of V has one label."""
    first, second = _operands(node, labels)
    if first is None or second is None or min(first.dim(), second.dim()) < 2 or not state.all_pinned(first):
        return None
    return state.over(second, (second.dim() - 2,), keepdim=True).expand(result.shape)


def _attention(state: Labels, node: Node, labels: Values, values: Values, result: Any) -> Any:
    """Linear in the values; queries and keys are pinned."""
    if len(node.args) < 3 or node.kwargs.get("enable_gqa"):
        return None
    value = labels[node.args[2]]  # type: ignore[index]
    if value.shape[:-2] != result.shape[:-2]:
        return None
    others = (*node.args[:2], *node.args[3:], *node.kwargs.values())
    for source in (n for n in others if isinstance(n, Node)):
        state.pin(labels[source], "it is a query, key or mask")
    return state.over(value, (value.dim() - 2,), keepdim=True).expand(result.shape)


RULES: dict[str, Rule] = {
    **dict.fromkeys("relu leaky_relu prelu abs neg clone contiguous alias detach dropout _to_copy".split(), _same),
    **dict.fromkeys(
        (
            "view reshape flatten unflatten permute transpose t squeeze unsqueeze select slice split split_with_sizes "
            "chunk unbind expand repeat _unsafe_view pixel_shuffle pixel_unshuffle roll flip index index_select "
            "channel_shuffle movedim swapaxes tile narrow reflection_pad1d reflection_pad2d reflection_pad3d "
            "replication_pad1d replication_pad2d replication_pad3d getitem"
        ).split(),
        _move,
    ),
    **dict.fromkeys("cat stack concat".split(), _join),
    **dict.fromkeys("constant_pad_nd pad".split(), _pad),
    **dict.fromkeys("add sub maximum".split(), _tie),
    **dict.fromkeys(
        (
            "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
            "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d upsample_nearest1d upsample_nearest2d "
            "upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d"
        ).split(),
        _over_space,
    ),
    **dict.fromkeys("mean sum amax amin".split(), _reduce),
    **dict.fromkeys("relu6 hardtanh clamp clamp_min".split(), _clip),
    **dict.fromkeys("matmul bmm mm".split(), _mix),
    "mul": _product,
    "div": _quotient,
    "minimum": _minimum,
    "threshold": _threshold,
    "scaled_dot_product_attention": _attention,
    "layer_norm": _affine(2, 0),
    "rms_norm": _affine(2, 0),
    "group_norm": _affine(2, 1),
    "batch_norm": _affine(1, 1),
    "instance_norm": _affine(1, 1),
}
