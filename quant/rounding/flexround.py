"""FlexRound: rounding learned by element-wise division (Lee et al., arXiv 2306.00317, eq. 2).

    W' = s1 Q(W / (s1 S2 s3 s4)),  S2 shaped like W, s3 by output channel, s4 by input channel (convolutions)

All factors are exponentials of what is learned (as in the authors' code), zero at the start, so the start is rounding
to nearest. The gradient of S2 is proportional to the weight: large weights can pass several grid points. Q is any
format's rounding, with the straight-through gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwsim.core.scaled import Scaled
from hwsim.quant.block_kernels import fake_quantize_blocks
from hwsim.quant.kernels import fake_quantize


class FlexRound(nn.Module):
    """Division factors of one weight, and its step where the format's scale is free.

    Parameters
    ----------
    rows : float weight, output channels first.
    """

    needs_budget = False

    def __init__(self, rows: Tensor, spec: Scaled, scale: Tensor, zero_point: Tensor | None) -> None:
        super().__init__()
        self.spec, self.zero_point = spec, zero_point
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.each = nn.Parameter(torch.zeros_like(rows))
        self.by_output = nn.Parameter(rows.new_zeros(rows.shape[0], *[1] * (rows.dim() - 1)))
        self.by_input = (
            nn.Parameter(rows.new_zeros(1, rows.shape[1], *[1] * (rows.dim() - 2))) if rows.dim() > 2 else None
        )
        free = spec.scale == "f32" and spec.mx_name is None
        self.log_step = nn.Parameter(torch.zeros_like(scale)) if free else None

    def _divided(self) -> Tensor:
        exponent = self.each + self.by_output
        if self.by_input is not None:
            exponent = exponent + self.by_input
        return self.rows * torch.exp(-exponent)

    def _scale(self) -> Tensor:
        return self.scale if self.log_step is None else self.scale * torch.exp(self.log_step)

    def forward(self) -> Tensor:
        if self.spec.mx_name is not None:
            rows = self._divided()
            return fake_quantize_blocks(rows.flatten(1), self.spec).view_as(rows)
        return fake_quantize(self._divided(), self.spec, self._scale(), self.zero_point)

    def regularise(self, weight: float, beta: float | None) -> None:
        """There is nothing to harden."""

    def harden(self) -> tuple[Tensor, Scaled, Tensor, Tensor | None]:
        """Rows to round to nearest, format, scale (of block formats None: it follows from the rows) and zero point."""
        with torch.no_grad():
            return self._divided(), self.spec, self._scale().detach().clone(), self.zero_point

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        shaping = [self.each, self.by_output, *([] if self.by_input is None else [self.by_input])]
        return {"rounding": shaping, "step": [] if self.log_step is None else [self.log_step]}
