"""Values of object detection: where the objects are, and what a detector found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.core.errors import InputError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class DetectionTruth:
    """The objects of a set of images, all of one size.

    Attributes
    ----------
    image : int64 (M,), the row of the image each object is in.
    label : int64 (M,), its class.
    boxes : float32 (M, 4), x0, y0, x1, y1 in pixels of the image as the network sees it.
    images : how many images there are, with or without objects.
    class_names : of the labels 0, 1, ...
    size : height, width of the images in pixels.
    """

    image: Ints
    label: Ints
    boxes: Floats
    images: int
    class_names: tuple[str, ...]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        m = len(self.image)
        if self.label.shape != (m,) or self.boxes.shape != (m, 4):
            shapes = f"image {self.image.shape}, label {self.label.shape}, boxes {self.boxes.shape}"
            raise InputError(shapes, where="detection truth", hint="wanted: (M,), (M,), (M, 4)")
        if m and not (self.image.min() >= 0 and self.image.max() < self.images):
            raise InputError("an object in no image", where="detection truth", hint=f"images: 0..{self.images - 1}")
        if m and not (self.label.min() >= 0 and self.label.max() < len(self.class_names)):
            hint = f"classes: 0..{len(self.class_names) - 1}"
            raise InputError("an object of no class", where="detection truth", hint=hint)

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, rows: Any) -> DetectionTruth:
        """The truth of these images (an index array or tensor, or a slice), in this order."""
        chosen = np.arange(self.images)[rows.numpy() if isinstance(rows, Tensor) else rows]
        parts = [np.flatnonzero(self.image == row) for row in chosen]
        objects = np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64)
        image = np.repeat(np.arange(len(parts)), [len(part) for part in parts]).astype(np.int64)
        return DetectionTruth(image, self.label[objects], self.boxes[objects], len(chosen), self.class_names, self.size)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """(image, label, boxes), e.g. for a digest."""
        return torch.from_numpy(self.image), torch.from_numpy(self.label), torch.from_numpy(self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector found: as `DetectionTruth`, with a score in [0, 1] each.

    Attributes
    ----------
    image, label : int64 (M,).
    boxes : float32 (M, 4), x0, y0, x1, y1 in pixels.
    score : float32 (M,).
    """

    image: Ints
    label: Ints
    boxes: Floats
    score: Floats

    def __len__(self) -> int:
        return len(self.score)
