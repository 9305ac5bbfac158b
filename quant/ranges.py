"""From a range of values to a scale and a zero point, and the search for the scale of least error.

Everything works on rows: a row is what shares one scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.core.formats import Int
from hwsim.core.scaled import Scaled
from hwsim.quant.grids import Grid, grid_of, stretched
from hwsim.quant.sweep import sweep

_PIECE = 1 << 17
_OCTAVES = 8  # the coarse search, from twice the scale of the largest magnitude downward


@dataclass(frozen=True, slots=True)
class MinMax:
    """Scales from the largest magnitude, or from minimum and maximum with a zero point."""


@dataclass(frozen=True, slots=True)
class Percentile:
    """Scales from a percentile of magnitudes; with a zero point, from that percentile at both ends."""

    percent: float = 99.999


@dataclass(frozen=True, slots=True)
class MSE:
    """The scale of least squared error among `candidates`."""

    candidates: int = 100


@dataclass(frozen=True, slots=True)
class Lp:
    """The scale of least sum |error|^p among `candidates`; p = 2.4 as in the code of BRECQ (arXiv 2102.05426)."""

    p: float = 2.4
    candidates: int = 100


Method = MinMax | Percentile | MSE | Lp


def scale_of_range(low: Tensor, high: Tensor, spec: Scaled) -> tuple[Tensor, Tensor | None]:
    """Scale and zero point (None unless `spec.zero_point`) of rows with these smallest and largest values.

    Without a zero point the scale is the largest magnitude (of unsigned formats the largest value) over the largest
    value of the format, as in arXiv 2311.12359; with one it is (max - min) over the number of steps, the range widened
    to hold zero. `pow2` scales are rounded up. Rows without a value to represent get scale 1.
    float64, shaped like `low`.
    """
    low, high = low.double().clamp(max=0.0), high.double().clamp(min=0.0)
    fmt = spec.format
    if spec.zero_point:
        assert isinstance(fmt, Int)
        scale = _allowed((high - low) / (fmt.max_code - fmt.min_code), spec)
        zero = (fmt.min_code - low / scale).round().clamp(fmt.min_code, fmt.max_code)
        return scale, zero
    top = high if fmt.min == 0.0 else torch.maximum(high, -low)
    return _allowed(top / fmt.max, spec), None


def search_range(
    rows: Tensor, low: Tensor, high: Tensor, spec: Scaled, p: float, candidates: int
) -> tuple[Tensor, Tensor | None]:
    """Scale and zero point of least sum |error|^p for each row.

    The range is shrunk (or widened up to twice) by factors: half of the candidates evenly spaced in octaves over
    eight octaves, then the other half over the octave around each row's best, since the values of a minifloat repeat
    by octave and so do the minima of the error. Powers of two are few and all tried. The range itself is always a
    candidate, so the result is never worse than `scale_of_range` on the same data.

    Parameters
    ----------
    rows : shape (R, L), float32 or float64.
    low, high : shape (R,); may reach beyond `rows`, where those are a sample.
    """
    if spec.scale == "pow2":
        factors = 2.0 ** torch.arange(1, -_OCTAVES, -1, dtype=torch.float64)
        return _best(rows, low, high, spec, p, factors[:, None].expand(-1, len(low)))[1:]
    coarse = 2.0 ** torch.linspace(1.0, 1.0 - _OCTAVES, max(2, candidates // 2), dtype=torch.float64)
    coarse = torch.cat([torch.ones(1, dtype=torch.float64), coarse])
    center, *_ = _best(rows, low, high, spec, p, coarse[:, None].expand(-1, len(low)))
    fine = 2.0 ** torch.linspace(0.5, -0.5, max(2, candidates - candidates // 2) | 1, dtype=torch.float64)
    factors = torch.cat([fine[:, None] * center, torch.ones(1, len(low), dtype=torch.float64)])
    return _best(rows, low, high, spec, p, factors)[1:]


def _best(
    rows: Tensor, low: Tensor, high: Tensor, spec: Scaled, p: float, factors: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The best of `factors` (K, R) for each row, with its scale and zero point."""
    ranges = [scale_of_range(low.double() * f, high.double() * f, spec) for f in factors]
    grid, stretch = grid_of(spec.format, rows.dtype)
    errors = torch.zeros(factors.shape, dtype=torch.float64)
    step = max(1, _PIECE // max(1, rows.shape[1]))
    for start in range(0, rows.shape[0], step):
        cut = slice(start, start + step)
        for piece in torch.split(rows[cut], _PIECE, dim=1):
            buffer = torch.empty_like(piece, memory_format=torch.contiguous_format)
            for k, (scale, zero) in enumerate(ranges):
                unit = stretched(scale[cut], stretch, rows.dtype)[:, None]
                offset = None if zero is None else zero[cut].to(rows.dtype)[:, None]
                errors[k, cut] += _error(piece, buffer, grid, unit, offset, p)
    chosen = errors.argmin(0)
    pick = torch.arange(len(low))
    scales = torch.stack([scale for scale, _ in ranges])[chosen, pick]
    zeros = torch.stack([zero for _, zero in ranges if zero is not None]) if spec.zero_point else None
    return factors[chosen, pick], scales, None if zeros is None else zeros[chosen, pick]


def _error(piece: Tensor, buffer: Tensor, grid: Grid, unit: Tensor, offset: Tensor | None, p: float) -> Tensor:
    sweep(piece, buffer, grid, unit, offset)
    buffer.sub_(piece)
    if p == 2.0:
        return buffer.square_().sum(1, dtype=torch.float64)
    return buffer.abs_().pow_(p).sum(1, dtype=torch.float64)


def _allowed(scale: Tensor, spec: Scaled) -> Tensor:
    """Scales as the type allows them; 1 where there is nothing to represent."""
    # float32 holds the scale of any float32 tensor; below its normal range a quotient by the scale would lose bits
    dead = scale < 2.0**-126
    if spec.scale == "pow2":
        fraction, exponent = torch.frexp(scale)
        exponent = torch.where(fraction == 0.5, exponent - 1, exponent)
        scale = torch.ldexp(torch.ones_like(scale), exponent)
    return torch.where(dead, torch.ones_like(scale), scale)
