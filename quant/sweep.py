"""Applying a grid and its scales to a whole tensor, in pieces that stay in the cache.

A fake quantization is four to eight arithmetic operations an element. Run over a large tensor one after the other,
each goes through main memory; run piece by piece, all but the first read and the last write stay in the cache.
Measured on one core of an AMD EPYC with 1 MiB of L2 (4096 x 4096 float32, e4m3): whole tensor 2.8 times a clone,
pieces of 128 Ki elements 1.3 times, of 8 Ki elements 2.4 times (the call overhead of torch).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from hwsim.quant.grids import Grid, clamp_and_round, folded, needs_scratch, new_scratch, round_

PIECE = 1 << 17  # elements a thread
Factor = float | Tensor


def sweep(
    x: Tensor,
    out: Tensor,
    grid: Grid,
    scale: Factor,
    zero_point: Factor | None = None,
    *,
    divisor: Factor | None = None,
    relu: bool = False,
) -> Tensor:
    """Write `scale * (q(x / divisor + zero_point) - zero_point)` into `out`, piece by piece along the first axis.

    Parameters
    ----------
    x, out : of `grid.dtype`, same shape, at least one axis; they may be the same tensor.
    scale, zero_point : numbers, or tensors with as many axes as `x` that broadcast over it.
    divisor : what `x` is divided by, the scale unless given.
    relu : negative elements become zero first.
    """
    if x.numel() == 0:
        return out
    length = x.shape[0]
    step = max(1, piece_elements(x) * length // x.numel())
    clip_first = relu and (zero_point is not None or grid.kind in ("power", "binary"))
    if relu and not clip_first:
        grid = replace(grid, low=max(grid.low, 0.0))
    exact = folded(grid, scale) if isinstance(scale, float) and zero_point is None and divisor is None else None
    scratch = new_scratch(out, (min(step, length), *x.shape[1:])) if needs_scratch(grid) else None
    divisor = scale if divisor is None else divisor
    if grid.kind == "binary":
        divisor = 1.0  # the sign is all that counts, and a quotient can underflow
    for start in range(0, length, step):
        cut = slice(start, start + step)
        piece, target = x[cut], out[cut]
        buffer = scratch[: target.shape[0]] if scratch is not None else None
        if exact is not None:
            clamp_and_round(piece, target, exact, buffer)
            continue
        torch.div(piece, _part(divisor, cut), out=target)
        if clip_first:
            target.clamp_(min=0.0)
        if zero_point is None:
            round_(target, grid, buffer)
        else:
            offset = _part(zero_point, cut)
            round_(target.add_(offset), grid, buffer).sub_(offset)
        target.mul_(_part(scale, cut))
    return out


def piece_elements(x: Tensor) -> int:
    """How many elements to process at a time: a cache's worth for every thread, everything on other devices."""
    return PIECE * torch.get_num_threads() if x.device.type == "cpu" else max(1, x.numel())


def safe_divisor(scale: Tensor) -> Tensor:
    """The scale with infinity for zero: a block whose scale underflowed becomes zeros, without a division by zero."""
    return scale.masked_fill(scale == 0, math.inf)


def storage_order(x: Tensor) -> tuple[int, ...] | None:
    """The order of axes in which `x` is contiguous; None if there is none (gaps, expanded axes)."""
    if x.is_contiguous():
        return tuple(range(x.dim()))
    strides = x.stride()
    order = tuple(sorted(range(x.dim()), key=lambda axis: -strides[axis]))
    return order if x.permute(order).is_contiguous() else None


def _part(factor: Factor, cut: slice) -> Factor:
    return factor if isinstance(factor, float) or factor.shape[0] == 1 else factor[cut]
