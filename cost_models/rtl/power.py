"""Multiply-accumulate with squared codes: the power format of exponent 1/2, whose values are sign(q) q^2 / L^2.

A table squares a code. Of two power operands the magnitudes are multiplied first and their product is squared, which
needs narrower multipliers. The code -2^(b-1), which the format lacks, counts as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from hwsim.core.codes import decode
from hwsim.core.formats import Power
from hwsim.cost_models.rtl.accumulate import accumulate, sums_in
from hwsim.cost_models.rtl.multiply import TABLE_BITS, Wire, multiplied, table
from hwsim.cost_models.rtl.product import NO_CARRY, Addend
from hwsim.cost_models.rtl.unit import Port, Vectors, module

SIGNED_TABLE_BITS = 7  # wider tables of signed squares take more LUTs in Yosys than a magnitude and its square
Activation = Literal["unsigned", "signed", "power"]


@dataclass(frozen=True, slots=True)
class PowerMac:
    """`acc <= (clear ? 0 : acc) + w|w| * a`, exact, in units of 1/L^2; of two power formats, 1/(L_w^2 L_a^2).

    Attributes
    ----------
    bits : of a weight code, 2 to 10.
    a_bits : of an activation; 2 to 10 where it is a power code.
    activation : `unsigned` or `signed` integers, or `power` for squared codes on both sides.
    acc_bits : of the accumulator; sums beyond it wrap.
    """

    family: ClassVar[str] = "power_mac"
    bits: int
    a_bits: int
    activation: Activation
    acc_bits: int

    @property
    def name(self) -> str:
        kind = {"unsigned": "u", "signed": "s", "power": "pow"}[self.activation]
        return f"power_mac_pow{self.bits}_{kind}{self.a_bits}_acc{self.acc_bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("clear", 1), Port("w", self.bits, True), Port("a", self.a_bits, self.activation != "unsigned")

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("acc", self.acc_bits, True),)

    def verilog(self) -> str:
        term = self._of_two_powers() if self.activation == "power" else self._of_an_integer()
        return module(self, term.lines + accumulate(term, self.acc_bits), ("acc",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        left = squared_codes(inputs["w"], self.bits)
        right = squared_codes(inputs["a"], self.a_bits) if self.activation == "power" else inputs["a"]
        return {"acc": sums_in(self.outputs[0], left * right, inputs["clear"])}

    def _of_an_integer(self) -> Addend:
        low, signed = self.bits - 1, self.activation == "signed"
        bits, right = 2 * low + self.a_bits, Wire("a", self.a_bits, signed)
        if self.bits <= SIGNED_TABLE_BITS:
            codes = [k if k < 1 << low else k - (2 << low) for k in range(2 << low)]
            squares = [k * abs(k) if k > -(1 << low) else 0 for k in codes]
            lines = f"  wire [{low}:0] code = w;\n" + table("code", squares, "square", 2 * low + 1, True)
            lines += multiplied(Wire("square", 2 * low + 1, True), right, "word", bits + 1)
            return Addend(lines, "word", bits + 1, NO_CARRY)
        lines = magnitude("w", self.bits) + table("w_magnitude", [k * k for k in range(1 << low)], "square", 2 * low)
        lines += multiplied(Wire("square", 2 * low), right, "product", bits)
        return Addend(lines + _inverted("product", bits, signed, f"w[{low}]"), "word", bits + 1, "negative")

    def _of_two_powers(self) -> Addend:
        m, n = self.bits - 1, self.a_bits - 1
        bits = 2 * (m + n)
        lines = magnitude("w", self.bits) + magnitude("a", self.a_bits)
        if m + n <= TABLE_BITS:
            squares = [((k >> n) * (k & ((1 << n) - 1))) ** 2 for k in range(1 << (m + n))]
            lines += f"  wire [{m + n - 1}:0] both = {{w_magnitude, a_magnitude}};\n"
            lines += table("both", squares, "square", bits)
        else:
            product = Wire("product", m + n)
            lines += multiplied(Wire("w_magnitude", m), Wire("a_magnitude", n), "product", m + n)
            lines += multiplied(product, product, "square", bits)
        return Addend(lines + _inverted("square", bits, False, f"w[{m}] ^ a[{n}]"), "word", bits + 1, "negative")


def _inverted(product: str, bits: int, signed: bool, negative: str) -> str:
    """Lines that declare `negative` and `word`, a product inverted where it is negative."""
    top = f"{product}[{bits - 1}]" if signed else "1'b0"
    return f"""  wire negative = {negative};
  wire signed [{bits}:0] word = {{{top}, {product}}} ^ {{{bits + 1}{{negative}}}};
"""


def magnitude(code: str, bits: int) -> str:
    """Lines that declare `{code}_magnitude`, 0 for the code -2^(bits-1)."""
    low = bits - 1
    if low == 1:
        return f"  wire [0:0] {code}_magnitude = {code}[0];\n"
    flip = f"{{{low}{{{code}[{low}]}}}}"
    return f"  wire [{low - 1}:0] {code}_magnitude = ({code}[{low - 1}:0] ^ {flip}) + {code}[{low}];\n"


def squared_codes(codes: Vectors, bits: int) -> Vectors:
    """sign(q) q^2 of codes of a power format, as integers."""
    power = Power(bits, 0.5)
    inside = np.where(codes < -power.max_code, 0, codes)
    return np.asarray(np.rint(decode(inside, power) * power.max_code**2), dtype=np.int64)
