"""One side of an exact product: the fields of its code in Verilog, and its values as integers.

A minifloat is a significand with its hidden bit, shifted left by its exponent field; the field 0 of the subnormals
shifts like field 1. In units of the smallest step that is an integer, so an integer operand is the same thing without
an exponent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.core.codes import decode
from hwsim.core.formats import Minifloat, minifloat
from hwsim.cost_models.rtl.unit import Port, Vectors, as_vectors


@dataclass(frozen=True, slots=True)
class MinifloatFactor:
    """A minifloat operand: codes of `Minifloat(exponent, mantissa)`, all finite.

    Attributes
    ----------
    exponent, mantissa : field widths.
    signed : whether codes have a sign bit.
    """

    exponent: int
    mantissa: int
    signed: bool

    @property
    def format(self) -> Minifloat:
        return minifloat(self.exponent, self.mantissa, signed=self.signed)

    @property
    def label(self) -> str:
        return str(self.format)

    @property
    def bits(self) -> int:
        return self.exponent + self.mantissa + int(self.signed)

    @property
    def significand_bits(self) -> int:
        return self.mantissa + 1

    @property
    def largest(self) -> int:
        """Of the significand, hidden bit included."""
        return (1 << (self.mantissa + 1)) - 1

    @property
    def shifts(self) -> range:
        """Values of the wire `shift` where the significand is not zero; one value if there is no such wire."""
        return range(1, 1 << self.exponent)

    @property
    def twos_complement(self) -> bool:
        return False

    def port(self, name: str) -> Port:
        return Port(name, self.bits)

    def fields(self, code: str, to: str) -> str:
        """Wires `{to}_sig`, `{to}_shift` (two exponent bits and up) and `{to}_sign` (signed) of a code."""
        e, m = self.exponent, self.mantissa
        field = f"{code}[{e + m - 1}:{m}]"
        lines = [f"  wire {to}_normal = |{field};"]
        tail = f", {code}[{m - 1}:0]" if m else ""
        lines.append(f"  wire [{m}:0] {to}_sig = {{{to}_normal{tail}}};")
        if e > 1 and m:
            lines.append(
                f"  wire [{e - 1}:0] {to}_shift = {{{code}[{e + m - 1}:{m + 1}], {code}[{m}] | ~{to}_normal}};"
            )
        elif e > 1:  # field 0 is zero whatever the shift
            lines.append(f"  wire [{e - 1}:0] {to}_shift = {field};")
        if self.signed:
            lines.append(f"  wire {to}_sign = {code}[{e + m}];")
        return "\n".join(lines) + "\n"

    def multiples(self, codes: Vectors) -> Vectors:
        """Values of codes in units of the smallest step: below 2^38 up to five exponent and seven mantissa bits."""
        multiples = np.rint(decode(codes, self.format) / self.format.smallest)
        return as_vectors(Port("multiple", self.format.significand_bits), multiples)


@dataclass(frozen=True, slots=True)
class IntegerFactor:
    """An integer operand, in two's complement where signed."""

    bits: int
    signed: bool

    @property
    def label(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}"

    @property
    def significand_bits(self) -> int:
        return self.bits

    @property
    def largest(self) -> int:
        """Of the magnitude."""
        return 1 << (self.bits - 1) if self.signed else (1 << self.bits) - 1

    @property
    def shifts(self) -> range:
        return range(1)

    @property
    def twos_complement(self) -> bool:
        return self.signed

    def port(self, name: str) -> Port:
        return Port(name, self.bits, self.signed)

    def fields(self, code: str, to: str) -> str:
        """The wire `{to}_sig`."""
        return f"  wire{' signed' if self.signed else ''} [{self.bits - 1}:0] {to}_sig = {code};\n"

    def multiples(self, codes: Vectors) -> Vectors:
        """The integers themselves."""
        return codes


Factor = MinifloatFactor | IntegerFactor
