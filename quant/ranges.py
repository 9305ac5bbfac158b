"""From a range of values to a scale and a zero point, and the search for the scale of least error.

Everything works on rows: a row is what shares one scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.core.formats import Int
from hwsim.core.scaled import Scaled
from hwsim.quant.grids import grid_of, stretched
from hwsim.quant.settings import check_ranges
from hwsim.quant.sweep import sweep

_PIECE = 1 << 17
_ROWS = 1 << 14  # searched at a time, which bounds the memory for positions
_OCTAVES = 8  # the search, from twice the scale of the largest magnitude downward
_OCTAVE = 512  # positions of the lattice
_STEPS = (256, 16, 4, 1)  # of the rounds of the search
_KEEP = (1, 3, 2)  # minima followed from each round to the next
_NEAR = (-128, 512)  # searched at the second step in any case
_NOWHERE = torch.iinfo(torch.int64).max  # sorts last


@dataclass(frozen=True, slots=True)
class MinMax:
    """Scales from the largest magnitude, or from minimum and maximum with a zero point."""


@dataclass(frozen=True, slots=True)
class Percentile:
    """Scales from a percentile of magnitudes; with a zero point, from that percentile at both ends.

    Attributes
    ----------
    batch : calibration rows of a batch; the mean over batches of each one's percentile, as Brevitas takes it. 0 for the
        percentile of all values, which lies higher where few rows hold the outliers. Networks of a fixed batch have
        batches of that size.
    """

    percent: float = 99.999
    batch: int = 0

    def __post_init__(self) -> None:
        check_ranges("percentile", percent=(self.percent, 0.0, 100.0), batch=(self.batch, 0, 4096))


@dataclass(frozen=True, slots=True)
class MSE:
    """The scale of least squared error among `candidates`."""

    candidates: int = 100

    def __post_init__(self) -> None:
        check_ranges("mse", candidates=(self.candidates, 2, 100_000))


@dataclass(frozen=True, slots=True)
class Lp:
    """The scale of least sum |error|^p among `candidates`; p = 2.4 as in the code of BRECQ (arXiv 2102.05426)."""

    p: float = 2.4
    candidates: int = 100

    def __post_init__(self) -> None:
        check_ranges("lp", p=(self.p, 0.5, 16.0), candidates=(self.candidates, 2, 100_000))


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
    """Scale and zero point of least sum |error|^p for each row: `search_ranges` for a single p."""
    return search_ranges(rows, low, high, spec, (p,), candidates)[0]


def search_ranges(
    rows: Tensor, low: Tensor, high: Tensor, spec: Scaled, ps: Sequence[float], candidates: int
) -> list[tuple[Tensor, Tensor | None]]:
    """For each p, scale and zero point of least sum |error|^p for each row.

    The range is shrunk (or widened up to twice) by factors on a lattice of 1/512 octave. All of eight octaves are tried
    at 1/2 octave; then, at 1/32, the octave around the best and what lies from 1/4 octave below the range to one above,
    where nothing is clipped and the error of few values is ragged; then the neighbourhoods of the three best minima at
    1/128 and of the two best of those at 1/512. Measured on rows of 72 normal values in e4m3: 0.1 % above a scan of the
    whole lattice on average, 4 % at worst, with 92 trials. Powers of two are few and all tried. The range itself
    is always a candidate, so the result is never worse than `scale_of_range` on the same data. What is quantized once
    serves every p.

    Parameters
    ----------
    rows : shape (R, L), float32 or float64.
    low, high : shape (R,); may reach beyond `rows`, where those are a sample.
    ps : 0.5 or more; multiples of 1/2 up to 4 are several times as fast as others.
    candidates : about how many to try for each p, at least 70; other numbers than 100 follow more or fewer minima.
    """
    parts = zip(rows.split(_ROWS), low.double().split(_ROWS), high.double().split(_ROWS), strict=True)
    found = [_search(*part, spec, tuple(ps), candidates) for part in parts]
    scales = [torch.cat([part[i][0] for part in found]) for i in range(len(ps))]
    if not spec.zero_point:
        return [(scale, None) for scale in scales]
    zeros = [torch.cat([zero for part in found if (zero := part[i][1]) is not None]) for i in range(len(ps))]
    return list(zip(scales, zeros, strict=True))


def _search(
    rows: Tensor, low: Tensor, high: Tensor, spec: Scaled, ps: tuple[float, ...], candidates: int
) -> list[tuple[Tensor, Tensor | None]]:
    trial = _Trial(*_moderate(rows, low, high), spec, ps)
    top, bottom = _OCTAVE, -(_OCTAVES - 1) * _OCTAVE
    if spec.scale == "pow2":
        at = torch.arange(top, bottom - 1, -_OCTAVE)[:, None].expand(-1, len(low))
        chosen = [at.gather(0, errors.argmin(0)[None])[0] for errors in trial.errors(at)]
        return [_ranges_at(position, low, high, spec) for position in chosen]
    at = torch.arange(bottom, top + 1, _STEPS[0])[:, None].expand(-1, len(low))
    tried = [(at, errors) for errors in trial.errors(at)]
    for width, step, keep in zip(_STEPS[:-1], _STEPS[1:], _KEEP, strict=True):
        best = [_minima(at, errors, max(1, round(keep * candidates / 100))) for at, errors in tried]
        tried = _refine(trial, best, width, step, _NEAR if width == _STEPS[0] else (0, -1))
    return [_ranges_at(_minima(at, errors, 1)[0][0], low, high, spec) for at, errors in tried]


def _moderate(rows: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and ranges times powers of two such that fourth powers of errors neither overflow nor vanish in float32."""
    exponent = torch.frexp(torch.maximum(high.clamp(min=0.0), -low)).exponent
    if int(exponent.abs().max()) <= 10:
        return rows, low, high
    factor = torch.ldexp(torch.ones_like(low), -exponent)
    return (rows.double() * factor[:, None]).to(rows.dtype), low * factor, high * factor


def _ranges_at(at: Tensor, low: Tensor, high: Tensor, spec: Scaled) -> tuple[Tensor, Tensor | None]:
    """Scales and zero points of ranges times 2^(position / 512), positions (..., R)."""
    factor = torch.exp2(at.double() / _OCTAVE)
    return scale_of_range(low * factor, high * factor, spec)


def _refine(
    trial: _Trial, best: list[tuple[Tensor, Tensor]], width: int, step: int, near: tuple[int, int]
) -> list[tuple[Tensor, Tensor]]:
    """Positions and errors around the best positions of each p and from `near[0]` to `near[1]`, in order.

    The best positions themselves are among them.
    """
    offsets = torch.tensor([o for o in range(step - width, width, step) if o])
    fixed = torch.arange(near[0], near[1] + 1, step)[:, None].expand(-1, trial.rows.shape[0])
    at = _distinct(torch.cat([fixed, *((centers[:, None] + offsets[:, None]).flatten(0, 1) for centers, _ in best)]))
    wanted = []
    for centers, _ in best:
        distance = (at[:, None] - centers).abs()
        mask = (distance < width).any(1) | ((at >= near[0]) & (at <= near[1]))
        mask &= (distance > 0).all(1)
        mask[1:] &= at[1:] != at[:-1]
        wanted.append(mask)
    found = []
    sums = trial.errors(at, torch.stack(wanted).any(2))
    for (centers, known), mask, errors in zip(best, wanted, sums, strict=True):
        places = torch.cat([centers, at.masked_fill(~mask, _NOWHERE)])
        all_errors = torch.cat([known, errors.masked_fill(~mask, math.inf)])
        found.append(_pick(places, all_errors, places.argsort(dim=0, stable=True)))
    return found


def _distinct(at: Tensor) -> Tensor:
    """Each column sorted without repetition; short columns end with their last value again."""
    at = at.sort(0).values
    last = at[-1]
    at[1:].masked_fill_(at[1:] == at[:-1], _NOWHERE)
    at = at.sort(0).values
    count = int((at <= last).sum(0).max())
    return torch.minimum(at[:count], last)


def _minima(at: Tensor, errors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Positions and errors of the `count` least local minima along each column; the least again where there are less.

    Positions rise; those without an error (infinite) stand last.
    """
    edge = errors.new_full((1, errors.shape[1]), math.inf)
    padded = torch.cat([edge, errors, edge])
    local = (errors < padded[:-2]) & (errors <= padded[2:])
    index = errors.masked_fill(~local, math.inf).argsort(dim=0, stable=True)[:count]
    index = torch.where(local.gather(0, index), index, index[:1])
    return _pick(at, errors, index)


def _pick(at: Tensor, errors: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    return at.gather(0, index), errors.gather(0, index)


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """Rows to be quantized with their range times 2^(position / 512)."""

    rows: Tensor
    low: Tensor
    high: Tensor
    spec: Scaled
    ps: tuple[float, ...]

    def errors(self, at: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Sums |error|^p at positions (K, R), shape (number of p, K, R); only where `wanted` (number of p, K)."""
        scales, zeros = _ranges_at(at, self.low, self.high, self.spec)
        grid, stretch = grid_of(self.spec.format, self.rows.dtype)
        sums = torch.zeros((len(self.ps), *at.shape), dtype=torch.float64)
        asked = torch.ones(sums.shape[:2], dtype=torch.bool) if wanted is None else wanted
        which = [column.nonzero().flatten() for column in asked.T]
        chosen = [tuple(self.ps[int(i)] for i in index) for index in which]
        step = max(1, _PIECE // max(1, self.rows.shape[1]))
        for start in range(0, self.rows.shape[0], step):
            cut = slice(start, start + step)
            units = stretched(scales[:, cut], stretch, self.rows.dtype)[:, :, None]
            offsets = None if zeros is None else zeros[:, cut].to(self.rows.dtype)[:, :, None]
            for piece in torch.split(self.rows[cut], _PIECE, dim=1):
                buffer = torch.empty_like(piece, memory_format=torch.contiguous_format)
                for k in (k for k, ps in enumerate(chosen) if ps):
                    sweep(piece, buffer, grid, units[k], None if offsets is None else offsets[k])
                    sums[which[k], k, cut] += power_sums(buffer.sub_(piece), chosen[k])
        return sums


def power_sums(error: Tensor, ps: Sequence[float]) -> Tensor:
    """Sums |error|^p over the last axis of (R, L), shape (number of p, R), float64; `error` is overwritten.

    Multiples of 1/2 up to 4 are products of the magnitude, its square and its root.
    """
    if tuple(ps) == (2.0,):
        return error.square_().sum(1, dtype=torch.float64)[None]
    error.abs_()
    square = error.square() if any(p in (2.0, 2.5, 3.0, 3.5, 4.0) for p in ps) else error
    root = error.sqrt() if any(p in (0.5, 1.5, 2.5, 3.5) for p in ps) else error
    factors = {
        0.5: (root,),
        1.0: (error,),
        1.5: (error, root),
        2.0: (square,),
        2.5: (square, root),
        3.0: (square, error),
        3.5: (square, error, root),
        4.0: (square, square),
    }
    sums = []
    for p in ps:
        term = factors[p][0] if p in factors else error.pow(p)
        for factor in factors.get(p, ())[1:]:
            term = term * factor
        sums.append(term.sum(1, dtype=torch.float64))
    return torch.stack(sums)


def _allowed(scale: Tensor, spec: Scaled) -> Tensor:
    """Scales as the type allows them; 1 where there is nothing to represent."""
    # float32 holds the scale of any float32 tensor; below its normal range a quotient by the scale would lose bits
    dead = scale < 2.0**-126
    if spec.scale == "pow2":
        fraction, exponent = torch.frexp(scale)
        exponent = torch.where(fraction == 0.5, exponent - 1, exponent)
        scale = torch.ldexp(torch.ones_like(scale), exponent)
    return torch.where(dead, torch.ones_like(scale), scale)
