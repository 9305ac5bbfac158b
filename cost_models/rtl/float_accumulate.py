"""Multiply-accumulate with a float accumulator: the product of two minifloats is added exactly and rounded once.

The accumulator is a binary format of IEEE 754 with subnormals, without Inf and NaN: a sum beyond the largest finite
number gives that number. It rounds half to even and never holds -0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.factor import MinifloatFactor
from hwsim.cost_models.rtl.fused_adder import FusedAdder
from hwsim.cost_models.rtl.product import added_shifts, products, significand_product
from hwsim.cost_models.rtl.unit import Port, Vectors, module


@dataclass(frozen=True, slots=True)
class FloatAccumulateMac:
    """`acc <= round((clear ? 0 : acc) + w * a)`, a fused multiply-add.

    Attributes
    ----------
    ew, mw : exponent and mantissa bits of the signed weight.
    ea, ma, a_signed : of the activation.
    eacc, macc : of the accumulator, 2 to 8 exponent and 1 to 23 mantissa bits; its code is sign, exponent, mantissa.
    """

    family: ClassVar[str] = "float_accumulate_mac"
    ew: int
    mw: int
    ea: int
    ma: int
    eacc: int
    macc: int
    a_signed: bool = True

    def __post_init__(self) -> None:
        if not (2 <= self.eacc <= 8 and 1 <= self.macc <= 23):
            raise InputError(
                f"an accumulator of e{self.eacc}m{self.macc}",
                where="float accumulator",
                hint="allowed: 2 to 8 exponent and 1 to 23 mantissa bits",
            )

    @property
    def weight(self) -> MinifloatFactor:
        return MinifloatFactor(self.ew, self.mw, True)

    @property
    def activation(self) -> MinifloatFactor:
        return MinifloatFactor(self.ea, self.ma, self.a_signed)

    @property
    def name(self) -> str:
        return f"float_accumulate_mac_{self.weight.label}_{self.activation.label}_to_e{self.eacc}m{self.macc}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("clear", 1), self.weight.port("w"), self.activation.port("a")

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("acc", 1 + self.eacc + self.macc),)

    @property
    def unit_exponent(self) -> int:
        """log2 of the smallest step of a product."""
        return sum(f.format.emin - f.mantissa for f in (self.weight, self.activation))

    def verilog(self) -> str:
        product = significand_product(self.weight, self.activation)
        lowest, highest = sum(s.lowest for s in product.shifts), sum(s.highest for s in product.shifts)
        amount = added_shifts(product.shifts, "shift") if product.shifts else ""
        adder = FusedAdder(self.eacc, self.macc, product.bits, self.unit_exponent - lowest, lowest, highest)
        return module(self, product.lines + amount + adder.verilog(), ("acc",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        terms = products(self.weight, self.activation, inputs["w"], inputs["a"])
        finest = accumulator_exponent(self.eacc, self.macc)
        grid = min(finest, self.unit_exponent)
        to_grid = self.unit_exponent - grid
        codes = np.empty(len(terms), dtype=np.int64)
        code = 0
        for i, (term, clear) in enumerate(zip(terms, inputs["clear"], strict=True)):
            held = 0 if clear else multiple_of_code(code, self.eacc, self.macc) << (finest - grid)
            code = nearest_code(held + (int(term) << to_grid), finest - grid, self.eacc, self.macc)
            codes[i] = code
        return {"acc": codes}


def accumulator_exponent(exponent: int, mantissa: int) -> int:
    """log2 of the smallest step of a float with the usual bias."""
    return 2 - (1 << (exponent - 1)) - mantissa


def multiple_of_code(code: int, exponent: int, mantissa: int) -> int:
    """The value of a code in units of the smallest step."""
    field, low = (code >> mantissa) & ((1 << exponent) - 1), code & ((1 << mantissa) - 1)
    magnitude = (low + (1 << mantissa)) << (field - 1) if field else low
    return -magnitude if code >> (exponent + mantissa) else magnitude


def nearest_code(value: int, finer: int, exponent: int, mantissa: int) -> int:
    """The code of the float nearest to `value`, ties to even, saturating at the largest of IEEE 754.

    Parameters
    ----------
    value : in units of 2^-finer smallest steps of the float.
    finer : not negative.
    """
    magnitude = abs(value)
    step = max(magnitude.bit_length() - (mantissa + 1), finer)  # log2 of the distance of floats there
    quotient, rest = divmod(magnitude, 1 << step)
    half = 1 << step >> 1
    quotient += rest > half or (rest == half and half > 0 and quotient % 2 == 1)
    code = min(((step - finer) << mantissa) + quotient, (((1 << exponent) - 1) << mantissa) - 1)
    return code + (1 << (exponent + mantissa)) if code and value < 0 else code
