"""Seeded training of a grid detector on one thread: focal class loss with overlap targets, box loss by GIoU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwsim.zoo.detection import DetectionTruth
from hwsim.zoo.detection_head import HeadSpec


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """AdamW under a one-cycle learning rate.

    Attributes
    ----------
    epochs, batch : passes over the images, images a step.
    learning_rate : the peak.
    weight_decay : as in torch.
    radius : cells whose centre lies within this many cells of an object's centre, on each axis, and within the object
        learn it; the cell of the centre always does (centre sampling of 1904.01355).
    box_weight : of the box loss against the class loss.
    shift : images move by up to this many pixels each way, at random; half are mirrored along each axis.
    """

    epochs: int
    batch: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    radius: float = 1.0
    box_weight: float = 2.0
    shift: int = 12


def train_detector(
    model: nn.Module,
    x: Tensor,
    truth: DetectionTruth,
    head: HeadSpec,
    config: DetectorConfig,
    seed: int,
    report: Callable[[int], None],
) -> None:
    """Train `model` in place on images x (N, 3, H, W), on one thread; leaves it in eval mode.

    Parameters
    ----------
    report : called after each epoch with the number of epochs done.
    """
    draw = torch.Generator().manual_seed(seed)
    boxes, labels = _padded(truth)
    steps = config.epochs * -(-len(x) // config.batch)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():
            for epoch in range(config.epochs):
                model.train()
                for rows in torch.randperm(len(x), generator=draw).split(config.batch):
                    images, places = _augmented(x[rows], boxes[rows], config.shift, draw)
                    outputs = model(images.contiguous(memory_format=torch.channels_last))
                    loss = detection_loss(outputs, places, labels[rows], head, config)
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                    optimizer.step()
                    schedule.step()
                report(epoch + 1)
    finally:
        torch.set_num_threads(threads)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model.eval()


def detection_loss(outputs: Tensor, boxes: Tensor, labels: Tensor, head: HeadSpec, config: DetectorConfig) -> Tensor:
    """Quality focal loss (2006.04388, equation 2, beta 2) plus 1 - GIoU (1902.09630), a positive cell.

    Parameters
    ----------
    outputs : (N, classes + 4, h, w).
    boxes, labels : (N, M, 4) in pixels and (N, M); -1 marks places without an object.
    """
    owner = assigned(boxes, labels, outputs.shape[2:], head, config.radius)
    image, cell = torch.nonzero(owner >= 0, as_tuple=True)
    wanted = owner[image, cell]
    predicted = head.boxes(outputs).flatten(2).transpose(1, 2)[image, cell]
    overlap, generalised = _overlaps(predicted, boxes[image, wanted])
    logits = outputs[:, head.class_channels].flatten(2).transpose(1, 2)
    target = torch.zeros_like(logits)
    target[image, cell, labels[image, wanted]] = overlap.detach().clamp(0, 1)
    weight = (target - logits.sigmoid()).detach().square()
    count = max(1, len(image))
    classes = (weight * F.binary_cross_entropy_with_logits(logits, target, reduction="none")).sum() / count
    return classes + config.box_weight * (1 - generalised).sum() / count


def assigned(boxes: Tensor, labels: Tensor, grid: torch.Size, head: HeadSpec, radius: float) -> Tensor:
    """For each cell the object it learns, (N, h * w), or -1; of several the smallest."""
    height, width = grid
    x = (torch.arange(width) + 0.5).repeat(height)
    y = (torch.arange(height) + 0.5).repeat_interleave(width)
    b = boxes[:, None] / head.stride  # (N, 1, M, 4) in cells
    dx = (x[:, None] - (b[..., 0] + b[..., 2]) / 2).abs()
    dy = (y[:, None] - (b[..., 1] + b[..., 3]) / 2).abs()
    half_width, half_height = (b[..., 2] - b[..., 0]) / 2, (b[..., 3] - b[..., 1]) / 2
    near = (dx <= half_width.clamp(max=radius)) & (dy <= half_height.clamp(max=radius))
    near |= (dx <= 0.5) & (dy <= 0.5)
    area = (half_width * half_height).expand_as(near)
    area = torch.where(near & (labels >= 0)[:, None], area, torch.inf)
    smallest, owner = area.min(dim=2)
    return torch.where(smallest < torch.inf, owner, -1)


def _overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(intersection over union, its generalised form) of boxes pair by pair, (K,) each."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - shared
    iou = shared / union
    return iou, iou - (around - union) / around


def _padded(truth: DetectionTruth) -> tuple[Tensor, Tensor]:
    """Boxes (N, M, 4) and labels (N, M) with -1 where an image has fewer than M objects."""
    image, label, box = truth.tensors()
    counts = torch.bincount(image, minlength=truth.images)
    most = max(1, int(counts.max()))
    place = torch.arange(len(image)) - (counts.cumsum(0) - counts)[image]
    boxes, labels = torch.zeros(truth.images, most, 4), torch.full((truth.images, most), -1)
    boxes[image, place], labels[image, place] = box, label
    return boxes, labels


def _augmented(x: Tensor, boxes: Tensor, reach: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images mirrored and moved at random (edge pixels repeated), and their boxes, which may leave the image."""
    n, _, height, width = x.shape
    flip = torch.rand(2, n, generator=draw) < 0.5
    dx, dy = torch.randint(-reach, reach + 1, (2, n), generator=draw)
    columns = (torch.arange(width) - dx[:, None]).clamp(0, width - 1)
    rows = (torch.arange(height) - dy[:, None]).clamp(0, height - 1)
    columns = torch.where(flip[0][:, None], width - 1 - columns, columns)
    rows = torch.where(flip[1][:, None], height - 1 - rows, rows)
    moved = x[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)
    x0, y0, x1, y1 = boxes.unbind(dim=2)
    x0, x1 = torch.where(flip[0][:, None], width - x1, x0), torch.where(flip[0][:, None], width - x0, x1)
    y0, y1 = torch.where(flip[1][:, None], height - y1, y0), torch.where(flip[1][:, None], height - y0, y1)
    shift = torch.stack([dx, dy, dx, dy], dim=1)[:, None]
    return moved, torch.stack([x0, y0, x1, y1], dim=2) + shift
