"""Cross-layer equalization: even out weight ranges over channels (Nagel et al. 2019, 1906.04721, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.fx import GraphModule

from hwsim.capture.graph import Network, copy_graph
from hwsim.core.errors import InputError
from hwsim.quant.channels import Channels, find_channels
from hwsim.quant.rewrite.channel_regions import ChannelRegion, LeftOut, channel_regions, left_out
from hwsim.quant.rewrite.graph_edits import finish, tensor_of
from hwsim.quant.rewrite.scale_channels import column_ranges, grouped, rescaled, row_ranges, scale_channels

Ranges = tuple[Tensor, Tensor]
NEGLIGIBLE = 1e-8  # of the region's largest range: such a channel is left alone


@dataclass(frozen=True, slots=True)
class Equalize:
    """Settings of cross-layer equalization.

    Attributes
    ----------
    iterations : most sweeps over all regions.
    tolerance : a sweep whose factors all lie within 1 +- tolerance ends it.
    bias : whether |bias| counts to the range of a row.
    alpha : a channel is multiplied by r2^(1 - alpha) / r1^alpha, r1 the range of the rows that make it, r2 that of
        the columns that read it; 0.5 makes both equal.
    clip : what becomes of ReLU6 and other clips to [0, m]: a bound by channel (`channel`), or the channels stay as
        they are (`leave`).
    """

    iterations: int = 20
    tolerance: float = 0.05
    bias: bool = True
    alpha: float = 0.5
    clip: Literal["channel", "leave"] = "channel"

    def __post_init__(self) -> None:
        if self.iterations < 1 or not 0 <= self.alpha <= 1 or self.tolerance < 0 or self.clip not in _CLIPS:
            raise InputError(
                f"{self} is out of range",
                where="equalize",
                hint="iterations >= 1, tolerance >= 0, 0 <= alpha <= 1, clip channel or leave",
            )


_CLIPS = ("channel", "leave")


@dataclass(frozen=True, slots=True)
class Region:
    """Channels that the same layers make and read.

    Attributes
    ----------
    sources, sinks : layers whose rows make them, layers whose columns read them.
    channels : number of channels with a factor of their own.
    ratio_before, ratio_after : largest ratio over the channels, either way up, of the range of rows and columns.
    spread_before, spread_after : largest range of rows over the smallest.
    """

    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    channels: int
    ratio_before: float
    ratio_after: float
    spread_before: float
    spread_after: float


@dataclass(frozen=True, slots=True)
class EqualizeReport:
    """What equalization did.

    Attributes
    ----------
    regions : what was equalized, in order of execution.
    left_out : what was not.
    sweeps : sweeps made.
    change : largest |factor - 1| of the last sweep; at most the tolerance where it converged.
    """

    regions: tuple[Region, ...]
    left_out: tuple[LeftOut, ...]
    sweeps: int
    change: float


def equalize(network: Network, config: Equalize | None = None) -> tuple[Network, EqualizeReport]:
    """The same function with even weight ranges, computed in float64.

    Regions reach over residual sums, concatenations and whatever else is positively homogeneous: all rows and columns
    that one channel touches share its factor. Batch normalisations that are to vanish must be folded before.
    """
    config = config or Equalize()
    module = copy_graph(network.module)
    channels = find_channels(module, network.examples)
    free, reasons = _free_classes(channels, config)
    regions = channel_regions(channels, free)
    work = _Weights(module, channels, config.bias)
    before = [work.ranges(region) for region in regions]
    total = torch.ones(channels.count, dtype=torch.float64)
    change, sweep = 0.0, 0
    for sweep in range(1, config.iterations + 1):  # noqa: B007
        change = 0.0
        for region in regions:
            factor = _factors(region, *work.ranges(region), config.alpha)
            change = max(change, float((factor - 1).abs().max()))
            applied = factor.sqrt() if region.coupled else factor  # else it overshoots
            work.apply(region, applied)
            total *= applied
        if change <= config.tolerance:
            break
    scale_channels(module, channels, total)
    after = [work.ranges(region) for region in regions]
    found = tuple(_described(channels, *each) for each in zip(regions, before, after, strict=True))
    return finish(network, module), EqualizeReport(found, left_out(channels, free, reasons), sweep, change)


class _Weights:
    """The weights (grouped) and magnitudes of the biases in float64, scaled as the sweeps go."""

    def __init__(self, module: GraphModule, channels: Channels, bias: bool) -> None:
        self.members = channels.weighted
        self.count = channels.count
        self.weights: dict[str, Tensor] = {}
        self.biases: dict[int, Tensor] = {}
        for index, member in enumerate(self.members):
            weight = tensor_of(module, member.node.args[1])
            assert weight is not None
            self.weights.setdefault(member.weight, grouped(member.node, weight.double()))
            found = tensor_of(module, member.node.args[2]) if bias and len(member.node.args) > 2 else None
            if found is not None:
                self.biases[index] = found.double().abs()

    def ranges(self, region: ChannelRegion) -> Ranges:
        """Range of the rows and of the columns of each class, shapes (count,); 0 outside the region."""
        rows, columns = torch.zeros(2, self.count, dtype=torch.float64)
        for index in region.makers:
            made = row_ranges(self.weights[self.members[index].weight])
            made = torch.maximum(made, self.biases[index]) if index in self.biases else made
            rows.scatter_reduce_(0, self.members[index].rows, made, "amax")
        for index in region.readers:
            read = column_ranges(self.weights[self.members[index].weight])
            columns.scatter_reduce_(0, self.members[index].columns, read, "amax")
        return rows * region.mask, columns * region.mask

    def apply(self, region: ChannelRegion, factor: Tensor) -> None:
        names = set()
        for member in (self.members[i] for i in sorted({*region.makers, *region.readers})):
            if member.weight not in names:
                names.add(member.weight)
                old = self.weights[member.weight]
                self.weights[member.weight] = rescaled(old, factor[member.rows], factor[member.columns])
        for index in region.makers:
            if index in self.biases:
                self.biases[index] = self.biases[index] * factor[self.members[index].rows]


def _factors(region: ChannelRegion, rows: Tensor, columns: Tensor, alpha: float) -> Tensor:
    """columns^(1 - alpha) / rows^alpha for the classes of a region, one elsewhere, shape (count,)."""
    live = region.mask & (rows > NEGLIGIBLE * rows.max()) & (columns > NEGLIGIBLE * columns.max())
    return torch.where(live, columns ** (1 - alpha) / rows**alpha, 1.0)


def _free_classes(channels: Channels, config: Equalize) -> tuple[Tensor, dict[int, str]]:
    """Classes that may change, and why the others may not."""
    reasons = dict(channels.pinned)
    for affine in channels.affine:
        for k in torch.unique(affine.classes).tolist():
            reasons.setdefault(k, "a normalisation makes it")
    for clip in channels.clips if config.clip == "leave" else ():
        if clip.bound is not None:
            for k in torch.unique(clip.classes).tolist():
                reasons.setdefault(k, f"{clip.node.meta['layer']} clips it")
    read = torch.zeros(channels.count, dtype=torch.bool)
    for member in channels.weighted:
        read[member.columns] = True
    for k in torch.nonzero(~read).flatten().tolist():
        reasons.setdefault(k, "no weighted layer reads it")
    free = torch.ones(channels.count, dtype=torch.bool)
    free[list(reasons)] = False
    return free, reasons


def _described(channels: Channels, region: ChannelRegion, before: Ranges, after: Ranges) -> Region:
    def figures() -> Iterator[float]:
        for rows, columns in (before, after):
            live = (rows > 0) & (columns > 0)
            r1, r2 = (rows[live], columns[live]) if live.any() else (torch.ones(1), torch.ones(1))
            yield float(torch.maximum(r1 / r2, r2 / r1).max())
            yield float(r1.max() / r1.min())

    ratio_before, spread_before, ratio_after, spread_after = figures()
    return Region(
        tuple(channels.weighted[i].layer for i in region.makers),
        tuple(channels.weighted[i].layer for i in region.readers),
        int(region.mask.sum()),
        ratio_before,
        ratio_after,
        spread_before,
        spread_after,
    )
