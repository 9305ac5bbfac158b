"""Seeded training of a classifier on one thread: its weights do not depend on load or thread settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """SGD with Nesterov momentum, or AdamW, under a one-cycle learning rate.

    Attributes
    ----------
    epochs, batch : passes over the training split, rows a step.
    learning_rate : the peak.
    weight_decay, label_smoothing, momentum : as in torch.
    shift : images move by up to this many pixels each way, at random.
    flip : half of the images, drawn anew each epoch, are mirrored left to right.
    vector_decay : weight decay of vectors (biases, batch normalisations), or None for that of matrices.
    undecayed : parameters whose name contains this have no weight decay; none where it is empty.
    adam : AdamW in place of SGD.
    channels_last : train in this memory layout (faster for convolutions of few channels; rounding differs).
    """

    epochs: int
    batch: int = 64
    learning_rate: float = 0.1
    weight_decay: float = 2e-3
    label_smoothing: float = 0.05
    momentum: float = 0.9
    shift: int = 1
    flip: bool = False
    vector_decay: float | None = None
    undecayed: str = ""
    adam: bool = False
    channels_last: bool = False


def train_classifier(
    model: nn.Module, x: Tensor, y: Tensor, config: TrainConfig, seed: int, report: Callable[[int], None]
) -> None:
    """Train `model` in place on x (N, C, H, W) and y (N,), on one thread; leaves it in eval mode.

    Parameters
    ----------
    report : called after each epoch with the number of epochs done.
    """
    draw = torch.Generator().manual_seed(seed)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    model.to(memory_format=layout)  # type: ignore[call-overload]
    # torch 2.13 corrupts its heap in the gradient of a strided 1x1 convolution of channels-last images of one channel;
    # such images are the same in either layout, and the next layer's are channels-last by its weights.
    of_images = layout if x.shape[1] > 1 else torch.contiguous_format
    optimizer = _optimizer(model, config)
    steps = config.epochs * (len(x) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():
            for epoch in range(config.epochs):
                model.train()
                moved = (
                    mirrored(shifted(x, config.shift, draw), draw) if config.flip else shifted(x, config.shift, draw)
                )
                for rows in torch.randperm(len(x), generator=draw).split(config.batch):
                    if len(rows) < config.batch:
                        continue
                    logits = model(moved[rows].contiguous(memory_format=of_images))
                    loss = F.cross_entropy(logits, y[rows], label_smoothing=config.label_smoothing)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                report(epoch + 1)
    finally:
        torch.set_num_threads(threads)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model.eval()


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    parameters: Any = list(model.parameters())
    if config.vector_decay is not None or config.undecayed:
        decay = config.weight_decay if config.vector_decay is None else config.vector_decay
        free = {id(p) for name, p in model.named_parameters() if config.undecayed and config.undecayed in name}
        held = [p for p in model.parameters() if id(p) not in free]
        parameters = [
            {"params": [p for p in held if p.ndim > 1]},
            {"params": [p for p in held if p.ndim <= 1], "weight_decay": decay},
            {"params": [p for p in model.parameters() if id(p) in free], "weight_decay": 0.0},
        ]
    if config.adam:
        return torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        parameters, config.learning_rate, config.momentum, weight_decay=config.weight_decay, nesterov=True
    )


def shifted(x: Tensor, reach: int, draw: torch.Generator) -> Tensor:
    """Each image of x (N, C, H, W) moved by up to `reach` pixels on each axis, zeros shifted in."""
    if reach == 0:
        return x
    n, _, height, width = x.shape
    offsets = torch.randint(0, 2 * reach + 1, (2, n, 1), generator=draw)
    padded = F.pad(x, (reach,) * 4)
    rows = (offsets[0] + torch.arange(height))[:, None, :, None]
    columns = (offsets[1] + torch.arange(width))[:, None, None, :]
    return padded[torch.arange(n)[:, None, None, None], torch.arange(x.shape[1])[:, None, None], rows, columns]


def mirrored(x: Tensor, draw: torch.Generator) -> Tensor:
    """x (N, C, H, W) with a random half of its images mirrored left to right."""
    chosen = torch.rand(len(x), generator=draw) < 0.5
    return torch.where(chosen[:, None, None, None], x.flip(-1), x)
