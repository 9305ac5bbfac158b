"""Rounding a buffer to the values of a format, in place: the inner loop of every fake quantization.

The exponent mask of a float gives 2^floor(log2|u|) with one integer `and`; raised to the smallest normal binade it is
2^mantissa local steps, and adding and subtracting 1.5 * 2^(p - mantissa) times it rounds half to even at that step
(p = 23 or 52 fraction bits of the working type). This needs neither logarithm nor division and is exact for every
format whose largest value times 2^p is finite. Source of the idea and of its speed against log2/exp2 and frexp:
measurement, see tests/benchmarks/test_kernel_speed.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hwsim.core.formats import Binary, Format, Int, Minifloat, Native, Power

_FRACTION_BITS = {torch.float32: 23, torch.float64: 52}
_EXPONENT_BIAS = {torch.float32: 127, torch.float64: 1023}
_EXPONENT_MASK = {torch.float32: 0x7F80_0000, torch.float64: 0x7FF0_0000_0000_0000}
_SAME_WIDTH = {torch.float32: torch.int32, torch.float64: torch.int64}


@dataclass(frozen=True, slots=True)
class Grid:
    """A format prepared for a working type.

    Attributes
    ----------
    kind : `integer` (step 1), `even` (one step, rounded by a constant), `binades` (a step a binade), `power`, `binary`.
    dtype : float32 or float64.
    low, high : smallest and largest value, in units of the scale it is used with.
    magic : what rounds by being added and subtracted; times the binade for `binades`.
    smallest_binade : bit pattern of the smallest normal binade.
    bare : no fraction bits: every significand is odd, and ties are broken by the exponent field instead.
    stretch : factor of every value that is not folded into the scale (real minifloat bias in float64), else 1.
    levels, exponent : of `power`.
    """

    kind: Literal["integer", "even", "binades", "power", "binary"]
    dtype: torch.dtype
    low: float
    high: float
    magic: float = 0.0
    smallest_binade: int = 0
    bare: bool = False
    stretch: float = 1.0
    levels: int = 0
    exponent: float = 1.0


def working_dtype(dtype: torch.dtype, fmt: Format) -> torch.dtype:
    """The type in which a tensor of `dtype` is quantized: float64 where float32 cannot hold the codes or the bias."""
    if dtype == torch.float64 or (isinstance(fmt, Int) and fmt.bits > 24):
        return torch.float64
    if isinstance(fmt, Minifloat) and abs(math.log2(fmt.stretch)) > 32:
        return torch.float64
    return torch.float32


@lru_cache(maxsize=1024)
def grid_of(fmt: Format, dtype: torch.dtype) -> tuple[Grid, float]:
    """The grid of a format that takes a scale, and the factor by which that scale must be multiplied.

    The factor is the power of two (or, in float32, the real number) by which an unusual minifloat bias stretches.
    """
    assert not isinstance(fmt, Native), "machine formats are casts"
    if isinstance(fmt, Int):
        return Grid("integer", dtype, float(fmt.min_code), float(fmt.max_code)), 1.0
    if isinstance(fmt, Binary):
        return Grid("binary", dtype, -1.0, 1.0), 1.0
    if isinstance(fmt, Power):
        return Grid("power", dtype, -1.0, 1.0, levels=fmt.max_code, exponent=fmt.exponent), 1.0
    plain = replace(fmt, bias=float(fmt.usual_bias))
    grid = binade_grid(plain.min, plain.max, fmt.emin, fmt.mantissa, dtype)
    if dtype == torch.float64 and math.frexp(fmt.stretch)[0] != 0.5:
        return replace(grid, stretch=fmt.stretch), 1.0
    return grid, fmt.stretch


def binade_grid(low: float, high: float, emin: int, mantissa: int, dtype: torch.dtype) -> Grid:
    """A floating-point grid: smallest normal binade 2^emin, `mantissa` fraction bits."""
    bits = _FRACTION_BITS[dtype]
    pattern = (emin + _EXPONENT_BIAS[dtype]) << bits
    return Grid("binades", dtype, low, high, 1.5 * 2.0 ** (bits - mantissa), pattern, mantissa == 0)


def stretched(scale: Tensor, stretch: float, dtype: torch.dtype) -> Tensor:
    """The scale times a factor of `grid_of`, rounded once to the working type."""
    return scale.to(dtype) if stretch == 1.0 else (scale.double() * stretch).to(dtype)


@lru_cache(maxsize=4096)
def folded(grid: Grid, scale: float) -> Grid | None:
    """The grid multiplied by a power of two, so that neither division nor multiplication is left; None if inexact."""
    fraction, exponent = math.frexp(scale)
    if fraction != 0.5 or grid.kind not in ("integer", "binades") or grid.stretch != 1.0:
        return None
    bits, bias = _FRACTION_BITS[grid.dtype], _EXPONENT_BIAS[grid.dtype]
    shift = exponent - 1
    least = shift if grid.kind == "integer" else (grid.smallest_binade >> bits) - bias + shift - bits
    most = math.log2(max(grid.high, -grid.low)) + shift + bits + 2
    if least < 1 - bias or most >= bias:
        return None
    scaled = replace(grid, low=grid.low * scale, high=grid.high * scale)
    if grid.kind == "binades":
        return replace(scaled, smallest_binade=grid.smallest_binade + (shift << bits))
    if max(grid.high, -grid.low) > 2 ** (bits - 1):
        return None
    return replace(scaled, kind="even", magic=1.5 * 2.0**bits * scale)


def needs_scratch(grid: Grid) -> bool:
    """Whether `round_` wants a scratch buffer."""
    return grid.kind == "binades"


def new_scratch(like: Tensor, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """An integer buffer as wide as the elements of `like`."""
    return torch.empty(shape, dtype=_SAME_WIDTH[like.dtype], device=like.device)


def binades(u: Tensor, out: Tensor | None = None) -> Tensor:
    """Bit patterns of 2^floor(log2|u|): 0 for zero and subnormals, that of Inf for Inf and NaN."""
    return torch.bitwise_and(u.view(_SAME_WIDTH[u.dtype]), _EXPONENT_MASK[u.dtype], out=out)


def even_fields(pattern: Tensor, grid: Grid) -> Tensor:
    """1 where the exponent field of a `bare` grid is even, else 0.

    Taken off the bit pattern of a number it moves a tie at 1.5 binades down to the even field; nothing else changes its
    nearest value, and zero, whose binade has field 1, stays.
    """
    return ((pattern - grid.smallest_binade) >> _FRACTION_BITS[grid.dtype]).bitwise_and_(1)


def round_(u: Tensor, grid: Grid, scratch: Tensor | None = None) -> Tensor:
    """Round `u` to `grid` in place: nearest, ties to even, saturating; NaN stays NaN. Returns `u`."""
    if grid.kind == "integer":
        return u.round_().clamp_(grid.low, grid.high)
    if grid.kind == "binary":
        # whatever is not zero becomes huge, zero becomes 0.5, NaN stays: far cheaper than masks
        huge = 2.0 ** _EXPONENT_BIAS[u.dtype]
        return u.mul_(huge).mul_(huge).add_(0.5).clamp_(-0.5, 0.5).mul_(2.0)
    if grid.kind == "power":
        return _round_power_(u, grid)
    if grid.stretch != 1.0:
        u.div_(grid.stretch)
    u.clamp_(grid.low, grid.high)
    _round_clamped_(u, grid, scratch)
    return u if grid.stretch == 1.0 else u.mul_(grid.stretch)


def clamp_and_round(x: Tensor, out: Tensor, grid: Grid, scratch: Tensor | None) -> Tensor:
    """`round_` from `x` into `out` for grids that a scale was folded into."""
    torch.clamp(x, grid.low, grid.high, out=out)
    return _round_clamped_(out, grid, scratch)


def _round_clamped_(u: Tensor, grid: Grid, scratch: Tensor | None) -> Tensor:
    if grid.kind == "even":
        return u.add_(grid.magic).sub_(grid.magic)
    pattern = binades(u, out=scratch).clamp_(min=grid.smallest_binade)
    if grid.bare:
        u.view(pattern.dtype).sub_(even_fields(pattern, grid))
    binade = pattern.view(u.dtype)
    return u.add_(binade, alpha=grid.magic).sub_(binade, alpha=grid.magic)


def _round_power_(u: Tensor, grid: Grid) -> Tensor:
    if grid.exponent == 0.5:
        code = u.abs().clamp_(max=1.0).sqrt_().mul_(grid.levels).round_()
        if u.dtype == torch.float32:  # codes squared are whole: one rounding
            return u.sign_().mul_(code.square_().div_(grid.levels**2))
        return u.sign_().mul_(code.div_(grid.levels).square_())  # as the reference rounds
    code = u.abs().clamp_(max=1.0).pow_(grid.exponent).mul_(grid.levels).round_()
    unknown = code.isnan()
    index = code.masked_fill_(unknown, 0).to(torch.int64)
    return u.sign_().mul_(_power_values(grid, u.device)[index]).masked_fill_(unknown, math.nan)


@lru_cache(maxsize=64)
def _power_values(grid: Grid, device: torch.device) -> Tensor:
    values = (np.arange(grid.levels + 1) / grid.levels) ** (1.0 / grid.exponent)
    return torch.from_numpy(values).to(device=device, dtype=grid.dtype)
