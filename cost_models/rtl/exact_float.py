"""Integers of any width as float64 without harm to a later rounding.

Rounding to odd: bits that do not fit are dropped and the last one kept is set if any of them was one. Whoever rounds
the result once more, to at least two bits fewer, gets what rounding the integer itself gives (Boldo and Melquiond,
IEEE Transactions on Computers 57(4), 2008, theorem 3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.rtl.unit import Vectors

KEPT_BITS = 45  # leaves room in the 53 bits of a float64 for two significands of 4 bits


def odd_float(values: Vectors, kept_bits: int = KEPT_BITS) -> NDArray[np.float64]:
    """Integers as float64, those of more than `kept_bits` bits rounded to odd."""
    return np.array([_odd(int(v), kept_bits) for v in values], dtype=np.float64)


def _odd(value: int, kept_bits: int) -> float:
    magnitude = abs(value)
    excess = max(0, magnitude.bit_length() - kept_bits)
    kept = magnitude >> excess
    if kept << excess != magnitude:
        kept |= 1
    return float((-kept if value < 0 else kept) << excess)
