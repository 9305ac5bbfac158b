"""SmoothQuant: move the range of activation channels into the weights that read them (Xiao et al. 2022, 2211.10438)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from hwsim.capture.graph import Network, copy_graph
from hwsim.capture.operators import op_name
from hwsim.core.errors import InputError
from hwsim.core.workload import Workload
from hwsim.quant.channels import Channels, Weighted, find_channels
from hwsim.quant.rewrite.channel_ranges import channel_ranges
from hwsim.quant.rewrite.graph_edits import finish, register, tensor_of
from hwsim.quant.rewrite.scale_channels import column_ranges, grouped, rescaled, scale_channels, ungrouped

__all__ = ["Smooth", "SmoothReport", "channel_ranges", "smooth"]
_MODES = ("fold", "explicit")
SMALLEST = 1e-5  # of a factor, as the paper's code has it


@dataclass(frozen=True, slots=True)
class Smooth:
    """Settings of SmoothQuant.

    Attributes
    ----------
    alpha : s = max|X|^alpha / max|W|^(1 - alpha); 0 leaves activations alone but for a common scale, 1 evens them out.
    mode : `fold` divides only where a layer or normalisation before takes the division; `explicit` puts a product
        with a constant in front of the other readers.
    """

    alpha: float = 0.5
    mode: Literal["fold", "explicit"] = "fold"

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1 or self.mode not in _MODES:
            raise InputError(f"{self} is out of range", where="smooth", hint="0 <= alpha <= 1, mode fold or explicit")


@dataclass(frozen=True, slots=True)
class SmoothReport:
    """What became of each convolution and linear layer.

    Attributes
    ----------
    folded : the division of all its input channels went into the layers before.
    explicit : layers behind an inserted product.
    skipped : (layer, reason): some or all of its input channels keep their scale.
    """

    folded: tuple[str, ...]
    explicit: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def smooth(
    network: Network, ranges: Mapping[str, Tensor], config: Smooth | None = None
) -> tuple[Network, SmoothReport]:
    """The same function with activations divided by s and the weights that read them multiplied, in float64.

    All readers of a channel share its s, the largest of their weights counting; a division is folded through
    whatever is positively homogeneous, and only where every reader of everything in between takes part.

    Parameters
    ----------
    ranges : largest |x| by input channel, by the name of the tensor a layer reads or of its origin
        (`Workload.origin`), as `channel_ranges` makes them.

    Raises
    ------
    InputError
        For a layer whose tensor has no ranges, or of another length.
    """
    config = config or Smooth()
    module = copy_graph(network.module)
    channels = find_channels(module, network.examples)
    seen = [_ranges_of(network.workload, member, ranges) for member in channels.weighted]
    scale_channels(module, channels, 1 / _factors(module, channels, seen, config.alpha))
    open_columns = ~channels.free
    folded = tuple(m.layer for m in channels.weighted if not open_columns[m.columns].any())
    groups: dict[tuple[Node, bool], list[int]] = {}
    skipped: list[tuple[str, str]] = []
    for index, member in enumerate(channels.weighted):
        if member.layer in folded:
            continue
        why = _refusal(network.workload, channels, member, config)
        if why:
            skipped.append((member.layer, why))
        else:
            source = member.node.args[0]
            assert isinstance(source, Node)
            groups.setdefault((source, op_name(member.node) == "linear"), []).append(index)
    explicit: list[str] = []
    for (source, _), indices in groups.items():
        members = [channels.weighted[i] for i in indices]
        largest = torch.stack([seen[i] for i in indices]).amax(0)
        _multiply(module, source, members, largest, open_columns[members[0].columns], config.alpha)
        explicit += [member.layer for member in members]
    return finish(network, module), SmoothReport(folded, tuple(explicit), tuple(skipped))


def _read(workload: Workload, member: Weighted) -> str:
    """The tensor that a layer reads; empty for a constant."""
    return next((layer.inputs[0] for layer in workload if layer.name == member.layer and layer.inputs), "")


def _ranges_of(workload: Workload, member: Weighted, ranges: Mapping[str, Tensor]) -> Tensor:
    """Largest |x| of each column of a layer, shape (Cin,), float64."""
    name = _read(workload, member)
    if not name:
        return torch.zeros(len(member.columns), dtype=torch.float64)
    origin = workload.origin(name)
    found = ranges.get(name, ranges.get(origin))
    if found is None:
        raise InputError(f"no ranges of tensor {origin!r}", where=f"layer {member.layer}", hint="see channel_ranges")
    if found.shape != member.columns.shape:
        raise InputError(
            f"ranges of tensor {origin!r} for {tuple(found.shape)}, the layer reads {len(member.columns)} channels",
            where=f"layer {member.layer}",
            hint="see channel_ranges",
        )
    return found.double()


def _smoothing(largest: Tensor, weight: Tensor, alpha: float) -> Tensor:
    """s from the ranges of activations and weights; 1 for a channel without either."""
    live = (largest > 0) & (weight > 0)
    s = torch.where(live, largest, 1.0) ** alpha / torch.where(live, weight, 1.0) ** (1 - alpha)
    return s.clamp(min=SMALLEST)


def _factors(module: GraphModule, channels: Channels, seen: list[Tensor], alpha: float) -> Tensor:
    """s of each class, 1 for those that keep their scale, shape (count,)."""
    largest, weight = torch.zeros(2, channels.count, dtype=torch.float64)
    for member, ranges in zip(channels.weighted, seen, strict=True):
        largest.scatter_reduce_(0, member.columns, ranges, "amax")
        weight.scatter_reduce_(0, member.columns, _columns(module, member), "amax")
    return torch.where(channels.free, _smoothing(largest, weight, alpha), 1.0)


def _columns(module: GraphModule, member: Weighted) -> Tensor:
    weight = tensor_of(module, member.node.args[1])
    assert weight is not None
    return column_ranges(grouped(member.node, weight.double()))


def _refusal(workload: Workload, channels: Channels, member: Weighted, config: Smooth) -> str:
    """Why a layer gets no product in front, or an empty string."""
    reasons = [channels.pinned[k] for k in member.columns.tolist() if k in channels.pinned and k > 0]
    if not _read(workload, member):
        return "it reads a constant"
    if workload.origin(_read(workload, member)) in workload.inputs:
        return "it reads a network input"
    if config.mode == "fold":
        return reasons[0] if reasons else "nothing before it takes the division"
    sources = {m.node.args[0] for m in channels.weighted if m.weight == member.weight}
    return "its weight is shared with a layer that reads another tensor" if len(sources) > 1 else ""


def _multiply(
    module: GraphModule, source: Node, members: list[Weighted], largest: Tensor, wanted: Tensor, alpha: float
) -> None:
    """A product with 1 / s between a tensor and its readers, for the columns that are `wanted`."""
    weight = torch.stack([_columns(module, member) for member in members]).amax(0)
    s = torch.where(wanted, _smoothing(largest, weight, alpha), 1.0)
    first = tensor_of(module, members[0].node.args[1])
    assert first is not None
    axes = 0 if op_name(members[0].node) == "linear" else first.dim() - 2
    inverse = (1 / s).reshape(-1, *[1] * axes).to(first.dtype)
    layer = f"{source.meta['layer']}.smooth"
    taken = {node.meta.get("layer") for node in module.graph.nodes}
    while layer in taken:
        layer += "_"
    with module.graph.inserting_after(source):
        constant = register(module, f"{source.name}_smooth", inverse)
    constant.meta["parameter"] = False
    with module.graph.inserting_after(constant):
        product = module.graph.call_function(torch.ops.aten.mul.Tensor, (source, constant))
    product.meta = {**{k: v for k, v in source.meta.items() if k == "val"}, "layer": layer}
    done: set[str] = set()
    for member in members:
        member.node.update_arg(0, product)
        old = tensor_of(module, member.node.args[1])
        if member.weight not in done and old is not None:
            done.add(member.weight)
            parts = grouped(member.node, old.double())
            ones = torch.ones(parts.shape[0] * parts.shape[1], dtype=torch.float64)
            new = ungrouped(member.node, rescaled(parts, ones, 1 / s), old.shape)
            setattr(module, member.weight, new.to(old.dtype).contiguous())
