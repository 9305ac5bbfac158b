"""A seeded residual network and its data, for studies that take milliseconds a design. Nothing here is trained:
the labels are the float network's own decisions, so the metric shows what quantization changes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = 5
ROWS = {"train": 96, "calib": 64, "test": 150}


class Tiny(nn.Module):
    """Two convolutions around a shortcut, batch normalisation, a linear classifier; input 1x6x6."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4 * 36, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(self.conv(x) + x)
        scores: Tensor = self.head(x.flatten(1))
        return scores


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Tiny()
        nn.init.uniform_(model.norm.get_buffer("running_var"), 0.5, 2.0)
        return model.eval()


def unseeded() -> nn.Module:
    return Tiny().eval()


def data(split: str = "test") -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(list(ROWS).index(split))
    x = torch.randn(ROWS[split], 1, 6, 6, generator=generator)
    with torch.inference_mode():
        return x, network()(x).argmax(1)


def rows_without_labels(split: str = "test") -> Tensor:
    return data(split)[0]
