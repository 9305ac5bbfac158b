"""Minifloat multipliers and multiply-accumulate units: products exact in fixed point, summed without rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hwsim.cost_models.rtl.accumulate import accumulate, sums_in
from hwsim.cost_models.rtl.factor import MinifloatFactor
from hwsim.cost_models.rtl.product import exact_product, product_bits, products
from hwsim.cost_models.rtl.unit import Port, Vectors, module


@dataclass(frozen=True, slots=True)
class MinifloatMultiplier:
    """`p = w * a` of two minifloats, combinational, in units of the product of their smallest steps.

    Attributes
    ----------
    ew, mw : exponent bits (1 to 5) and mantissa bits (0 to 7) of the signed weight.
    ea, ma : of the activation.
    a_signed : whether activations have a sign bit.
    """

    family: ClassVar[str] = "minifloat_mul"
    ew: int
    mw: int
    ea: int
    ma: int
    a_signed: bool = True

    @property
    def weight(self) -> MinifloatFactor:
        return MinifloatFactor(self.ew, self.mw, True)

    @property
    def activation(self) -> MinifloatFactor:
        return MinifloatFactor(self.ea, self.ma, self.a_signed)

    @property
    def name(self) -> str:
        return f"minifloat_mul_{self.weight.label}_{self.activation.label}"

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
class MinifloatMac:
    """`acc <= (clear ? 0 : acc) + w * a` of two minifloats, exact (a Kulisch accumulator).

    Attributes
    ----------
    acc_bits : of the accumulator; sums beyond it wrap.
    """

    family: ClassVar[str] = "minifloat_mac"
    ew: int
    mw: int
    ea: int
    ma: int
    acc_bits: int
    a_signed: bool = True

    @property
    def weight(self) -> MinifloatFactor:
        return MinifloatFactor(self.ew, self.mw, True)

    @property
    def activation(self) -> MinifloatFactor:
        return MinifloatFactor(self.ea, self.ma, self.a_signed)

    @property
    def name(self) -> str:
        return f"minifloat_mac_{self.weight.label}_{self.activation.label}_acc{self.acc_bits}"

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
