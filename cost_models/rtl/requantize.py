"""Requantizers: an accumulator, scaled, rounded half to even and saturated to an integer format.

A power-of-two scale is a shift and costs nothing but the rounding; any other scale is an unsigned integer, one a
channel, that multiplies the accumulator first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hwsim.core.errors import InputError
from hwsim.core.formats import Int
from hwsim.core.requantize import requantize
from hwsim.cost_models.rtl.multiply import Wire, multiplied
from hwsim.cost_models.rtl.unit import Port, Vectors, module

MOST_BITS = 62  # of a number to round: the reference computes in int64


@dataclass(frozen=True, slots=True)
class ShiftRequantizer:
    """`y = saturate(round(x 2^-shift))`, combinational; see `hwsim.core.requantize`.

    Attributes
    ----------
    in_bits : of the signed accumulator x.
    shift : bits dropped; negative appends zeros.
    out_bits, signed, narrow : the integer format of y.
    """

    family: ClassVar[str] = "shift_requantize"
    in_bits: int
    shift: int
    out_bits: int
    signed: bool
    narrow: bool

    @property
    def name(self) -> str:
        return f"shift_requantize_b{self.in_bits}_{_shift_name(self.shift)}_{_format_name(self.format)}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def format(self) -> Int:
        return Int(self.out_bits, self.signed, self.narrow)

    @property
    def inputs(self) -> tuple[Port, ...]:
        return (Port("x", self.in_bits, True),)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("y", self.out_bits, self.signed),)

    def verilog(self) -> str:
        return module(self, requantized("x", self.in_bits, self.shift, self.format))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        _check(self.in_bits)
        return {"y": requantize(inputs["x"], self.shift, self.format)}


@dataclass(frozen=True, slots=True)
class MultiplyRequantizer:
    """`y = saturate(round(x scale 2^-shift))`, combinational.

    Attributes
    ----------
    scale_bits : of the unsigned scale, an input.
    """

    family: ClassVar[str] = "multiply_requantize"
    in_bits: int
    scale_bits: int
    shift: int
    out_bits: int
    signed: bool
    narrow: bool

    @property
    def name(self) -> str:
        sizes = f"b{self.in_bits}_x{self.scale_bits}_{_shift_name(self.shift)}"
        return f"multiply_requantize_{sizes}_{_format_name(self.format)}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def format(self) -> Int:
        return Int(self.out_bits, self.signed, self.narrow)

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("x", self.in_bits, True), Port("scale", self.scale_bits)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("y", self.out_bits, self.signed),)

    def verilog(self) -> str:
        bits = self.in_bits + self.scale_bits
        body = multiplied(Wire("x", self.in_bits, True), Wire("scale", self.scale_bits), "p", bits)
        return module(self, body + requantized("p", bits, self.shift, self.format))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        _check(self.in_bits + self.scale_bits)
        return {"y": requantize(inputs["x"] * inputs["scale"], self.shift, self.format)}


def requantized(source: str, bits: int, shift: int, fmt: Int) -> str:
    """Verilog that assigns to y the signed `source` of `bits` bits, shifted, rounded and saturated to `fmt`."""
    if shift > 0:
        full = max(bits, shift + 1)
        width = full - shift + 1
        below = f"full[{shift}] | |full[{shift - 2}:0]" if shift > 1 else f"full[{shift}]"
        rounding = f"""  wire signed [{full - 1}:0] full = {source};
  wire up = full[{shift - 1}] & ({below});
  wire signed [{width - 1}:0] rounded = $signed(full[{full - 1}:{shift}]) + $signed({{1'b0, up}});
"""
    else:
        width = bits - shift
        exact = f"{{{source}, {-shift}'d0}}" if shift else source
        rounding = f"  wire signed [{width - 1}:0] rounded = {exact};\n"
    return rounding + (_signed_clip if fmt.signed else _unsigned_clip)(width, fmt)


def _signed_clip(width: int, fmt: Int) -> str:
    b = fmt.bits
    r = max(width, b)
    lowest = f" | (negative & (~fits | ~|wide[{b - 2}:0]))" if fmt.narrow else ""
    return f"""  wire signed [{r - 1}:0] wide = rounded;
  wire negative = wide[{r - 1}];
  wire fits = &wide[{r - 1}:{b - 1}] | ~|wide[{r - 1}:{b - 1}];
  wire [{b - 2}:0] bits = fits ? wide[{b - 2}:0] : {{{b - 1}{{~negative}}}};
  assign y = {{negative, bits{lowest}}};
"""


def _unsigned_clip(width: int, fmt: Int) -> str:
    b = fmt.bits
    r = max(width, b + 1)
    over = f"|wide[{r - 2}:{b}]" if r - 2 >= b else "1'b0"
    if fmt.narrow:
        over += f" | &wide[{b - 1}:0]"
    highest = f"{b}'d{fmt.max_code}"
    return f"""  wire signed [{r - 1}:0] wide = rounded;
  wire over = {over};
  assign y = wide[{r - 1}] ? {b}'d0 : over ? {highest} : wide[{b - 1}:0];
"""


def _shift_name(shift: int) -> str:
    return f"drop{shift}" if shift >= 0 else f"append{-shift}"


def _format_name(fmt: Int) -> str:
    return f"{'s' if fmt.signed else 'u'}{fmt.bits}{'n' if fmt.narrow else ''}"


def _check(bits: int) -> None:
    if bits > MOST_BITS:
        raise InputError(f"{bits} bits to round", where="requantizer", hint=f"allowed: up to {MOST_BITS}")
