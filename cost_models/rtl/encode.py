"""Minifloat encoders: a fixed-point accumulator in, the nearest code out.

The exponent field is found one bit at a time from the highest: it is one where the leading one lies in the upper part
of what is left, and then everything moves down by that many places, what falls off below being kept as one sticky bit.
For the lowest bit, values without a leading one (subnormals) move as those of field 1 do. Exponent and mantissa
together are one number, which rounding half to even increases by one; a carry out of the mantissa so raises the
exponent by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.core.codes import encode
from hwsim.core.formats import Minifloat, minifloat
from hwsim.cost_models.rtl.exact_float import odd_float
from hwsim.cost_models.rtl.unit import Port, Vectors, module


@dataclass(frozen=True, slots=True)
class MinifloatEncoder:
    """`code = encode(x 2^-drop smallest)`, combinational: half to even, saturating, negative values to -0 or, where
    the target is unsigned, to 0.

    Attributes
    ----------
    in_bits : of the signed accumulator x.
    drop : bits of x below the smallest step of the target: x counts units of 2^-drop smallest steps. Negative where
        the unit of x is 2^-drop steps.
    e, m, signed : the target; all its codes are finite.
    """

    family: ClassVar[str] = "minifloat_encode"
    in_bits: int
    drop: int
    e: int
    m: int
    signed: bool = True

    @property
    def name(self) -> str:
        drop = f"drop{self.drop}" if self.drop >= 0 else f"append{-self.drop}"
        return f"minifloat_encode_b{self.in_bits}_{drop}_{'' if self.signed else 'u'}e{self.e}m{self.m}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def format(self) -> Minifloat:
        return minifloat(self.e, self.m, signed=self.signed)

    @property
    def inputs(self) -> tuple[Port, ...]:
        return (Port("x", self.in_bits, True),)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("code", self.format.bits),)

    def verilog(self) -> str:
        top = self.in_bits - 1
        if self.signed:
            magnitude = f"  wire [{top}:0] magnitude = (x ^ {{{self.in_bits}{{x[{top}]}}}}) + x[{top}];\n"
        else:
            magnitude = f"  wire [{top}:0] magnitude = x[{top}] ? {self.in_bits}'d0 : x;\n"
        result = f"{{x[{top}], rounded}}" if self.signed else "rounded"
        body = magnitude + self._aligned() + self._normalised() + self._rounded()
        return module(self, body + f"  assign code = {result};")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        exact = np.ldexp(odd_float(inputs["x"]) * self.format.smallest, -self.drop)
        return {"code": encode(exact, self.format)}

    def _aligned(self) -> str:
        """`w{e}`, from the bit below half a smallest step to the leading one of the top binade; sticky; overflow."""
        appended = max(0, 2 - self.drop)
        below = self.drop + appended - 2
        bits = self.in_bits + appended
        width = self.m + 1 + (1 << self.e)
        source = f"{{magnitude, {appended}'d0}}" if appended else "magnitude"
        full = max(bits, below + width)
        over = f"|full[{full - 1}:{below + width}]" if full > below + width else "1'b0"
        sticky = f"|full[{below - 1}:0]" if below else "1'b0"
        return f"""  wire [{full - 1}:0] full = {source};
  wire over = {over};
  wire [{width - 1}:0] w{self.e} = full[{below + width - 1}:{below}];
  wire s{self.e} = {sticky};
"""

    def _normalised(self) -> str:
        """`field`, the exponent field; `w0`: leading one, mantissa and the half; `s0`: anything below it."""
        lines = [f"  wire [{self.e - 1}:0] field;\n"]
        for k in reversed(range(self.e)):
            step = 1 << k
            width = self.m + 1 + 2 * step
            move = f"field[{k}]"
            if k == 0:
                move = f"field[0] | ~|field[{self.e - 1}:1]" if self.e > 1 else "1'b1"
            lines.append(f"""  assign field[{k}] = |w{k + 1}[{width - 1}:{width - step}];
  wire move{k} = {move};
  wire [{width - step - 1}:0] w{k} = move{k} ? w{k + 1}[{width - 1}:{step}] : w{k + 1}[{width - step - 1}:0];
  wire s{k} = s{k + 1} | (move{k} & |w{k + 1}[{step - 1}:0]);
""")
        return "".join(lines)

    def _rounded(self) -> str:
        bits = self.e + self.m
        kept = f"{{field, w0[{self.m}:1]}}" if self.m else "field"
        return f"""  wire [{bits - 1}:0] kept = {kept};
  wire up = w0[0] & (s0 | kept[0]);
  wire [{bits - 1}:0] rounded = (kept + (up & ~&kept)) | {{{bits}{{over}}}};
"""
