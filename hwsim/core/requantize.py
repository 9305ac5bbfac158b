"""The one definition of requantization, shared by simulation, HLS and RTL: round half to even, then saturate.

An accumulator holds an integer multiple of 2^acc_exponent; the output holds an integer multiple of 2^out_exponent. In
hls4ml terms this is `RND_CONV` with `SAT_SYM` for narrow and `SAT` for full-range formats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError
from hwsim.core.formats import Int


def requantize(acc: ArrayLike, shift: int, fmt: Int) -> NDArray[np.int64]:
    """Integer codes of `acc * 2^-shift`, half to even, saturated to `fmt`.

    Parameters
    ----------
    acc : integers (|acc| < 2^62), any shape.
    shift : out_exponent - acc_exponent; positive drops bits, negative appends zeros.

    Raises
    ------
    InputError
        When a left shift would overflow 63 bits before saturation could act exactly.
    """
    a = np.asarray(acc, dtype=np.int64)
    if shift <= 0:
        if -shift >= 62:
            raise InputError(f"a left shift by {-shift}", where="requantize", hint="allowed: up to 61 bits")
        limit = (1 << 62) >> -shift  # beyond it the value saturates anyway, for formats up to 32 bits
        rounded = np.clip(a, -limit, limit) << -shift
    elif shift >= 63:
        rounded = np.zeros_like(a)
    else:
        quotient = a >> shift
        remainder = a - (quotient << shift)
        half = np.int64(1) << (shift - 1)
        rounded = quotient + ((remainder > half) | ((remainder == half) & ((quotient & 1) == 1)))
    return np.asarray(np.clip(rounded, fmt.min_code, fmt.max_code), dtype=np.int64)


def hls_quantization(fmt: Int) -> str:
    """The rounding and saturation modes of an `ap_fixed` type that requantizes as this module does."""
    return "RND_CONV,SAT_SYM" if fmt.signed and fmt.narrow else "RND_CONV,SAT"
