"""Fake quantization: the values of a format in a float tensor, for every format and granularity.

value = scale * (q(x / scale + zero_point) - zero_point), with q rounding half to even and saturating. Division by the
scale, not multiplication by its inverse: the inverse moves a few values in ten million across a tie. A scalar scale
that is a power of two is folded into the grid instead, with the same result (measured: a quarter faster on tensors that
stay in the cache). The exact reference is `hwsim.core.codes.round_to`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hwsim.core.errors import InputError
from hwsim.core.formats import Native
from hwsim.core.scaled import Scaled
from hwsim.quant.coding import to_codes
from hwsim.quant.grids import Grid, binade_grid, grid_of, stretched, working_dtype
from hwsim.quant.groups import check_groups, factor_view, group_views
from hwsim.quant.sweep import safe_divisor, storage_order, sweep

__all__ = ["fake_quantize", "quantize_values", "to_codes"]

_FLOAT64_GRIDS = {"fp32": (-126, 23), "fp16": (-14, 10), "bf16": (-126, 7)}  # smallest normal exponent, fraction bits
_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def fake_quantize(
    x: Tensor,
    spec: Scaled,
    scale: Tensor,
    zero_point: Tensor | None = None,
    *,
    inplace: bool = False,
    relu: bool = False,
) -> Tensor:
    """Quantize and dequantize `x`.

    Parameters
    ----------
    x : floating point, any shape and memory order. float64 is exact, float32 is computed in float32, 16-bit types
        are computed in float32 and cast back.
    spec : format and granularity; machine formats (`fp16`, ...) ignore the scale.
    scale : positive; one element, or any shape that broadcasts over `x`: (C, 1, 1, 1) for a weight by output channel,
        (1, C, 1, 1) for an activation by channel. With groups or blocks (`spec.block` a number): (C, number of groups)
        over the flattened axes after the first, the last group possibly short.
    zero_point : whole numbers in code units, shaped like `scale` or of one element.
    inplace : overwrite `x`; saves the allocation, which costs more than the arithmetic on large activations. Ignored
        when a gradient is wanted.
    relu : quantize max(x, 0), without a pass of its own. Unsigned formats without zero point do so anyway, since they
        clip at zero.

    Returns
    -------
    Tensor
        In the type, shape and memory order of `x`. NaN stays NaN; infinities saturate (`none` leaves them).
        Where `x`, `scale` or `zero_point` requires a gradient, it is the straight-through one
        (`hwsim.quant.straight_through`).

    Raises
    ------
    InputError
        For tensors that are not floating point, a scale that is not positive or does not fit the shape.
    """
    if torch.is_grad_enabled() and (
        x.requires_grad or scale.requires_grad or (zero_point is not None and zero_point.requires_grad)
    ):
        from hwsim.quant.straight_through import fake_quantize_with_gradient

        return fake_quantize_with_gradient(x, spec, scale, zero_point, relu=relu)
    return quantize_values(x, spec, scale, zero_point, inplace=inplace, relu=relu)


def quantize_values(
    x: Tensor,
    spec: Scaled,
    scale: Tensor,
    zero_point: Tensor | None = None,
    *,
    inplace: bool = False,
    relu: bool = False,
) -> Tensor:
    """`fake_quantize` without the question whether a gradient is wanted."""
    if not x.is_floating_point():
        raise InputError(f"a tensor of {x.dtype}", where="fake_quantize", hint="floating-point tensors are quantized")
    fmt = spec.format
    if isinstance(fmt, Native):
        return _native(x, fmt, inplace, relu)
    dtype = working_dtype(x.dtype, fmt)
    work = x if x.dtype == dtype else x.to(dtype)
    order = storage_order(work)
    if order is None:
        work = work.contiguous()
    out = work if inplace or work is not x else torch.empty_like(work)
    grid, stretch = grid_of(fmt, dtype)
    if zero_point is not None:
        zero_point = zero_point.to(dtype)
    if isinstance(spec.block, int) and scale.dim() == 2:
        _fill_groups(work, out, spec, grid, stretched(scale, stretch, dtype), zero_point, relu)
    elif scale.numel() == 1 and (zero_point is None or zero_point.numel() == 1):
        _fill_tensor(work, out, grid, _number(scale) * stretch, zero_point, order, relu)
    else:
        _fill_channels(work, out, grid, stretched(scale, stretch, dtype), zero_point, order, relu)
    if out is x or (not inplace and out.dtype == x.dtype):
        return out
    return x.copy_(out) if inplace else out.to(x.dtype)


def _fill_tensor(
    x: Tensor,
    out: Tensor,
    grid: Grid,
    scale: float,
    zero_point: Tensor | None,
    order: tuple[int, ...] | None,
    relu: bool,
) -> None:
    """One scale: all elements in the order in which they lie in memory."""
    if order is not None and not x.is_contiguous():
        x, out = x.permute(order), out.permute(order)
    offset = None if zero_point is None else float(zero_point)
    sweep(x.view(-1), out.view(-1), grid, scale, offset, relu=relu)


def _fill_channels(
    x: Tensor,
    out: Tensor,
    grid: Grid,
    scale: Tensor,
    zero_point: Tensor | None,
    order: tuple[int, ...] | None,
    relu: bool,
) -> None:
    """A scale of any shape that broadcasts; by far the most are along a single axis, which becomes rows."""
    factors = _alike([_broadcastable(f, x) for f in (scale, zero_point) if f is not None])
    if order is not None:
        x, out = x.permute(order), out.permute(order)
        factors = [f.permute(order) for f in factors]
    axes = [axis for axis, size in enumerate(factors[0].shape) if size > 1]
    if len(axes) == 1:
        axis = axes[0]
        outer, channels = math.prod(x.shape[:axis]), x.shape[axis]
        inner = x.numel() // max(1, outer * channels)
        if inner > 1:
            x, out = x.view(outer * channels, inner), out.view(outer * channels, inner)
            factors = [f.reshape(1, channels).expand(outer, channels).reshape(-1, 1) for f in factors]
        else:
            x, out = x.view(outer, channels), out.view(outer, channels)
            factors = [f.reshape(1, channels) for f in factors]
    sweep(x, out, grid, factors[0], factors[1] if len(factors) == 2 else None, relu=relu)


def _fill_groups(
    x: Tensor, out: Tensor, spec: Scaled, grid: Grid, scale: Tensor, zero_point: Tensor | None, relu: bool
) -> None:
    assert isinstance(spec.block, int)
    check_groups(x, spec.block, scale)
    source = x.contiguous().view(x.shape[0], -1)
    target = source if out is x else out.view(source.shape) if out.is_contiguous() else torch.empty_like(source)
    factors = [scale] if zero_point is None else _alike([scale, zero_point])
    views = zip(group_views(source, spec.block), group_views(target, spec.block), strict=True)
    for (groups, columns), (result, _) in views:
        s, *rest = (factor_view(f, columns, groups) for f in factors)
        divisor = safe_divisor(s) if spec.scale == "e4m3" else None
        sweep(groups, result, grid, s, rest[0] if rest else None, divisor=divisor, relu=relu)
    if target.data_ptr() != out.data_ptr():
        out.copy_(target.view(x.shape))


def _native(x: Tensor, fmt: Native, inplace: bool, relu: bool) -> Tensor:
    if fmt.name == "none":
        return (torch.relu_(x) if inplace else torch.relu(x)) if relu else x
    low = 0.0 if relu else fmt.min
    if x.dtype == torch.float64:  # a cast from float64 would round twice
        emin, fraction = _FLOAT64_GRIDS[fmt.name]
        out = x.contiguous()
        out = out if inplace and out is x else torch.empty_like(out)
        sweep(x.reshape(-1), out.view(-1), binade_grid(low, fmt.max, emin, fraction, x.dtype), 1.0)
        return x.copy_(out) if inplace and out is not x else out
    out = x.clamp_(low, fmt.max) if inplace else x.clamp(low, fmt.max)
    return out if fmt.name not in _TYPES else out.copy_(out.to(_TYPES[fmt.name]))


def _broadcastable(factor: Tensor, x: Tensor) -> Tensor:
    if factor.numel() == 1:
        return factor.reshape((1,) * x.dim())
    try:
        fits = np.broadcast_shapes(tuple(factor.shape), tuple(x.shape)) == tuple(x.shape)
    except ValueError:
        fits = False
    if not fits:
        raise InputError(
            f"a scale of shape {tuple(factor.shape)} for a tensor of shape {tuple(x.shape)}",
            where="fake_quantize",
            hint="it must broadcast: (C, 1, ...) for a weight by channel, (1, C, 1, ...) for an activation",
        )
    return factor.reshape((1,) * (x.dim() - factor.dim()) + tuple(factor.shape))


def _alike(factors: list[Tensor]) -> list[Tensor]:
    """A scale and a zero point of the same shape."""
    shape = np.broadcast_shapes(*(tuple(f.shape) for f in factors))
    return [f.expand(shape) for f in factors]


def _number(scale: Tensor) -> float:
    value = float(scale)
    if not 0.0 < value < math.inf:
        raise InputError(f"a scale of {value}", where="fake_quantize", hint="scales are positive and finite")
    return value
