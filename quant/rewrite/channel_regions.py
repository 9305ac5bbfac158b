"""Channel classes gathered into regions: those that the same layers make and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.quant.channels import Channels


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRegion:
    """Channel classes with the same makers and readers.

    Attributes
    ----------
    mask : which classes, shape (count,), bool.
    makers, readers : positions in `Channels.weighted` of the layers whose rows make, whose columns read them.
    coupled : one weight has both rows and columns here, so a factor acts on it twice.
    """

    mask: Tensor
    makers: tuple[int, ...]
    readers: tuple[int, ...]
    coupled: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Layers, `channels` of whose output channels in all keep their scale, and why."""

    layers: tuple[str, ...]
    channels: int
    reason: str


def channel_regions(channels: Channels, free: Tensor) -> tuple[ChannelRegion, ...]:
    """Regions of the classes marked by `free`, shape (count,), in order of execution."""
    makers: list[list[int]] = [[] for _ in range(channels.count)]
    readers: list[list[int]] = [[] for _ in range(channels.count)]
    for index, member in enumerate(channels.weighted):
        for k in set(member.rows.tolist()):
            makers[k].append(index)
        for k in set(member.columns.tolist()):
            readers[k].append(index)
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for k in torch.nonzero(free).flatten().tolist():
        groups.setdefault((tuple(makers[k]), tuple(readers[k])), []).append(k)
    weights = [member.weight for member in channels.weighted]
    found = []
    for (made_by, read_by), classes in groups.items():
        mask = torch.zeros(channels.count, dtype=torch.bool)
        mask[classes] = True
        coupled = bool({weights[i] for i in made_by} & {weights[i] for i in read_by})
        found.append(ChannelRegion(mask, made_by, read_by, coupled))
    return tuple(found)


def left_out(channels: Channels, free: Tensor, reasons: Mapping[int, str]) -> tuple[LeftOut, ...]:
    """Rows of classes that are not `free`, gathered by reason."""
    layers: dict[str, dict[str, int]] = {}
    for member in channels.weighted:
        for k in member.rows.tolist():
            if not free[k]:
                counts = layers.setdefault(reasons[k], {})
                counts[member.layer] = counts.get(member.layer, 0) + 1
    return tuple(LeftOut(tuple(counts), sum(counts.values()), reason) for reason, counts in layers.items())
