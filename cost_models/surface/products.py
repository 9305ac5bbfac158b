"""Structural features of products: of integers, of minifloats, and of one with the other.

They follow the units in `rtl`: a multiplier of significands, a shifter as wide as the product that moves it by the
sum of both exponent fields, a conditional inversion that the next adder absorbs, and an accumulator.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.surface.family import Columns
from hwsim.cost_models.surface.partial_products import reductions

Floats = NDArray[np.float64]


def bit_length(values: Floats) -> Floats:
    """Bits of integers held as floats, exact below 2^53."""
    return np.where(values >= 1, np.frexp(values)[1], 0).astype(np.float64)


def integer_product(c: Columns) -> dict[str, Floats]:
    """Of a signed weight of w_bits and an activation of a_bits, signed where a_signed.

    With one or two bits on a side a product takes as many LUTs as there are partial products; that is a law of its own.
    """
    w, a, signed = c["w_bits"], c["a_bits"], c["a_signed"]
    least, most = np.minimum(w, a), np.maximum(w, a)
    cells = reductions(w, a, np.ones_like(w), signed)
    found = {
        "1": np.ones_like(w),
        "w+a": w + a,
        "wa": w * a,
        **cells,
        "layer bits": cells["layers"] * (w + a),
        "table": table_luts(w, a),
        "three rows": least == 3,
        "three rows bits": (least == 3) * most,
        **{f"signed {name}": signed * values for name, values in (("1", 1.0), ("w+a", w + a), ("wa", w * a))},
    }
    narrow = least <= 2
    found = {name: ~narrow * values for name, values in found.items()}
    return found | {"narrow": narrow * w * a, "narrow unsigned": (w == 2) * (a > 2) * (1 - signed)}


def table_luts(w: Floats, a: Floats) -> Floats:
    """LUTs of a product as a table of its own for every output bit, at most what the operands' bits would take.

    Output bit k depends on k + 1 bits of either side; beyond six inputs each one more doubles the LUTs.
    """
    total = np.zeros_like(w)
    for k in range(int(np.max(w + a, initial=0))):
        inputs = np.minimum(k + 1, w) + np.minimum(k + 1, a)
        total += np.where(k < w + a, 2.0 ** np.clip(inputs - 6, 0, 6), 0)
    return np.asarray(np.minimum(total, 3 * w * a))


def minifloat_product(ew: Floats, mw: Floats, ea: Floats, ma: Floats) -> Mapping[str, Floats]:
    """Widths inside an exact product of two minifloats; an integer of b bits is ea = 0, ma = b - 1.

    Keys: `product` (partial product bits of the significands), `significand` (bits of their product), `reach`
    (largest shift less the smallest), `stages` (bits of the shift), `width` (bits of the shifted product).
    """
    sw, sa = mw + 1, ma + 1
    single = np.minimum(sw, sa) == 1
    significand = np.where(single, np.maximum(sw, sa), sw + sa)
    highest = np.where(ew > 1, 2.0**ew - 1, 0) + np.where(ea > 1, 2.0**ea - 1, 0)
    reach = highest - (ew > 1) - (ea > 1)
    return {
        "product": np.where(single, np.maximum(sw, sa), sw * sa),
        "significand": significand,
        "reach": reach,
        "stages": bit_length(highest),
        "width": significand + reach,
    }


def shifter_cells(significand: Floats, width: Floats, stages: Floats) -> tuple[Floats, Floats]:
    """Bits that pass a stage of a shifter to the left, all stages together and every second one.

    Stages move by 1, 2, 4, ... bits, and behind each the number is as much wider; a 6-input LUT holds two stages.
    """
    every, second = np.zeros_like(width), np.zeros_like(width)
    for k in range(int(stages.max(initial=0))):
        passed = np.where(k < stages, np.minimum(width, significand + 2.0 ** (k + 1) - 1), 0)
        every += passed
        second += np.where((stages - 1 - k) % 2 == 0, passed, 0)
    return every, second


def shifted_product(c: Columns) -> dict[str, Floats]:
    """Of minifloat weights (ew, mw) with minifloat (ea, ma) or integer (a_bits) activations."""
    ew, mw = c["ew"], c["mw"]
    integer = "a_bits" in c
    ea = np.zeros_like(ew) if integer else c["ea"]
    ma = c["a_bits"] - 1 if integer else c["ma"]
    p = minifloat_product(ew, mw, ea, ma)
    every, second = shifter_cells(p["significand"], p["width"], p["stages"])
    nothing = np.zeros_like(ew)
    cells = reductions(mw + 1, ma + 1, nothing, nothing)
    return {
        "1": np.ones_like(ew),
        "product": p["product"],
        "significand": p["significand"],
        "gated": cells["gated"],
        "later": cells["later"],
        "shifter": every,
        "shifter pairs": second,
        "width": p["width"],
        "exponents": ew + ea,
        "signed": c["a_signed"],
        "signed width": c["a_signed"] * p["width"],
    }
