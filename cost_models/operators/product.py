"""One product of two exact operands, ready for an adder: multiply, shift by the exponents, put the sign on.

The minifloat product follows the construction recommended beside arXiv 2311.12359's cost model: multiply the
significands by the integer law, add the exponents, shift the product left into a fixed-point field that holds every
product exactly, and negate it conditionally. A 6-LUT holds two stages of a shifter (a 4:1 multiplexer a bit).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from hwsim.cost_models.operators.multiplier import multiplier_lut
from hwsim.cost_models.operators.operand import Operand


@dataclass(frozen=True, slots=True)
class Product:
    """LUTs of one product by cause, the width of its result, and which of its LUTs a DSP would replace."""

    multiply: int
    exponent: int
    shift: int
    negate: int
    width: int
    family: str

    @property
    def lut(self) -> int:
        return self.multiply + self.exponent + self.shift + self.negate


@lru_cache(maxsize=4096)
def product(weights: Operand, acts: Operand) -> Product:
    """The product of a weight and an activation of any two exact formats."""
    pair = {weights.kind, acts.kind}
    if pair <= {"int", "binary"}:
        return _integer_product(weights, acts)
    field = weights.magnitude + acts.magnitude
    stages = (weights.shift + acts.shift).bit_length()
    both = weights.kind == acts.kind == "minifloat"
    exponent = max(weights.exponent, acts.exponent) + 1 if both else 0
    multiply = 0 if "binary" in pair else multiplier_lut(weights.significand, acts.significand)
    signed = weights.signed or acts.signed
    family = "mf_mac" if both else "mfint_mac"
    return Product(multiply, exponent, field * ceil(stages / 2), field if signed else 0, field + int(signed), family)


def _integer_product(weights: Operand, acts: Operand) -> Product:
    width = weights.significand + acts.significand
    family = "int_ss" if weights.signed and acts.signed else "int_su"
    if weights.kind == acts.kind == "binary":
        return Product(1, 0, 0, 0, 2, family)  # an exclusive nor
    if "binary" in (weights.kind, acts.kind):
        other = acts if weights.kind == "binary" else weights
        return Product(0, 0, 0, other.significand + 1, other.significand + 1, family)  # add or subtract
    return Product(multiplier_lut(weights.significand, acts.significand), 0, 0, 0, width, family)


@lru_cache(maxsize=4096)
def to_fixed_point_lut(operand: Operand) -> int:
    """LUTs a lane that turn a stored code into two's complement fixed point (0 for integers)."""
    if operand.kind != "minifloat":
        return operand.decode_lut
    shifter = operand.magnitude * ceil(operand.shift.bit_length() / 2)
    return shifter + (operand.magnitude if operand.signed else 0)
