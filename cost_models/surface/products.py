"""Structural features of products: of integers, of minifloats, and of one with the other.

They follow the units in `rtl`: a multiplier of significands, a shifter as wide as the product that moves it by the
sum of both exponent fields, a conditional inversion that the next adder absorbs, and an accumulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.rtl.multiply import TABLE_BITS
from hwsim.cost_models.surface.family import Columns
from hwsim.cost_models.surface.multiplied import multiplied_luts

Floats = NDArray[np.float64]
MOST_FIRST_STAGES = 3  # bits of a shift whose choice is worth a level of its own


def bit_length(values: Floats) -> Floats:
    """Bits of integers held as floats, exact below 2^53."""
    return np.where(values >= 1, np.frexp(values)[1], 0).astype(np.float64)


def integer_product(c: Columns) -> dict[str, Floats]:
    """Of a signed weight of w_bits and an activation of a_bits, signed where a_signed."""
    w, a, signed = c["w_bits"], c["a_bits"], c["a_signed"]
    return {"1": np.ones_like(w), "product": multiplied_luts(w, np.ones_like(w), a, signed)}


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

    Keys: `highest` (shift), `product` (partial product bits of the significands), `significand` (bits of their
    product), `reach` (largest shift less the smallest), `stages` (bits of the shift), `width` (bits of the shifted
    product).
    """
    sw, sa = mw + 1, ma + 1
    single = np.minimum(sw, sa) == 1
    significand = np.where(single, np.maximum(sw, sa), sw + sa)
    highest = np.where(ew > 1, 2.0**ew - 1, 0) + np.where(ea > 1, 2.0**ea - 1, 0)
    reach = highest - (ew > 1) - (ea > 1)
    return {
        "highest": highest,
        "product": np.where(single, np.maximum(sw, sa), sw * sa),
        "significand": significand,
        "reach": reach,
        "stages": bit_length(highest),
        "width": significand + reach,
    }


def fields_of(c: Columns) -> tuple[Floats, Floats, Floats, Floats]:
    """ew, mw, ea, ma of two minifloats, or of a minifloat and an integer: ea = 0, ma = a_bits - 1."""
    if "ea" in c:
        return c["ew"], c["mw"], c["ea"], c["ma"]
    return c["ew"], c["mw"], np.zeros_like(c["ew"]), c["a_bits"] - 1


def as_minifloats(c: Columns) -> Columns:
    """Columns of minifloat x integer in the words of minifloat x minifloat."""
    ew, mw, ea, ma = fields_of(c)
    return {**{name: v for name, v in c.items() if name != "a_bits"}, "ew": ew, "mw": mw, "ea": ea, "ma": ma}


def beside_integers(c: Columns) -> Columns:
    """Columns of two minifloats, the side with the wider exponent first; a_bits are those of the other significand."""
    ew, mw, ea, ma = fields_of(c)
    first = ew >= ea
    sides = {"ew": np.maximum(ew, ea), "mw": np.where(first, mw, ma), "ea": np.minimum(ew, ea)}
    other = np.where(first, ma, mw)
    return {**c, **sides, "ma": other, "a_bits": other + 1}


def product_bits(c: Columns) -> Floats:
    """Signed bits of an exact product; a signed integer's sign is one of its own bits."""
    ew, mw, ea, ma = fields_of(c)
    return np.asarray(1 + minifloat_product(ew, mw, ea, ma)["width"] - c["a_signed"] * (ea == 0))


def shifted_product(c: Columns) -> dict[str, Floats]:
    """Of minifloat weights with minifloat or integer activations (see `fields_of`).

    A shifter by s stages passes about as many bits as the shifted product is wide, whatever s, since most of its inputs
    are zero; only where bits of the significand overlap does every stage take a multiplexer a bit.
    """
    ew, mw, ea, ma = fields_of(c)
    p = minifloat_product(ew, mw, ea, ma)
    none, integer = np.zeros_like(ew), ea == 0
    magnitudes = ew + mw + ea + ma + integer  # an integer's sign is part of the product
    codes = magnitudes + 1 + np.where(integer, 0, c["a_signed"])
    whole = codes <= TABLE_BITS  # all of both codes fit one LUT
    table = ~whole & (magnitudes <= TABLE_BITS)  # both magnitudes do
    sig, fixed = p["significand"], p["reach"] == 0
    added = np.minimum(ew, ea) > 1
    single = np.minimum(mw, ma) == 0
    found = {
        "1": np.ones_like(ew),
        "product": np.where(single, 0.0, multiplied_luts(mw + 1, none, ma + 1, c["a_signed"] * integer)),
        "significand": sig,
        "significand stages": (sig - 1) * p["stages"],
        "shifter": shifter_luts(sig, np.where(ew > 1, 1.0, 0.0) + np.where(ea > 1, 1.0, 0.0), p["highest"]),
        "exponents": added,
        "exponent bits": np.where(added, np.maximum(ew, ea), 0),
        "width": p["width"],
        "fixed": fixed,
        "fixed significand": fixed * sig,
        "single": single,
        "single width": single * p["width"],
        "signed": c["a_signed"],
    }
    found = {name: np.where(whole | table, 0.0, values) for name, values in found.items()}
    tables = {"whole": whole * (p["width"] + c["a_signed"]), "table": table, "table width": table * p["width"]}
    return found | tables


def shifter_luts(significand: Floats, lowest: Floats, highest: Floats) -> Floats:
    """LUTs of a shifter of some bits to the left by lowest..highest."""
    keys = np.stack([np.rint(v).astype(np.int64) for v in (significand, lowest, highest)], axis=-1)
    distinct, index = np.unique(keys.reshape(-1, 3), axis=0, return_inverse=True)
    counts = np.array([_shifter(int(s), int(low), int(high)) for s, low, high in distinct], dtype=np.float64)
    return np.asarray(counts[index.reshape(-1)].reshape(keys.shape[:-1]))


@lru_cache(maxsize=4096)
def _shifter(bits: int, lowest: int, highest: int) -> int:
    """The cheapest split of the shift into low bits, which choose first, and the others.

    Behind the first level each bit of the result chooses between those that can reach it, either by the other bits of
    the shift, or by lines of which one is set for each value of them, which all bits share. Either way a LUT has an
    input for the sign, too.
    """
    if lowest == highest:
        return 0
    stages, best = highest.bit_length(), 1 << 30
    for low in range(min(stages, MOST_FIRST_STAGES + 1)):
        step = 1 << low
        wide = bits + step - 1
        first = sum(luts_of_one_bit(min(bits, step, i + 1, wide - i) + low) for i in range(wide)) if low else 0
        reached = [
            sum(1 for move in range((highest >> low) + 1) if 0 <= i - move * step < wide)
            for i in range(lowest, bits + highest)
        ]
        coded = sum(luts_of_one_bit(n + stages - low + 1) for n in reached)
        lines = (highest >> low) - (lowest >> low) + 1
        best = min(best, first + coded, first + lines + sum(luts_of_one_bit(2 * n + 1) for n in reached))
    return best


def luts_of_one_bit(inputs: int) -> int:
    """LUTs of a function of so many inputs that can be cut anywhere."""
    return 1 + max(0, -(-(inputs - TABLE_BITS) // (TABLE_BITS - 1)))


def shifted_product_positions(c: Columns) -> list[Floats]:
    """Where a product of minifloats lies among others: the smaller and the larger significand, the reach of the shift.

    Which side is the weight does not matter, nor how the reach is shared between the sides.
    """
    ew, mw, ea, ma = fields_of(c)
    reach = minifloat_product(ew, mw, ea, ma)["reach"]
    return [np.log2(np.minimum(mw, ma) + 1), np.log2(np.maximum(mw, ma) + 1), np.log2(1 + reach), c["a_signed"]]
