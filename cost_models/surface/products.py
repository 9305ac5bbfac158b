"""Structural features of products: of integers, of minifloats, and of one with the other.

They follow the units in `rtl`: a multiplier of significands, a shifter as wide as the product that moves it by the
sum of both exponent fields, a conditional inversion that the next adder absorbs, and an accumulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

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
        "wide": np.ones_like(w),
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
    own = {"narrow": narrow * w * a, "narrow unsigned": (w == 2) * (a > 2) * (1 - signed)}
    return {"1": np.ones_like(w), **found, **own}


def table_luts(w: Floats, a: Floats) -> Floats:
    """LUTs of a product as a table of its own for every output bit, at most what the operands' bits would take.

    Output bit k depends on k + 1 bits of either side; beyond six inputs each one more doubles the LUTs.
    """
    total = np.zeros_like(w)
    for k in range(int(np.max(w + a, initial=0))):
        inputs = np.minimum(k + 1, w) + np.minimum(k + 1, a)
        total += np.where(k < w + a, 2.0 ** np.clip(inputs - 6, 0, 6), 0)
    return np.asarray(np.minimum(total, 3 * w * a))


@lru_cache(maxsize=1024)
def tree_growth(lanes: int) -> int:
    """Bits by which the sums of a tree of adders are wider than a summand, all adders together."""
    level, growth = [1] * lanes, 0
    while len(level) > 1:
        above = [level[i] + level[i + 1] for i in range(0, len(level) - 1, 2)]
        growth += sum((n - 1).bit_length() for n in above)
        level = above + level[2 * len(above) :]
    return growth


def tree(lanes: Floats, bits: Floats) -> dict[str, Floats]:
    """Of the adders over `lanes` summands of `bits` bits: how many, the bits of summands in them, and the growth."""
    distinct, index = np.unique(np.rint(lanes).astype(np.int64), return_inverse=True)
    growth = np.array([float(tree_growth(int(n))) for n in distinct])[index.reshape(lanes.shape)]
    return {"adders": lanes - 1, "adder bits": (lanes - 1) * bits, "growth": growth}


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


def fields_of(c: Columns) -> tuple[Floats, Floats, Floats, Floats]:
    """ew, mw, ea, ma of two minifloats, or of a minifloat and an integer of a_bits."""
    if "a_bits" in c:
        return c["ew"], c["mw"], np.zeros_like(c["ew"]), c["a_bits"] - 1
    return c["ew"], c["mw"], c["ea"], c["ma"]


def shifted_product(c: Columns) -> dict[str, Floats]:
    """Of minifloat weights (ew, mw) with minifloat (ea, ma) or integer (a_bits) activations.

    A shifter by s stages passes about as many bits as the shifted product is wide, whatever s, since most of its inputs
    are zero; only where bits of the significand overlap does every stage take a multiplexer a bit.
    """
    ew, mw, ea, ma = fields_of(c)
    p = minifloat_product(ew, mw, ea, ma)
    cells = reductions(mw + 1, ma + 1, np.zeros_like(ew), np.zeros_like(ew))
    return {
        "1": np.ones_like(ew),
        "product": p["product"],
        "gated": cells["gated"],
        "later": cells["later"],
        "width": p["width"],
        "significand stages": p["significand"] * p["stages"],
        "signed": c["a_signed"],
    }


def shifted_product_positions(c: Columns) -> list[Floats]:
    """Where a product of minifloats lies among others: the smaller and the larger significand, the reach of the shift.

    Which side is the weight does not matter, nor how the reach is shared between the sides.
    """
    ew, mw, ea, ma = fields_of(c)
    reach = minifloat_product(ew, mw, ea, ma)["reach"]
    return [np.log2(np.minimum(mw, ma) + 1), np.log2(np.maximum(mw, ma) + 1), np.log2(1 + reach), c["a_signed"]]
