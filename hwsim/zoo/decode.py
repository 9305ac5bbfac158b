"""From the raw output of a detector to detections: scores, boxes, non-maximum suppression."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hwsim.zoo.detection import Detections
from hwsim.zoo.detection_head import HeadSpec


def decode(outputs: Tensor, head: HeadSpec) -> Detections:
    """Detections from the raw output (N, classes + 4, h, w), best first within an image.

    Per image: every (cell, class) above the score threshold, at most the best 1,000; non-maximum suppression a class;
    the `most` best. Boxes are clipped to the image.
    """
    outputs = outputs.detach().float()
    height, width = head.size
    limit = torch.tensor([width, height, width, height], dtype=torch.float32)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for score, box in zip(head.scores(outputs), head.boxes(outputs), strict=True):
        flat = score.flatten(1)
        label, cell = torch.nonzero(flat > head.score_threshold, as_tuple=True)
        value, order = flat[label, cell].sort(descending=True, stable=True)
        value, order = value[:1000], order[:1000]
        label, boxes = label[order], box.flatten(1).T[cell[order]]
        boxes = torch.minimum(boxes.clamp(min=0), limit)
        kept = suppress(boxes, value, label, head.iou_threshold)[: head.most]
        found.append((label[kept], boxes[kept], value[kept]))
    counts = [len(value) for _, _, value in found]
    image = np.repeat(np.arange(len(found)), counts).astype(np.int64)
    if not found:
        return Detections(image, np.empty(0, np.int64), np.empty((0, 4), np.float32), np.empty(0, np.float32))
    labels, boxes, values = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    return Detections(image, labels, boxes, values)


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Greedy non-maximum suppression within each class.

    Parameters
    ----------
    boxes : (M, 4), x0, y0, x1, y1.
    scores, labels : (M,).
    threshold : a box goes where its intersection over union with a better kept box of its class exceeds it.

    Returns
    -------
    Indices of the kept boxes, int64, by falling score; of equal scores the earlier box comes first.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes, labels = boxes[order], labels[order]
    rival = (box_iou(boxes, boxes) > threshold) & (labels[:, None] == labels)
    overlaps = rival.numpy()
    alive = np.ones(len(order), dtype=bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return order[torch.from_numpy(alive)]


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every box of a (M, 4) with every box of b (K, 4): (M, K); 0 where both are empty."""
    lower = torch.maximum(a[:, None, :2], b[None, :, :2])
    upper = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (upper - lower).clamp(min=0).prod(dim=2)
    union = _area(a)[:, None] + _area(b)[None] - shared
    return torch.where(union > 0, shared / union.clamp(min=torch.finfo(a.dtype).tiny), 0.0)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
