"""Operators on single accumulators: rectifier and residual addition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost_models.rtl.add import added
from hwsim.cost_models.rtl.unit import Port, Vectors, module


@dataclass(frozen=True, slots=True)
class Relu:
    """`y = max(x, 0)`, combinational.

    Attributes
    ----------
    bits : of the signed x, at least 2; y is unsigned and has one less.
    """

    family: ClassVar[str] = "relu"
    bits: int

    @property
    def name(self) -> str:
        return f"relu_s{self.bits}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return (Port("x", self.bits, True),)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("y", self.bits - 1),)

    def verilog(self) -> str:
        top = self.bits - 1
        return module(self, f"  assign y = x[{top - 1}:0] & ~{{{top}{{x[{top}]}}}};")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"y": np.maximum(inputs["x"], 0)}


@dataclass(frozen=True, slots=True)
class ResidualAdd:
    """`y = a 2^shift + b`, or `a + b 2^-shift` where the shift is negative; combinational, never wraps.

    Attributes
    ----------
    bits_a, bits_b : of two signed accumulators whose units are 2^shift apart.
    """

    family: ClassVar[str] = "residual_add"
    bits_a: int
    bits_b: int
    shift: int

    @property
    def name(self) -> str:
        shift = f"a{self.shift}" if self.shift >= 0 else f"b{-self.shift}"
        return f"residual_add_s{self.bits_a}_s{self.bits_b}_{shift}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("a", self.bits_a, True), Port("b", self.bits_b, True)

    @property
    def outputs(self) -> tuple[Port, ...]:
        widest = max(self.bits_a + max(self.shift, 0), self.bits_b + max(-self.shift, 0))
        return (Port("y", widest + 1, True),)

    def verilog(self) -> str:
        a = f"(a <<< {self.shift})" if self.shift > 0 else "a"
        b = f"(b <<< {-self.shift})" if self.shift < 0 else "b"
        (y,) = self.outputs
        lines = f"""  wire signed [{y.bits - 1}:0] from_a = {a};
  wire signed [{y.bits - 1}:0] from_b = {b};
{added("from_a", "from_b", "1'b0", "total", y.bits)}"""
        return module(self, lines + "  assign y = total;")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"y": inputs["a"] * 2 ** max(self.shift, 0) + inputs["b"] * 2 ** max(-self.shift, 0)}
