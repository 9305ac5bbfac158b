"""Integer multipliers and multiply-accumulate units: a signed weight times a signed or unsigned activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost_models.rtl.add import added
from hwsim.cost_models.rtl.multiply import Wire, multiplied
from hwsim.cost_models.rtl.unit import Port, Vectors, module, wrapped


@dataclass(frozen=True, slots=True)
class IntMultiplier:
    """`p = w * a`, combinational.

    Attributes
    ----------
    w_bits, a_bits : widths, 1 to 16.
    a_signed : whether activations are signed; weights are.
    """

    family: ClassVar[str] = "int_mul"
    w_bits: int
    a_bits: int
    a_signed: bool

    @property
    def name(self) -> str:
        return f"{self.family}_s{self.w_bits}_{'s' if self.a_signed else 'u'}{self.a_bits}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("w", self.w_bits, True), Port("a", self.a_bits, self.a_signed)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("p", self.w_bits + self.a_bits, True),)

    def verilog(self) -> str:
        return module(self, _product(self, "product") + "  assign p = product;")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"p": inputs["w"] * inputs["a"]}


@dataclass(frozen=True, slots=True)
class DspMultiplier(IntMultiplier):
    """`p = w * a` for a DSP block: the product is left to the synthesis tool, whose flow may use DSPs."""

    family: ClassVar[str] = "dsp_mul"

    def verilog(self) -> str:
        return module(self, f"  assign p = {signed_product(self.a_signed)};")


@dataclass(frozen=True, slots=True)
class IntMac:
    """`acc <= (clear ? 0 : acc) + w * a`.

    Attributes
    ----------
    acc_bits : of the accumulator, at least those of a product; sums beyond it wrap.
    """

    family: ClassVar[str] = "int_mac"
    w_bits: int
    a_bits: int
    a_signed: bool
    acc_bits: int

    @property
    def name(self) -> str:
        return f"int_mac_s{self.w_bits}_{'s' if self.a_signed else 'u'}{self.a_bits}_acc{self.acc_bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("clear", 1), Port("w", self.w_bits, True), Port("a", self.a_bits, self.a_signed)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("acc", self.acc_bits, True),)

    def verilog(self) -> str:
        n = self.acc_bits
        body = f"""{_product(self, "product")}  wire signed [{n - 1}:0] acc_from = clear ? {n}'d0 : acc;
{added("product", "acc_from", "1'b0", "acc_next", n)}\
  initial acc = 0;
  always @(posedge clk) acc <= acc_next;
"""
        return module(self, body, ("acc",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"acc": wrapped(running_sum(inputs["w"] * inputs["a"], inputs["clear"]), self.outputs[0])}


def _product(unit: IntMultiplier | IntMac, found: str) -> str:
    """Lines that declare `found`, the product of the ports w and a."""
    w, a = Wire("w", unit.w_bits, True), Wire("a", unit.a_bits, unit.a_signed)
    return multiplied(w, a, found, unit.w_bits + unit.a_bits)


def signed_product(a_signed: bool) -> str:
    """The product of ports w and a in Verilog, where one unsigned operand would make it unsigned."""
    return "w * a" if a_signed else "w * $signed({1'b0, a})"


def running_sum(terms: Vectors, clear: Vectors) -> Vectors:
    """Sums since the last row with `clear`, that row included."""
    total = np.cumsum(terms)
    starts = np.flatnonzero(np.asarray(clear) != 0)
    before = np.zeros(len(terms), dtype=terms.dtype)
    for start in starts:
        before[start:] = total[start] - terms[start]
    return total - before
