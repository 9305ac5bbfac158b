"""Floating-point accumulation, for formats whose range no exact accumulator holds.

The adder is the textbook single-path one (Muller et al., Handbook of Floating-Point Arithmetic, 2nd ed., ch. 8):
compare exponents, swap, align, add or subtract, count leading zeros, normalise, round. A 6-LUT holds two stages of a
shifter; everything else is one LUT a bit.
"""

from __future__ import annotations

from math import ceil, log2

from hwsim.cost_models.operators.multiplier import multiplier_lut

FP32 = (8, 23)


def float_adder_lut(exponent: int, mantissa: int) -> int:
    """LUTs of an adder for a float of these field widths: its significand has a hidden and three rounding bits."""
    m = mantissa + 4
    stages = ceil(log2(m))
    compare_and_swap = 2 * exponent + 2 * m
    align_and_normalise = 2 * m * ceil(stages / 2)
    add_and_count_zeros = (m + 1) + m
    adjust_and_round = 2 * exponent + mantissa + exponent
    return compare_and_swap + align_and_normalise + add_and_count_zeros + adjust_and_round


def float_product_lut(significand_w: int, significand_a: int, exponent_w: int, exponent_a: int) -> int:
    """LUTs of the product that enters the adder unnormalised: significand multiplier and exponent adder."""
    return multiplier_lut(significand_w, significand_a) + max(exponent_w, exponent_a) + 1
