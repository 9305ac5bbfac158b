"""The straight-through gradient of fake quantization.

For the input: identity inside the clip range, zero outside (Bengio et al., arXiv 1308.3432). For the scale: that of
learned step sizes (LSQ, Esser et al., ICLR 2020, eq. 3): q(u) - u inside, the clip value outside, u = x / scale; eq. 3
holds for any grid, since it only takes dq/du = 1. For the zero point: -scale outside. LSQ's extra factor
1 / sqrt(elements * largest code) is the optimiser's business and is not applied.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hwsim.core.formats import Native
from hwsim.core.scaled import Scaled
from hwsim.quant.groups import expand_groups


def fake_quantize_with_gradient(
    x: Tensor, spec: Scaled, scale: Tensor, zero_point: Tensor | None = None, *, relu: bool = False
) -> Tensor:
    """`fake_quantize` with a gradient for `x`, `scale` and `zero_point`; arguments as there."""
    if isinstance(spec.format, Native):
        scale, zero_point = torch.ones((), dtype=x.dtype, device=x.device), None
    apply: Any = _StraightThrough.apply
    y: Tensor = apply(x, scale, zero_point, spec, relu)
    return y


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor | None, spec: Scaled, relu: bool) -> Tensor:
        from hwsim.quant.kernels import quantize_values

        y = quantize_values(x, spec, scale, zero_point, relu=relu)
        ctx.save_for_backward(x, scale, zero_point, y if ctx.needs_input_grad[1] else None)
        ctx.spec, ctx.relu = spec, relu
        return y.view_as(y) if y is x else y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        x, scale, zero_point, y = ctx.saved_tensors
        spec, relu = ctx.spec, ctx.relu
        s = expand_groups(scale, spec, x)
        live = x.clamp(min=0) if relu else x
        u = live / s if zero_point is None else live / s + expand_groups(zero_point, spec, x)
        inside = (u >= spec.format.min) & (u <= spec.format.max)
        for_x = for_scale = for_zero = None
        if ctx.needs_input_grad[0]:
            for_x = grad * (inside & (x > 0) if relu else inside)
        if ctx.needs_input_grad[1]:
            for_scale = _gather(grad * (y - torch.where(inside, live, 0)) / s, scale, spec)
        if ctx.needs_input_grad[2]:
            for_zero = _gather(torch.where(inside, 0, grad) * -s, zero_point, spec)
        return for_x, for_scale, for_zero, None, None


def _gather(each: Tensor, factor: Tensor, spec: Scaled) -> Tensor:
    """Sum a gradient of the expanded factor back to the shape of the factor."""
    if not isinstance(spec.block, int) or factor.numel() == 1:
        return each.sum().reshape(factor.shape) if factor.numel() == 1 else each.sum_to_size(factor.shape)
    rows = each.reshape(each.shape[0], -1)
    padded = torch.nn.functional.pad(rows, (0, factor.shape[1] * spec.block - rows.shape[1]))
    return padded.view(*factor.shape, spec.block).sum(-1)
