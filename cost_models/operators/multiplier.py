"""Integer multipliers in LUTs and in DSPs, and the packing of several products into one DSP.

Sources: the LUT law is the multiplier term of FINN's matrix-vector unit; DSP port widths from UG479 (DSP48E1,
25 x 18), UG579 (DSP48E2, 27 x 18) and AM004 (DSP58, 27 x 24); two 8-bit products in a DSP48E2 from WP486, four 4-bit
products from WP521, three 8-bit products in the dot-product mode of a DSP58 from AM004. From how many bits on a DSP
is taken: 28 synthesised MACs and 906 HLS reports (see `evaluate`).
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Literal

DspPolicy = Literal["auto", "never", "pack"]
DSP_POLICIES: tuple[DspPolicy, ...] = ("auto", "never", "pack")
DSP_FROM_BITS = 9
_PORTS = {"DSP48E1": (25, 18), "DSP48E2": (27, 18), "DSP58": (27, 24)}


def multiplier_lut(w: int, a: int) -> int:
    """LUTs of a w x a bit multiplier: (2 ceil((w + a) / 6) - 1)(w + a)."""
    return (2 * ceil((w + a) / 6) - 1) * (w + a)


def takes_dsp(w: int, a: int, policy: DspPolicy) -> bool:
    """Whether tools put a w x a bit product into a DSP: from w + a = 9 bits on, both sides at least 2 bits.

    `never` keeps all products in LUTs; `pack` also takes the 4 x 4 bit products that fill a DSP four at a time.
    """
    if policy == "never" or min(w, a) < 2:
        return False
    return w + a >= DSP_FROM_BITS or (policy == "pack" and w == a == 4)


@lru_cache(maxsize=4096)
def dsp_tiles(w: int, a: int, dsp_type: str) -> int:
    """DSPs of one signed w x a bit product: tiles of the signed port widths. An unsigned side counts a bit more."""
    long, short = _PORTS[dsp_type]

    def tiles(p: int, q: int) -> int:
        return ceil((p - 1) / (long - 1)) * ceil((q - 1) / (short - 1))

    return max(1, min(tiles(w, a), tiles(a, w)))


def products_per_dsp(w: int, a: int, dsp_type: str) -> int:
    """How many w x a bit products a designer can pack into one DSP: 1, 2, 3 or 4."""
    if w <= 4 and a <= 4:
        return 4
    if dsp_type == "DSP58" and w <= 8 and a <= 8:
        return 3
    if dsp_type == "DSP48E2" and w <= 8 and a <= 8:
        return 2
    return 1
