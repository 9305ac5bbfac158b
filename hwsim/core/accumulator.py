"""Widths of accumulators that never wrap.

Every operand is an integer multiple of its smallest step, so a dot product is an integer multiple of the product of the
two smallest steps, and an exact (Kulisch-style) accumulator is an integer. Three conventions:

- `tight`: 1 + bit_length(n max|w| max|a|), from the data types.
- `weights`: 1 + bit_length(max over channels of sum|w| times max|a|), from the actual codes (the l1 bound of A2Q,
  arXiv 2308.13504, eq. 6).
- `paper`: the closed forms printed with arXiv 2311.12359 (loose by up to two bits for integers).
"""

from __future__ import annotations

from math import ceil, log2
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hwsim.core.codes import decode
from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Format, Int, Minifloat, Native, Power

Convention = Literal["tight", "weights", "paper"]


def unit(fmt: Format) -> float:
    """The step of which every value of `fmt` is an integer multiple.

    For `Power` with exponent 1/2 it is 1/L^2 (squared codes); other powers have no common step and raise InputError.
    """
    if isinstance(fmt, Int | Binary):
        return 1.0
    if isinstance(fmt, Minifloat):
        return fmt.smallest
    if isinstance(fmt, Power) and fmt.exponent == 0.5:
        return 1.0 / fmt.max_code**2
    raise InputError(
        f"{fmt} has no exact accumulator", where="accumulator", hint="use int, minifloat, binary, pow~exp=0.5"
    )


def largest_multiple(fmt: Format) -> int:
    """max|value| in units of `unit(fmt)`."""
    return round(max(fmt.max, -fmt.min) / unit(fmt))


def accumulator_bits(n: int, weights: Format, acts: Format, convention: Literal["tight", "paper"] = "tight") -> int:
    """Signed bits for a dot product of length `n` of any values of the two formats."""
    if n < 1:
        raise InputError(f"a dot product of length {n}", where="accumulator", hint="allowed: 1 and up")
    if convention == "paper":
        return _paper_bits(n, weights, acts)
    return 1 + (n * largest_multiple(weights) * largest_multiple(acts)).bit_length()


def accumulator_bits_of_weights(codes: ArrayLike, weights: Format, acts: Format, zero_point: ArrayLike = 0.0) -> int:
    """Signed bits that suffice for these weight codes, shape (Cout, ...), whatever the activations are."""
    c = np.asarray(codes)
    values = decode(c, weights) / unit(weights) - np.asarray(zero_point)
    sums = np.abs(np.rint(values).astype(np.int64)).reshape(c.shape[0], -1).sum(axis=1)
    worst = int(sums.max()) if sums.size else 0
    return 1 + max(1, (worst * largest_multiple(acts)).bit_length())


def _paper_bits(n: int, weights: Format, acts: Format) -> int:
    steps = ceil(log2(n))
    if isinstance(weights, Int) and isinstance(acts, Int):
        return weights.bits + acts.bits + steps + 1
    if isinstance(weights, Native) or isinstance(acts, Native):
        raise InputError(
            "no exact accumulator for native floating point", where="accumulator", hint="use tight formats"
        )
    return _magnitude_field(weights) + _magnitude_field(acts) + steps - 1


def _magnitude_field(fmt: Format) -> int:
    """2^x + y of a minifloat; an integer of b bits counts as E1M(b-2), whose magnitude is 2 + (b - 2) bits."""
    if isinstance(fmt, Minifloat):
        return 2**fmt.exponent + fmt.mantissa
    return fmt.bits
