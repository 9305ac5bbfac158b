"""LUTs of the integer multipliers of `rtl.multiply`, counted from how they are built.

A factor of one unsigned bit gates the other: a LUT a bit. Up to six bits together are a table: a LUT an output bit.
Unsigned products of 2 x 8 and 4 x 4 bits are two tables and an adder. All others are rows of a radix-4 Booth
multiplier. This holds for all 512 pairs of widths up to 16 bits that were synthesised, exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.rtl.multiply import TABLE_BITS, booth_luts

Floats = NDArray[np.float64]


def multiplied_luts(x: Floats, x_signed: Floats, y: Floats, y_signed: Floats) -> Floats:
    """LUTs of x times y bits, each two's complement where its flag is 1."""
    total = x + y
    booth = np.minimum(booth_luts(x, x_signed, y, y_signed), booth_luts(y, y_signed, x, x_signed))
    short, long = np.minimum(x, y), np.maximum(x, y)
    room = TABLE_BITS - short
    split = (x_signed + y_signed == 0) & ((short == 2) | (short == 4)) & (long <= 2 * room)
    two_tables = (short + room) + 2 * (short + long - room)
    found = np.where(split, two_tables, booth)
    found = np.where(total <= TABLE_BITS, np.where(total > 2, total, 1), found)
    found = np.where((y == 1) & (y_signed == 0), x, found)
    return np.asarray(np.where((x == 1) & (x_signed == 0), y, found), dtype=np.float64)
