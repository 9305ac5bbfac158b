"""Quantizers whose step is learned and whose effect is dropped at random, for reconstruction.

The gradient of the step is that of learned step sizes (LSQ, arXiv 1902.08153, eq. 3). With a mask m of ones and zeros
(QDrop, arXiv 2203.05740, eq. 8) the output is x + m (Q(x) - x). For one scale a tensor the whole of it costs one
rounding, one fused clip gradient and two dot products.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hwsim.core.formats import Binary
from hwsim.core.scaled import Scaled
from hwsim.quant.block_kernels import fake_quantize_blocks
from hwsim.quant.kernels import fake_quantize, quantize_values
from hwsim.quant.layers import Quantizer


class MaskBank:
    """Random masks of ones with a given probability, cut from one long row of draws that is renewed now and then.

    Parameters
    ----------
    keep : probability of a one.
    """

    RENEWED_AFTER = 64  # masks

    def __init__(self, keep: float, seed: int) -> None:
        self.keep = keep
        self._draw = torch.Generator().manual_seed(seed)
        self._row = torch.empty(0)
        self._given = 0

    def mask(self, like: Tensor) -> Tensor:
        """A mask of the shape and type of `like`."""
        size = like.numel()
        if len(self._row) < 2 * size or self._given >= self.RENEWED_AFTER:
            self._row = torch.empty(max(2 * size, len(self._row)), dtype=like.dtype)
            self._row.bernoulli_(self.keep, generator=self._draw)
            self._given = 0
        self._given += 1
        start = int(torch.randint(0, len(self._row) - size + 1, (1,), generator=self._draw))
        return self._row[start : start + size].view(like.shape)


class LearnedQuantizer(nn.Module):
    """Stands in for a `Quantizer` while a block is reconstructed.

    Parameters
    ----------
    learn : learn the step; scales that follow from a rule stay.
    bank : where quantization is dropped at random.
    """

    base: Tensor
    zero_point: Tensor | None

    def __init__(self, quantizer: Quantizer, *, learn: bool, bank: MaskBank | None) -> None:
        super().__init__()
        self.spec, self.axis, self.bank = quantizer.spec, quantizer.axis, bank
        self.register_buffer("base", quantizer.scale, persistent=False)
        self.register_buffer("zero_point", quantizer.zero_point, persistent=False)
        spec = quantizer.spec
        free = learn and not spec.is_native and spec.mx_name is None and not isinstance(spec.format, Binary)
        self.log_step = nn.Parameter(torch.zeros_like(quantizer.scale)) if free else None

    def scale(self) -> Tensor:
        """The scale as learned; of power-of-two designs the nearest power of two, with a straight-through gradient."""
        if self.log_step is None:
            return self.base
        exponent: Tensor = self.log_step
        if self.spec.scale == "pow2":
            octaves = exponent / _LN2
            exponent = (octaves + (octaves.round() - octaves).detach()) * _LN2
        return self.base * torch.exp(exponent)

    def forward(self, x: Tensor) -> Tensor:
        mask = self.bank.mask(x) if self.bank is not None else None
        if self.spec.is_native or self.spec.mx_name is not None:
            y = fake_quantize(x, self.spec, self.base) if self.spec.is_native else self._blocks(x)
            return y if mask is None else torch.lerp(x, y, mask)
        if self.spec.block != "tensor" or self.zero_point is not None:
            y = fake_quantize(x, self.spec, self.scale(), self.zero_point)
            return y if mask is None else torch.lerp(x, y, mask)
        apply: Any = _TensorStep.apply
        return apply(x, self.scale(), self.spec, mask)

    def _blocks(self, x: Tensor) -> Tensor:
        return fake_quantize_blocks(x.movedim(self.axis, -1), self.spec).movedim(-1, self.axis)

    def result(self) -> Tensor:
        """The scale to keep."""
        with torch.no_grad():
            return self.scale().detach().clone()


_LN2 = 0.6931471805599453


class _TensorStep(torch.autograd.Function):
    """One scale a tensor, any grid: y = x + m (s q(x / s) - x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, spec: Scaled, mask: Tensor | None) -> Tensor:
        y = quantize_values(x, spec, scale)
        if mask is not None:
            y = torch.lerp(x, y, mask)
        ctx.save_for_backward(x, scale, y, mask)
        ctx.spec = spec
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x, scale, y, mask = ctx.saved_tensors
        s, fmt = float(scale), ctx.spec.format
        live = grad if mask is None else grad * mask
        inside = torch.ops.aten.hardtanh_backward(live, x, fmt.min * s, fmt.max * s)
        for_scale = None
        if ctx.needs_input_grad[1]:
            # inside: q(u) - u, outside: the clip value, both times s: sum of live * y less that of inside * x
            for_scale = ((_dot(live, y) - _dot(inside, x)) / s).reshape(scale.shape)
        return (inside if mask is None else inside.add_(grad - live)), for_scale, None, None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    if a.is_contiguous() and b.is_contiguous():
        return torch.dot(a.view(-1), b.view(-1))
    return (a * b).sum()
