"""A minifloat weight times an integer activation: multipliers and multiply-accumulate units, exact in fixed point.

The same hardware serves an integer weight and a minifloat activation: exchange the sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hwsim.cost_models.rtl.accumulate import accumulate, sums_in
from hwsim.cost_models.rtl.factor import IntegerFactor, MinifloatFactor
from hwsim.cost_models.rtl.product import exact_product, product_bits, products
from hwsim.cost_models.rtl.unit import Port, Vectors, module


@dataclass(frozen=True, slots=True)
class MinifloatIntMultiplier:
    """`p = w * a` of a signed minifloat and an integer, combinational, in units of the smallest step of `w`.

    Attributes
    ----------
    ew, mw : exponent bits (1 to 5) and mantissa bits (0 to 7) of the weight.
    a_bits, a_signed : of the activation.
    """

    family: ClassVar[str] = "minifloat_int_mul"
    ew: int
    mw: int
    a_bits: int
    a_signed: bool

    @property
    def weight(self) -> MinifloatFactor:
        return MinifloatFactor(self.ew, self.mw, True)

    @property
    def activation(self) -> IntegerFactor:
        return IntegerFactor(self.a_bits, self.a_signed)

    @property
    def name(self) -> str:
        return f"minifloat_int_mul_{self.weight.label}_{self.activation.label}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return self.weight.port("w"), self.activation.port("a")

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("p", product_bits(self.weight, self.activation), True),)

    def verilog(self) -> str:
        term = exact_product(self.weight, self.activation)
        return module(self, f"{term.lines}  assign p = {term.word} + $signed({{1'b0, {term.carry}}});")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"p": products(self.weight, self.activation, inputs["w"], inputs["a"])}


@dataclass(frozen=True, slots=True)
class MinifloatIntMac:
    """`acc <= (clear ? 0 : acc) + w * a` of a signed minifloat and an integer, exact.

    Attributes
    ----------
    acc_bits : of the accumulator; sums beyond it wrap.
    """

    family: ClassVar[str] = "minifloat_int_mac"
    ew: int
    mw: int
    a_bits: int
    a_signed: bool
    acc_bits: int

    @property
    def weight(self) -> MinifloatFactor:
        return MinifloatFactor(self.ew, self.mw, True)

    @property
    def activation(self) -> IntegerFactor:
        return IntegerFactor(self.a_bits, self.a_signed)

    @property
    def name(self) -> str:
        return f"minifloat_int_mac_{self.weight.label}_{self.activation.label}_acc{self.acc_bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("clear", 1), self.weight.port("w"), self.activation.port("a")

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("acc", self.acc_bits, True),)

    def verilog(self) -> str:
        term = exact_product(self.weight, self.activation)
        return module(self, term.lines + accumulate(term, self.acc_bits), ("acc",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        terms = products(self.weight, self.activation, inputs["w"], inputs["a"])
        return {"acc": sums_in(self.outputs[0], terms, inputs["clear"])}
