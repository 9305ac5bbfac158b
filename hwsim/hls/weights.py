"""Weight codes and biases in the form a stage stores them, with the exact width of its accumulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.core.codes import WeightCodes
from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Int
from hwsim.hls.fixed import FixedType, Grid, exponents_of_powers, of_values, union_of
from hwsim.hls.stages import Weights

Arrange = Callable[[NDArray[np.int64]], NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Everything a stage needs to multiply and accumulate.

    Attributes
    ----------
    weights : as stored.
    accumulator : holds the bias, every product and every partial sum.
    grid : values of the accumulator at the end, before shifts.
    shifts : left shift of each output channel; empty where all are zero.
    shifted : values after the shifts.
    """

    weights: Weights
    accumulator: FixedType
    grid: Grid
    shifts: tuple[int, ...]
    shifted: Grid


def products(
    codes: WeightCodes, bias: NDArray[np.float64] | None, acts: Grid, arrange: Arrange, where: str
) -> Products:
    """Weights and exact types of one layer.

    Weights are stored as codes of the format's own width under one power of two. Where output channels have
    different powers, the accumulator counts in the smallest one and each channel is shifted left by the difference.

    Parameters
    ----------
    codes : output channels first.
    bias : real values, one an output channel.
    acts : values of the input.
    arrange : from the codes as torch keeps them to the order of the hardware.
    """
    fmt = codes.spec.format
    assert isinstance(fmt, Int)
    exponents = _channel_exponents(codes, where)
    base = int(exponents.min())
    shifts = tuple(int(e) - base for e in exponents)
    step = base + acts.exponent
    bias = None if bias is None or not bias.any() else np.ldexp(bias, [-s for s in shifts])
    sums = _channel_sums(codes.codes, acts, step)
    totals = (
        sums
        if bias is None
        else [s.plus(of_values([b]).plus(Grid(step, 0, 0))) for s, b in zip(sums, bias, strict=True)]
    )
    grid = union_of(totals)
    shifted = union_of(_shifted(total, shift) for total, shift in zip(totals, shifts, strict=True))
    stored = Weights(
        np.ldexp(arrange(codes.codes).astype(np.float64), base),
        FixedType(fmt.bits, fmt.bits + base, fmt.signed),
        bias,
        None if bias is None else of_values(bias).type,
    )
    return Products(stored, union_of([*sums, grid]).type, grid, shifts if any(shifts) else (), shifted)


def _channel_exponents(codes: WeightCodes, where: str) -> NDArray[np.int64]:
    """log2 of the scale of each output channel; channels of zeros take the smallest, which costs no shift."""
    exponents = exponents_of_powers(codes.scale)
    if exponents is None:
        raise UnsupportedError("a weight scale is no power of two", where=where, hint="quantize with :pow2")
    channels = codes.codes.shape[0]
    each = np.broadcast_to(exponents.reshape(exponents.shape[0], -1)[:, 0], (channels,)).copy()
    used = codes.codes.reshape(channels, -1).any(axis=1)
    each[~used] = each[used].min() if used.any() else each.min()
    return each


def _channel_sums(codes: NDArray[np.int64], acts: Grid, exponent: int) -> list[Grid]:
    """Range of every partial sum of products, channel by channel; padding may leave out any of them."""
    flat = codes.reshape(codes.shape[0], -1)
    low, high = min(acts.low, 0), max(acts.high, 0)
    positive = [int(v) for v in np.where(flat > 0, flat, 0).sum(axis=1)]
    negative = [int(v) for v in np.where(flat < 0, flat, 0).sum(axis=1)]
    return [Grid(exponent, p * low + n * high, p * high + n * low) for p, n in zip(positive, negative, strict=True)]


def _shifted(grid: Grid, shift: int) -> Grid:
    return Grid(grid.exponent, grid.low << shift, grid.high << shift)
