"""Minifloat decoders: a code in, the exact value out, as an integer multiple of the format's smallest step.

The significand, its hidden bit included, is shifted left by max(exponent field, 1), and the lowest bit of the result is
dropped: that saves a decrement. The sign is applied before the shift, where the number is short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hwsim.core.codes import decode
from hwsim.core.formats import Minifloat, minifloat
from hwsim.cost_models.rtl.factor import MinifloatFactor
from hwsim.cost_models.rtl.multiply import TABLE_BITS
from hwsim.cost_models.rtl.unit import Port, Vectors, as_vectors, module


@dataclass(frozen=True, slots=True)
class MinifloatDecoder:
    """`x = value(code) / smallest step`, combinational.

    Attributes
    ----------
    e, m : exponent and mantissa bits; all codes are finite.
    signed : whether the code has a sign bit; x is then in two's complement.
    """

    family: ClassVar[str] = "minifloat_decode"
    e: int
    m: int
    signed: bool = True

    @property
    def name(self) -> str:
        return f"minifloat_decode_{'' if self.signed else 'u'}e{self.e}m{self.m}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def format(self) -> Minifloat:
        return minifloat(self.e, self.m, signed=self.signed)

    @property
    def inputs(self) -> tuple[Port, ...]:
        return (Port("code", self.format.bits),)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("x", self.format.significand_bits + int(self.signed), self.signed),)

    def verilog(self) -> str:
        bits = self.outputs[0].bits
        body, short = MinifloatFactor(self.e, self.m, self.signed).fields("code", "c"), "c_sig"
        if self.signed:
            short = "number"
            body += f"  wire signed [{self.m + 1}:0] number;\n"
            body += _inverted(self.m) if self.format.bits <= TABLE_BITS else _negated()
        if self.e == 1:  # subnormals and normals have the same step
            return module(self, f"{body}  assign x = {short};")
        kind = "wire signed" if self.signed else "wire"
        body += f"""  {kind} [{bits}:0] wide = {short};
  wire [{bits}:0] shifted = wide << c_shift;
  assign x = shifted[{bits}:1];
"""
        return module(self, body)

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        multiples = decode(inputs["code"], self.format) / self.format.smallest
        return {"x": as_vectors(self.outputs[0], [int(v) for v in multiples])}


def _negated() -> str:
    """Assigns to `number` the significand, negated where c_sign."""
    return "  assign number = c_sign ? -{1'b0, c_sig} : {1'b0, c_sig};\n"


def _inverted(m: int) -> str:
    """The same in logic: bits above the lowest one of the significand are inverted.

    Where a code has no more bits than a LUT inputs, so that each bit of x is one LUT; a carry chain would divide them.
    """
    lines = ["  assign number[0] = c_sig[0];\n"]
    lines += [f"  assign number[{i}] = c_sig[{i}] ^ (c_sign & |c_sig[{i - 1}:0]);\n" for i in range(1, m + 1)]
    return "".join([*lines, f"  assign number[{m + 1}] = c_sign & |c_sig;\n"])
