"""LUTs of the integer multipliers of `rtl.multiply`, counted from how they are built.

A factor of one unsigned bit gates the other: a LUT a bit. Up to six bits together are a table: a LUT an output bit.
Unsigned products of 2 x 8 and 4 x 4 bits are two tables and an adder. All others are rows of a radix-4 Booth
multiplier: d rows over n bits of the other factor take d (n + 2) LUTs, less one for the first row's carry and one for
a digit of one bit; where the other factor is unsigned its rows keep a sign of their own, d - 2 LUTs. This holds for all
440 widths up to 16 bits that were synthesised, exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.rtl.multiply import TABLE_BITS

Floats = NDArray[np.float64]


def multiplied_luts(x: Floats, x_signed: Floats, y: Floats, y_signed: Floats) -> Floats:
    """LUTs of x times y bits, each two's complement where its flag is 1."""
    total = x + y
    booth = np.where(
        digits(y, y_signed) * (x + 2) <= digits(x, x_signed) * (y + 2),
        booth_luts(x, x_signed, y, y_signed),
        booth_luts(y, y_signed, x, x_signed),
    )
    short, long = np.minimum(x, y), np.maximum(x, y)
    room = TABLE_BITS - short
    split = (x_signed + y_signed == 0) & ((short == 2) | (short == 4)) & (long <= 2 * room)
    two_tables = (short + room) + 2 * (short + long - room)
    found = np.where(split, two_tables, booth)
    found = np.where(total <= TABLE_BITS, np.where(total > 2, total, 1), found)
    found = np.where((y == 1) & (y_signed == 0), x, found)
    return np.asarray(np.where((x == 1) & (x_signed == 0), y, found), dtype=np.float64)


def booth_luts(x: Floats, x_signed: Floats, y: Floats, y_signed: Floats) -> Floats:
    """LUTs of the rows of x times the digits of y."""
    rows = digits(y, y_signed)
    n, fill, unsigned = x + (1 - x_signed), 2 * rows - y, 1 - x_signed
    return np.asarray(rows * (n + 2) - fill - 1 + unsigned * (rows - 2))


def digits(y: Floats, y_signed: Floats) -> Floats:
    """Radix-4 digits."""
    return np.asarray(np.floor((y + (1 - y_signed) + 1) / 2))
