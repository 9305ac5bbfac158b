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
from hwsim.quant.rounding.learned_step import LearnedStep


class FlexRound(LearnedStep):
    """Division factors of one weight, and its step where the format's scale is free."""

    def __init__(self, rows: Tensor, spec: Scaled, scale: Tensor, zero_point: Tensor | None) -> None:
        super().__init__(rows, spec, scale, zero_point)
        self.each = nn.Parameter(torch.zeros_like(rows))
        self.by_output = nn.Parameter(rows.new_zeros(rows.shape[0], *[1] * (rows.dim() - 1)))
        inputs = rows.new_zeros(1, rows.shape[1], *[1] * (rows.dim() - 2)) if rows.dim() > 2 else None
        self.by_input = None if inputs is None else nn.Parameter(inputs)

    def shaped(self) -> Tensor:
        """The rows divided by what was learned."""
        exponent = self.each + self.by_output
        if self.by_input is not None:
            exponent = exponent + self.by_input
        return self.rows * torch.exp(-exponent)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        shaping = [self.each, self.by_output, *([] if self.by_input is None else [self.by_input])]
        return {**super().parameter_groups(), "rounding": shaping}
