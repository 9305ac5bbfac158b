"""Kernels read off a run on meta tensors against those of a captured graph."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from hwsim.capture.graph import capture
from hwsim.latency import kernels
from hwsim.latency.networks.work_classes import work_class
from hwsim.latency.profile.trace import Launch, trace


class Block(nn.Module):
    """Residual, grouped, depthwise and strided convolutions, attention, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.deep = nn.Sequential(
            nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.SiLU(), nn.Conv2d(16, 16, 3, 1, 1, groups=4)
        )
        self.norm = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 48)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.deep(x)
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.qkv(tokens).chunk(3, dim=-1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        weights = torch.softmax(q @ k.transpose(-2, -1), dim=-1)
        return self.head((mixed + weights @ v).transpose(1, 2).flatten(2).mean(1))


def by_class(launches: tuple[Launch, ...]) -> Counter[str]:
    return Counter(work_class(launch.operator, launch.shape) for launch in launches)


@pytest.mark.exact
def test_a_trace_is_what_the_captured_graph_launches() -> None:
    traced = trace(Block, (1, 3, 32, 32))
    graph = kernels(capture(Block().eval(), torch.zeros(1, 3, 32, 32)).workload, "eager")
    captured = tuple(Launch(k.operator, k.shape) for k in graph)
    assert sum(x.shape.macs for x in traced) == sum(x.shape.macs for x in captured)
    mine, theirs = by_class(traced), by_class(captured)
    assert {c: n for c, n in mine.items() if c != "copy"} == {c: n for c, n in theirs.items() if c != "copy"}
    assert abs(mine["copy"] - theirs["copy"]) <= 3, "views that torch copies cannot all be told from a graph"
    products = [x.shape for x in traced if x.shape.macs]
    assert products == [x.shape for x in captured if x.shape.macs]


@pytest.mark.exact
def test_nothing_is_allocated_and_nothing_computed() -> None:
    """A layer of 40 GB is traced in no time: no tensor holds data."""
    (launch,) = (x for x in trace(lambda: nn.Linear(100_000, 100_000, bias=False), (1, 100_000)) if x.shape.macs)
    assert launch.shape.macs == 10**10 and launch.shape.weight_elements == 10**10
    assert launch.shape.kind == "linear"


@pytest.mark.exact
def test_transposed_convolutions_count_their_products() -> None:
    (launch,) = trace(lambda: nn.ConvTranspose2d(8, 4, 2, 2), (1, 8, 5, 5))
    assert launch.shape.macs == 5 * 5 * 8 * 4 * 4 and launch.shape.write_elements == 4 * 100
