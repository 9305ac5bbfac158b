"""How to read the raw output of a detector: which channels are class logits, which the box of a cell."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.core.errors import InputError

_LARGEST_LOG = 6.0  # exp(6) = 403 cells: wider than any image, and no infinity from a bad network


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """How to read the raw output (N, classes + 4, h, w) of a detector with one prediction a cell.

    Channels 0 to classes - 1 are class logits (independent sigmoids: no background class); the last four are a box
    (u, v, a, b) in units of cells: its centre is (column + 1/2 + u, row + 1/2 + v), its width exp(a), its height
    exp(b), each times `stride` pixels.

    Attributes
    ----------
    class_names : in the order of the channels.
    stride : pixels of the input a cell.
    size : height, width of the input in pixels; boxes are clipped to it.
    score_threshold, iou_threshold, most : of the decoding: smallest score kept, overlap above which the lower score
        of one class goes (non-maximum suppression), most detections an image.
    """

    class_names: tuple[str, ...]
    stride: int
    size: tuple[int, int]
    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    most: int = 100

    @property
    def class_channels(self) -> slice:
        """Channels of the class logits."""
        return slice(0, len(self.class_names))

    @property
    def box_channels(self) -> slice:
        """Channels of the box."""
        return slice(len(self.class_names), len(self.class_names) + 4)

    def scores(self, outputs: Tensor) -> Tensor:
        """Probability of each class in each cell, (N, classes, h, w); differentiable."""
        return self._checked(outputs)[:, self.class_channels].sigmoid()

    def boxes(self, outputs: Tensor) -> Tensor:
        """The box of each cell, (N, 4, h, w): x0, y0, x1, y1 in pixels, not clipped; differentiable."""
        raw = self._checked(outputs)[:, self.box_channels]
        height, width = raw.shape[2:]
        x = torch.arange(width, dtype=raw.dtype, device=raw.device) + 0.5 + raw[:, 0]
        y = torch.arange(height, dtype=raw.dtype, device=raw.device)[:, None] + 0.5 + raw[:, 1]
        half = raw[:, 2:].clamp(max=_LARGEST_LOG).exp() / 2
        corners = [x - half[:, 0], y - half[:, 1], x + half[:, 0], y + half[:, 1]]
        return torch.stack(corners, dim=1) * self.stride

    def _checked(self, outputs: Tensor) -> Tensor:
        channels = len(self.class_names) + 4
        if outputs.dim() != 4 or outputs.shape[1] != channels:
            hint = f"(N, {channels}, h, w) is wanted"
            raise InputError(f"outputs of shape {tuple(outputs.shape)}", where="detector head", hint=hint)
        return outputs
