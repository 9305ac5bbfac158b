"""Widths of accumulators that never wrap.

Every operand is an integer multiple of its smallest step, so a dot product is an integer multiple of the product of the
two smallest steps, and an exact (Kulisch-style) accumulator is an integer. Three conventions:

- `tight`: 1 + bit_length(n max|w| max|a|), from the data types.
- `weights`: 1 + bit_length(max over channels of sum|w| times max|a|), from the actual codes (the l1 bound of A2Q,
  arXiv 2308.13504, eq. 6).
- `paper`: the closed forms printed with arXiv 2311.12359 (loose by up to two bits for integers).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hwsim.core.codes import decode
from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Format, Int, Minifloat, Native, Power

Convention = Literal["tight", "weights", "paper"]


def unit(fmt: Format) -> float:
    """The step of which every value of `fmt` is an integer multiple.

    For `Power` with exponent 1/2 it is 1/L^2 (squared codes); other powers raise InputError.
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
    if isinstance(fmt, Minifloat):
        return fmt.max_multiple
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
    if isinstance(weights, Minifloat):  # multiples do not depend on the bias; the usual one keeps them exact
        weights = replace(weights, bias=float(weights.usual_bias))
    multiples = np.abs(np.rint(decode(c, weights) / unit(weights) - np.asarray(zero_point))).reshape(c.shape[0], -1)
    if largest_multiple(weights).bit_length() + multiples.shape[1].bit_length() < 62:
        sums = multiples.astype(np.int64).sum(axis=1)
    else:  # wide exponents: Python integers
        sums = np.frompyfunc(int, 1, 1)(multiples).sum(axis=1)
    worst = int(sums.max()) if sums.size else 0
    return 1 + max(1, (worst * largest_multiple(acts)).bit_length())


def _paper_bits(n: int, weights: Format, acts: Format) -> int:
    steps = (n - 1).bit_length()  # ceil(log2 n)
    if isinstance(weights, Int) and isinstance(acts, Int):
        return weights.bits + acts.bits + steps + 1
    if isinstance(weights, Native) or isinstance(acts, Native):
        raise InputError(
            "no exact accumulator for native floating point", where="accumulator", hint="use tight formats"
        )
    return _magnitude_field(weights) + _magnitude_field(acts) + steps - 1


def _magnitude_field(fmt: Format) -> int:
    """2^x + y of a minifloat: the bits of its magnitude and one more; likewise of any other format.

    A signed integer of b bits counts as E1M(b-2) (b), an unsigned one as UE1M(b-1) (b + 1).
    """
    if isinstance(fmt, Minifloat):
        return int(2**fmt.exponent) + fmt.mantissa
    if isinstance(fmt, Int):
        return fmt.bits + int(not fmt.signed)
    return largest_multiple(fmt).bit_length() + 1
