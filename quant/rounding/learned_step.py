"""Rounding to nearest with a learned step: LSQ for weights (Esser et al., arXiv 1902.08153)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwsim.core.scaled import Scaled
from hwsim.quant.block_kernels import fake_quantize_blocks
from hwsim.quant.kernels import fake_quantize


class LearnedStep(nn.Module):
    """The step of one weight, learned as a logarithm; the weight itself stays.

    Scales that are powers of two or follow from a rule stay as they are.

    Parameters
    ----------
    rows : float weight, output channels first.
    scale, zero_point : at the start; the zero point stays.
    """

    rows: Tensor
    start: Tensor

    def __init__(self, rows: Tensor, spec: Scaled, scale: Tensor, zero_point: Tensor | None) -> None:
        super().__init__()
        self.spec, self.zero_point = spec, zero_point
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("start", scale, persistent=False)
        free = spec.scale == "f32" and spec.mx_name is None
        self.log_step = nn.Parameter(torch.zeros_like(scale)) if free else None

    def shaped(self) -> Tensor:
        """The rows that are rounded."""
        return self.rows

    def scale(self) -> Tensor:
        """The step as learned."""
        return self.start if self.log_step is None else self.start * torch.exp(self.log_step)

    def forward(self) -> Tensor:
        rows = self.shaped()
        if self.spec.mx_name is not None:
            return fake_quantize_blocks(rows.flatten(1), self.spec).view_as(rows)
        return fake_quantize(rows, self.spec, self.scale(), self.zero_point)

    def harden(self) -> tuple[Tensor, Scaled, Tensor, Tensor | None]:
        """Rows to round to nearest, format, scale and zero point."""
        with torch.no_grad():
            return self.shaped().clone(), self.spec, self.scale().clone(), self.zero_point

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"rounding": [], "step": [] if self.log_step is None else [self.log_step]}
