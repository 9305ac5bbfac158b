"""Floating point: adders by the surfaces of synthesised units, products by the law of their significands.

Block formats are summed as the OCP Microscaling specification 1.0 defines their dot product: exactly inside a block,
then scaled and rounded to float32, then added in float32.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.composed import price_of
from hwsim.cost_models.operators.multiplier import DspPolicy, dsp_tiles, takes_dsp
from hwsim.cost_models.operators.operand import Operand
from hwsim.cost_models.operators.priced import integer_multiplier, term
from hwsim.cost_models.surface.multiplied import multiplied_luts

FP32 = (8, 23)
FLOAT_SCALE_BITS = 24  # the significand of a float32


def float_adder(label: str, running: bool = False) -> Term:
    """An adder of two numbers in float32, or of one and the sum so far."""
    family = "float_accumulate" if running else "float_add"
    return term(label, price_of(family, {"e": FP32[0], "m": FP32[1]}), family)


def float_product_lut(significand_w: int, significand_a: int, exponent_w: int, exponent_a: int) -> float:
    """LUTs of the product that enters the adder unnormalised: significand multiplier and exponent adder."""
    none = np.zeros(1)
    significands = multiplied_luts(np.array([float(significand_w)]), none, np.array([float(significand_a)]), none)
    return float(significands[0]) + max(exponent_w, exponent_a) + 1


def float_product(weights: Operand, acts: Operand, dsp: DspPolicy, dsp_type: str) -> Bill:
    """A product of two operands of which one is a float."""
    w, a = weights.significand, acts.significand
    if takes_dsp(w, a, dsp):
        tiles = float(dsp_tiles(w + 1, a + 1, dsp_type))
        exponent = float(max(weights.exponent, acts.exponent) + 1)
        return Bill((Term("multipliers", "mf_fmac", exponent),), dsp=tiles, dsp_packed=tiles)
    return Bill((Term("multipliers", "mf_fmac", float_product_lut(w, a, weights.exponent, acts.exponent)),))


@lru_cache(maxsize=65536)
def scale_step(acc_bits: int, dsp: DspPolicy, dsp_type: str, label: str = "requantize") -> Bill:
    """Multiply one signed number by a float scale."""
    if takes_dsp(acc_bits, FLOAT_SCALE_BITS, dsp):
        tiles = float(dsp_tiles(acc_bits, FLOAT_SCALE_BITS + 1, dsp_type))
        return Bill(dsp=tiles, dsp_packed=tiles)
    return Bill((integer_multiplier(label, acc_bits, FLOAT_SCALE_BITS, False),))


def block_scaling(weights: Operand, acts: Operand, bits: int, dsp: DspPolicy, dsp_type: str) -> Bill:
    """From the exact sum of a block of `bits` bits to a float32: scales multiplied in, normalised, rounded.

    Scales that are powers of two are added to the exponent, E4M3 scales (NVFP4) multiply the sum, and float scales
    (groups) do so before it is normalised.
    """
    sides = [side for side in (weights, acts) if side.block]
    bill, wide = Bill(), bits
    for side in sides:
        if side.scale_bits == FLOAT_SCALE_BITS:
            bill += scale_step(wide, dsp, dsp_type, "block scales")
            wide = bits + FLOAT_SCALE_BITS
    kind = "e4m3" if any(side.scale_bits == 4 for side in sides) else "e8m0"
    priced = price_of("block_scale", {"sum_bits": wide, "scale": kind})
    return bill + Bill((term("block scales", priced, "block_scale"),))
