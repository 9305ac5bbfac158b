"""Coarse and fine weight splitting: the centre of a kernel becomes a 1x1 branch of its own (CFWS, 2312.10588).

Re-parameterised kernels (RepVGG) have a centre tap far larger than its neighbours, so one scale starves the neighbours.
The coarse branch holds the centre rounded to a coarse step, which a b-bit weight represents exactly; the fine branch
holds the rest. The cost, 1/9 more products and weights for 3x3, is in the network's workload.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from hwsim.capture.graph import Network, copy_graph
from hwsim.capture.operators import op_name
from hwsim.core.errors import InputError
from hwsim.quant.rewrite.graph_edits import finish, groups_of, is_weighted, register, tensor_of
from hwsim.quant.statistics import KEY

FLOAT32_DIGITS = 24
_PARTS = ("fine", "coarse")


@dataclass(frozen=True, slots=True)
class CoarseFineSplit:
    """Settings of the split.

    Attributes
    ----------
    bits : of the coarse weights; their step is max|c| / (2^(bits - 1) - 1).
    scope : `centre` puts the centre tap in a 1x1 branch; `kernel` splits the whole kernel (twice the products).
    granularity : a step by output channel, or one for the tensor.
    match : `dominant` (the centre outweighs its neighbours), `all`, or a pattern of layer names.
    dominance : least ratio of the largest centre tap of an output channel to its largest other tap, median over
        channels, for `dominant`.
    pow2 : make each step a power of two, at the cost of at most one bit of the coarse branch.
    """

    bits: int = 8
    scope: Literal["centre", "kernel"] = "centre"
    granularity: Literal["channel", "tensor"] = "channel"
    match: str = "dominant"
    dominance: float = 2.0
    pow2: bool = False

    def __post_init__(self) -> None:
        scopes, granularities = ("centre", "kernel"), ("channel", "tensor")
        if not 2 <= self.bits <= 16 or self.scope not in scopes or self.granularity not in granularities:
            raise InputError(
                f"{self} is out of range",
                where="coarse_fine_split",
                hint="2 <= bits <= 16, scope centre or kernel, granularity channel or tensor",
            )


@dataclass(frozen=True, slots=True)
class CoarseFineReport:
    """Layers that were split, and (layer, reason) for convolutions with a kernel above 1 that were not."""

    split: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def coarse_fine_split(network: Network, config: CoarseFineSplit | None = None) -> tuple[Network, CoarseFineReport]:
    """The same function with convolutions split into a fine branch (which keeps the layer's name and its bias), a
    coarse branch `<layer>.coarse` and their sum `<layer>.sum`. Batch statistics move to the sum.
    """
    config = config or CoarseFineSplit()
    module = copy_graph(network.module)
    split: list[str] = []
    left: list[tuple[str, str]] = []
    made: dict[str, tuple[Node, Node]] = {}  # layers that share a weight share its parts
    for node in list(module.graph.nodes):
        if not is_weighted(node) or not op_name(node).startswith("conv"):
            continue
        weight = tensor_of(module, node.args[1])
        assert weight is not None
        if max(weight.shape[2:]) == 1:
            continue
        layer = str(node.meta["layer"])
        why = _refusal(node, weight, config)
        if why:
            left.append((layer, why))
        else:
            _split(module, node, weight, config, made)
            split.append(layer)
    return finish(network, module), CoarseFineReport(tuple(split), tuple(left))


def split_weight(weight: Tensor, config: CoarseFineSplit) -> tuple[Tensor, Tensor]:
    """Fine and coarse part, float64, of a kernel (Cout, Cin/groups, ...) with odd sizes, whose sum it is.

    The fine part has its shape; so has the coarse one, or kernel sizes of 1 for scope `centre`.
    """
    weight = weight.double()
    part = weight[_centre(weight)] if config.scope == "centre" else weight
    dims = tuple(range(1, part.dim())) if config.granularity == "channel" else tuple(range(part.dim()))
    step = _step(part.abs().amax(dims, keepdim=True), config)
    coarse = torch.round(part / step) * step
    fine = weight.clone()
    fine[_centre(weight) if config.scope == "centre" else ...] -= coarse
    return fine, coarse


def _step(largest: Tensor, config: CoarseFineSplit) -> Tensor:
    """The coarse step, with few enough digits that its multiples are exact in float32; 1 where all is zero."""
    step = torch.where(largest > 0, largest / (2 ** (config.bits - 1) - 1), 1.0)
    if config.pow2:
        return torch.exp2(torch.ceil(torch.log2(step)))
    fraction, exponent = torch.frexp(step)
    digits = 2.0 ** (FLOAT32_DIGITS - config.bits)
    return torch.ldexp(torch.ceil(fraction * digits) / digits, exponent)


def _centre(weight: Tensor) -> tuple[slice, ...]:
    middle = (slice(size // 2, size // 2 + 1) for size in weight.shape[2:])
    return (slice(None), slice(None), *middle)


def _refusal(node: Node, weight: Tensor, config: CoarseFineSplit) -> str:
    """Why a convolution is not split, or an empty string."""
    layer = str(node.meta["layer"])
    if config.match not in ("all", "dominant") and not fnmatch(layer, config.match):
        return f"its name does not match {config.match!r}"
    if op_name(node).startswith("conv_transpose"):
        return "it is a transposed convolution"
    needs_centre = config.scope == "centre" or config.match == "dominant"
    if needs_centre and any(size % 2 == 0 for size in weight.shape[2:]):
        return f"its kernel {tuple(weight.shape[2:])} has no centre"
    if config.match == "dominant" and (ratio := _dominance(weight)) < config.dominance:
        return f"its centre is {ratio:.2f} times as large as its neighbours, less than {config.dominance:g}"
    if config.scope == "centre" and min(_coarse_padding(node, weight)) < 0:
        return "it is padded by less than half its kernel: the 1x1 branch would need a cropped input"
    return ""


def _dominance(weight: Tensor) -> float:
    """Largest centre tap over largest other tap of an output channel, the median over the channels."""
    centre = weight[_centre(weight)].abs().flatten(1).amax(1).double()
    others = weight.clone()
    others[_centre(weight)] = 0
    outside = others.abs().flatten(1).amax(1).double()
    live = (centre > 0) | (outside > 0)
    if not live.any():
        return 0.0
    return float((centre[live] / outside[live]).median())


def _coarse_padding(node: Node, weight: Tensor) -> list[int]:
    """Padding that lays the 1x1 kernel on the centres of the k x k one: p - d (k - 1) / 2 on each axis."""
    axes = weight.dim() - 2
    padding, dilation = _argument(node, 4, "padding", 0), _each(_argument(node, 5, "dilation", 1), axes)
    reach = [d * (k - 1) // 2 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if padding == "same":
        return [0] * axes
    if padding == "valid":
        padding = 0
    return [p - r for p, r in zip(_each(padding, axes), reach, strict=True)]


def _argument(node: Node, position: int, name: str, default: object) -> object:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def _each(value: object, axes: int) -> list[int]:
    listed = [value] if isinstance(value, int) else list(value)  # type: ignore[call-overload]
    return [int(v) for v in (listed * axes if len(listed) == 1 else listed)]


def _split(
    module: GraphModule, node: Node, weight: Tensor, config: CoarseFineSplit, made: dict[str, tuple[Node, Node]]
) -> None:
    graph, old = module.graph, node.args[1]
    assert isinstance(old, Node)
    target, layer = str(old.target), str(node.meta["layer"])
    value = {k: v for k, v in node.meta.items() if k == "val"}
    if target not in made:
        with graph.inserting_before(node):
            parts = [part.to(weight.dtype).contiguous() for part in split_weight(weight, config)]
            fine, coarse = (register(module, f"{target}_{n}", p) for n, p in zip(_PARTS, parts, strict=True))
        for part in (fine, coarse):
            part.meta = {**old.meta, "val": part.meta["val"]}
        made[target] = (fine, coarse)
    nodes = made[target]
    node.update_arg(1, nodes[0])
    with graph.inserting_after(node):
        coarse = _coarse_branch(node, weight, nodes[1], config)
    with graph.inserting_after(coarse):
        total = graph.call_function(torch.ops.aten.add.Tensor, (node, coarse))
    node.replace_all_uses_with(total, delete_user_cb=lambda user: user is not total)
    coarse.meta = {**value, "layer": _unused(graph, f"{layer}.coarse")}
    total.meta = {**value, "layer": _unused(graph, f"{layer}.sum")}
    if KEY in node.meta:
        total.meta[KEY] = node.meta.pop(KEY)


def _coarse_branch(node: Node, weight: Tensor, coarse: Node, config: CoarseFineSplit) -> Node:
    """A convolution like `node` with the coarse weight and without bias, at the graph's insertion point."""
    axes, target = weight.dim() - 2, node.target
    stride = _each(_argument(node, 3, "stride", 1), axes)
    dilation = _each(_argument(node, 5, "dilation", 1), axes)
    padding = _argument(node, 4, "padding", [0] * axes)
    if config.scope == "centre":
        padding, dilation = _coarse_padding(node, weight), [1] * axes
        target = getattr(torch.ops.aten, op_name(node)).default  # padding as numbers, whatever the layer's overload
    arguments = (node.args[0], coarse, None, stride, padding, dilation, groups_of(node))
    return node.graph.call_function(target, arguments)  # type: ignore[arg-type]


def _unused(graph: torch.fx.Graph, name: str) -> str:
    taken = {node.meta.get("layer") for node in graph.nodes}
    while name in taken:
        name += "_"
    return name
