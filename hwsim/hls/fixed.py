"""Fixed-point types and the exact ranges they are derived from.

A `Grid` says which values a tensor may take: integers between two bounds, times a power of two. Every operator of an
exported network maps grids to grids without rounding, so the narrowest `FixedType` that holds a grid is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.formats import Int
from hwsim.core.requantize import hls_quantization

EXACT_BITS = 53  # significand of float64, in which an export is compared with the quantized network


@dataclass(frozen=True, slots=True)
class FixedType:
    """An `ap_fixed` or `ap_ufixed` type.

    Attributes
    ----------
    bits, integer : width, and bits left of the binary point (negative, or beyond the width, where scales ask for it).
    modes : rounding and saturation in hls4ml's spelling, e.g. `RND_CONV,SAT`; empty: truncate and wrap, which
        never happens in a type that was derived from a grid.
    """

    bits: int
    integer: int
    signed: bool
    modes: str = ""

    @property
    def exponent(self) -> int:
        """Power of two of the least significant bit."""
        return self.integer - self.bits

    def __str__(self) -> str:
        kind = "ap_fixed" if self.signed else "ap_ufixed"
        return f"{kind}<{self.bits},{self.integer}{',' + self.modes if self.modes else ''}>"


@dataclass(frozen=True, slots=True)
class Grid:
    """The values k 2^exponent with low <= k <= high."""

    exponent: int
    low: int
    high: int

    def at(self, exponent: int) -> Grid:
        """The same values counted in a finer step."""
        shift = self.exponent - exponent
        assert shift >= 0, "a grid has no coarser step"
        return Grid(exponent, self.low << shift, self.high << shift)

    def union(self, other: Grid) -> Grid:
        a, b = _aligned(self, other)
        return Grid(a.exponent, min(a.low, b.low), max(a.high, b.high))

    def plus(self, other: Grid) -> Grid:
        """Sums of a value of each."""
        a, b = _aligned(self, other)
        return Grid(a.exponent, a.low + b.low, a.high + b.high)

    def mean(self, log2_count: int) -> Grid:
        """Means of 2^log2_count values."""
        return Grid(self.exponent - log2_count, self.low << log2_count, self.high << log2_count)

    def at_least(self, bound: float) -> Grid:
        """max(value, bound)."""
        limit = of_values([bound])
        a, b = _aligned(self, limit)
        return Grid(a.exponent, max(a.low, b.low), max(a.high, b.low))

    def at_most(self, bound: float) -> Grid:
        """min(value, bound)."""
        limit = of_values([bound])
        a, b = _aligned(self, limit)
        return Grid(a.exponent, min(a.low, b.high), min(a.high, b.high))

    @property
    def type(self) -> FixedType:
        """The narrowest type that holds every value, with at least one bit beside the sign."""
        signed = self.low < 0
        bits = max((~self.low).bit_length() if signed else 0, max(self.high, 0).bit_length()) + signed
        bits = max(bits, 1 + signed)  # a tensor of zeros still has a wire
        return FixedType(bits, bits + self.exponent, signed)


def quantized(fmt: Int, exponent: int) -> tuple[Grid, FixedType]:
    """Grid and rounding, saturating type of a tensor quantized to `fmt` with scale 2^exponent."""
    grid = Grid(exponent, fmt.min_code, fmt.max_code)
    return grid, FixedType(fmt.bits, fmt.bits + exponent, fmt.signed, hls_quantization(fmt))


def of_values(values: ArrayLike) -> Grid:
    """The coarsest grid that holds all of the finite real numbers."""
    v = np.asarray(values, dtype=np.float64).ravel()
    v = v[v != 0]
    if not v.size:
        return Grid(0, 0, 0)
    exponent = int(least_exponents(v).min())
    scaled = [int(x) for x in np.ldexp(v, -exponent)]
    return Grid(exponent, min(scaled), max(scaled))


def least_exponents(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Power of two of the last set bit of each non-zero number."""
    significand, exponent = np.frexp(values)
    whole = np.abs(np.ldexp(significand, EXACT_BITS)).astype(np.int64)
    last = whole & -whole
    return exponent.astype(np.int64) - EXACT_BITS + np.log2(last.astype(np.float64)).astype(np.int64)


def exponents_of_powers(scale: ArrayLike) -> NDArray[np.int64] | None:
    """log2 of scales that are all powers of two, or None."""
    s = np.asarray(scale, dtype=np.float64)
    significand, exponent = np.frexp(s)
    if not (np.isfinite(s).all() and (significand == 0.5).all()):
        return None
    return exponent.astype(np.int64) - 1


def union_of(grids: Iterable[Grid]) -> Grid:
    """All values of several grids."""
    first, *rest = grids
    for grid in rest:
        first = first.union(grid)
    return first


def _aligned(a: Grid, b: Grid) -> tuple[Grid, Grid]:
    step = min(a.exponent, b.exponent)
    return a.at(step), b.at(step)
