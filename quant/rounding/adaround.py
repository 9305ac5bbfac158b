"""AdaRound: each weight goes up or down, decided by a soft step that hardens (Nagel et al., arXiv 2004.10568).

The soft weight is `lower + h(V) (upper - lower)` between the two grid points around it, where
h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1) (eq. 23), the regulariser sum 1 - |2h - 1|^beta (eq. 24). Written with
neighbours instead of floor, it holds for every grid: on minifloats h starts as the position between neighbours, so the
soft network starts as the float network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hwsim.core.scaled import Scaled
from hwsim.quant.groups import expand_groups
from hwsim.quant.neighbours import neighbours

STRETCH, SHIFT = 1.2, -0.1


class AdaRound(nn.Module):
    """Soft rounding of one weight.

    Parameters
    ----------
    rows : float weight, output channels first.
    scale, zero_point : fixed.
    """

    lower: Tensor
    gap: Tensor

    def __init__(self, rows: Tensor, spec: Scaled, scale: Tensor, zero_point: Tensor | None) -> None:
        super().__init__()
        self.spec, self.scale, self.zero_point = spec, scale, zero_point
        unit = expand_groups(scale, spec, rows)
        offset = 0.0 if zero_point is None else expand_groups(zero_point, spec, rows)
        safe = torch.where(unit == 0, torch.ones_like(unit), unit)
        lower, upper, share = neighbours(rows / safe + offset, spec.format)
        self.register_buffer("lower", ((lower - offset) * unit).expand_as(rows).contiguous(), persistent=False)
        self.register_buffer("gap", ((upper - lower) * unit).expand_as(rows).contiguous(), persistent=False)
        sigmoid = (share - SHIFT) / STRETCH
        self.soft = nn.Parameter(torch.log(sigmoid / (1 - sigmoid)))
        self.beta: float | None = None
        self.weight = 0.0

    def forward(self) -> Tensor:
        apply: Any = _SoftStep.apply
        return apply(self.soft, self.lower, self.gap, self.weight, self.beta)

    def regularise(self, weight: float, beta: float | None) -> None:
        """Set the pull towards 0 and 1: its weight and exponent; no pull where beta is None."""
        self.weight, self.beta = weight, beta

    @property
    def undecided(self) -> float:
        """Share of weights between 0.05 and 0.95."""
        h = _soft(self.soft.detach())
        return float(((h > 0.05) & (h < 0.95)).double().mean())

    def harden(self) -> tuple[Tensor, Scaled, Tensor, Tensor | None]:
        """Values on the grid (rows), format, scale and zero point."""
        up = self.soft.detach() >= 0
        return self.lower + self.gap * up, self.spec, self.scale, self.zero_point

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"rounding": [self.soft], "step": []}


def _soft(v: Tensor) -> Tensor:
    return torch.sigmoid(v).mul_(STRETCH).add_(SHIFT).clamp_(0.0, 1.0)


class _SoftStep(torch.autograd.Function):
    """The soft weight; its gradient carries that of the regulariser, which then needs no graph of its own."""

    @staticmethod
    def forward(ctx: Any, soft: Tensor, lower: Tensor, gap: Tensor, weight: float, beta: float | None) -> Tensor:
        sigmoid = torch.sigmoid(soft)
        h = (sigmoid * STRETCH).add_(SHIFT).clamp_(0.0, 1.0)
        ctx.save_for_backward(sigmoid, h, gap)
        ctx.weight, ctx.beta = weight, beta
        return torch.addcmul(lower, h, gap)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        sigmoid, h, gap = ctx.saved_tensors
        inner = grad * gap
        if ctx.beta is not None and ctx.weight > 0:
            side = h.mul(2.0).sub_(1.0)
            pull = side.abs().pow_(ctx.beta - 1.0)
            inner.sub_(pull.mul_(2.0 * ctx.beta * ctx.weight).mul_(side.sign_()))
        slope = sigmoid * (1.0 - sigmoid)
        slope.mul_((h > 0.0) & (h < 1.0))
        return inner.mul_(slope).mul_(STRETCH), None, None, None, None


def annealed_beta(progress: float, warmup: float, start: float, end: float) -> float | None:
    """The exponent at a share of the iterations: none in the warm-up, then falling linearly."""
    if progress < warmup:
        return None
    return end + (start - end) * max(0.0, 1.0 - (progress - warmup) / max(1e-9, 1.0 - warmup))
