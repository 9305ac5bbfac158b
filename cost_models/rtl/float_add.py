"""Floating-point adders and accumulators with one rounding an addition, half to even.

The formats are those of IEEE 754 with subnormals kept. Two things differ: a sum beyond the largest finite number gives
that number, so that neither Inf nor NaN arises, and an operand with the highest exponent field (which then stands for
no Inf or NaN) counts as the number that it would be if all exponents were finite.

The operand of smaller magnitude moves right by the difference of exponents, keeping two bits and a sticky one; the sum
moves left by its leading zeros, but by no more than the exponent allows. Both shifts go from coarse to fine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.add import added
from hwsim.cost_models.rtl.unit import Port, Vectors, module


@dataclass(frozen=True, slots=True)
class FloatAdder:
    """`y = a + b`, combinational, on codes of a binary floating-point format.

    Attributes
    ----------
    e, m : exponent and mantissa bits: 8 and 23 for float32, 8 and 7 for bfloat16, 5 and 10 for float16.
    """

    family: ClassVar[str] = "float_add"
    e: int = 8
    m: int = 23

    def __post_init__(self) -> None:
        _check(self.e, self.m)

    @property
    def name(self) -> str:
        return f"float_add_e{self.e}m{self.m}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        bits = 1 + self.e + self.m
        return Port("a", bits), Port("b", bits)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("y", 1 + self.e + self.m),)

    def verilog(self) -> str:
        return module(self, float_sum("a", "b", self.e, self.m) + "  assign y = f_sum;")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        exact = from_code(inputs["a"], self.e, self.m) + from_code(inputs["b"], self.e, self.m)
        return {"y": to_code(exact, self.e, self.m)}


@dataclass(frozen=True, slots=True)
class FloatAccumulator:
    """`acc <= (clear ? 0 : acc) + x` on codes of a binary floating-point format."""

    family: ClassVar[str] = "float_accumulate"
    e: int = 8
    m: int = 23

    def __post_init__(self) -> None:
        _check(self.e, self.m)

    @property
    def name(self) -> str:
        return f"float_accumulate_e{self.e}m{self.m}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("clear", 1), Port("x", 1 + self.e + self.m)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("acc", 1 + self.e + self.m),)

    def verilog(self) -> str:
        return module(self, accumulated("x", self.e, self.m), ("acc",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"acc": running_float_sum(inputs["x"], inputs["clear"], self.e, self.m)}


def running_float_sum(x: Vectors, clear: Vectors, e: int, m: int) -> Vectors:
    """Codes of an accumulator after each row, which starts from +0 where `clear`."""
    found = np.zeros(len(x), dtype=np.int64)
    values = from_code(x, e, m)
    total = np.zeros(1, dtype=np.int64)
    for row in range(len(x)):
        held = np.zeros(1) if clear[row] else from_code(total, e, m)
        total = to_code(held + values[row], e, m)
        found[row] = total[0]
    return found


def from_code(codes: Vectors, e: int, m: int) -> NDArray[np.float64]:
    """Exact values of codes; the highest exponent field counts as finite."""
    c = np.asarray(codes, dtype=np.int64)
    field, mantissa = (c >> m) & ((1 << e) - 1), c & ((1 << m) - 1)
    significand = np.where(field > 0, mantissa + (1 << m), mantissa).astype(np.float64)
    value = np.ldexp(significand, np.maximum(field, 1) - ((1 << (e - 1)) - 1) - m)
    return np.asarray(np.where((c >> (e + m)) & 1 == 1, -value, value), dtype=np.float64)


def to_code(x: NDArray[np.float64], e: int, m: int) -> Vectors:
    """Codes of the nearest numbers, half to even, saturating at the largest finite number of IEEE 754.

    Rounding a float64 sum of two numbers once more harms nothing: 53 >= 2 (m + 1) + 2 (Figueroa, SIGNUM Newsletter
    30(3), 1995).
    """
    bias = (1 << (e - 1)) - 1
    top = np.ldexp(float((1 << (m + 1)) - 1), bias - m)
    _, exponent = np.frexp(x)
    binade = np.clip(exponent - 1, 1 - bias, bias)
    rounded = np.clip(np.rint(np.ldexp(x, m - binade)) * np.ldexp(1.0, binade - m), -top, top)
    size = np.abs(rounded)
    _, exponent = np.frexp(size)
    binade = np.where(size > 0, np.maximum(exponent - 1, 1 - bias), 1 - bias)
    significand = np.ldexp(size, m - binade).astype(np.int64)
    magnitude = ((binade - (1 - bias)).astype(np.int64) << m) + significand
    return np.asarray(magnitude | (np.signbit(rounded).astype(np.int64) << (e + m)), dtype=np.int64)


def accumulated(x: str, e: int, m: int) -> str:
    """Verilog of the register acc, to which `x` is added at each clock edge."""
    return f"""  wire [{e + m}:0] f_from = acc & ~{{{e + m + 1}{{clear}}}};
{float_sum("f_from", x, e, m)}  initial acc = 0;
  always @(posedge clk) acc <= f_sum;
"""


def float_sum(a: str, b: str, e: int, m: int) -> str:
    """Verilog of the wire `f_sum`, the code of a + b; all its wires start with `f_`."""
    high, w = e + m - 1, e + m
    return f"""  wire f_swap = {b}[{high}:0] > {a}[{high}:0];
  wire [{w}:0] f_big = f_swap ? {b} : {a};
  wire [{w}:0] f_small = f_swap ? {a} : {b};
  wire [{e - 1}:0] f_big_exp = {{f_big[{high}:{m + 1}], f_big[{m}] | ~|f_big[{high}:{m + 1}]}};
  wire [{e - 1}:0] f_small_exp = {{f_small[{high}:{m + 1}], f_small[{m}] | ~|f_small[{high}:{m + 1}]}};
  wire [{e - 1}:0] f_apart = f_big_exp - f_small_exp;
  wire f_sub = {a}[{w}] ^ {b}[{w}];
{_moved_right(e, m)}{_added(e, m)}{_normalised(e, m)}{_rounded(e, m)}"""


def _moved_right(e: int, m: int) -> str:
    """`f_moved`: the smaller significand, two bits more and a sticky bit, in the exponent of the larger."""
    width = m + 4
    stages = min((width - 1).bit_length(), e)
    lines = [f"  wire [{width - 1}:0] f_r{stages} = {{|f_small[{e + m - 1}:{m}], f_small[{m - 1}:0], 3'd0}};\n"]
    for k in reversed(range(stages)):
        step = 1 << k
        before = f"f_r{k + 1}"
        kept = f"{before}[{width - 1}:{step + 1}], " if step < width - 1 else ""
        moved = f"{{{step}'d0, {kept}|{before}[{step}:0]}}"
        lines.append(f"  wire [{width - 1}:0] f_r{k} = f_apart[{k}] ? {moved} : {before};\n")
    if stages < e:
        nothing = f"{{{width - 1}'d0, |f_r0}}"
        lines.append(f"  wire [{width - 1}:0] f_moved = |f_apart[{e - 1}:{stages}] ? {nothing} : f_r0;\n")
    else:
        lines.append(f"  wire [{width - 1}:0] f_moved = f_r0;\n")
    return "".join(lines)


def _added(e: int, m: int) -> str:
    """`f_l`: sum of magnitudes, its carry on top. The borrow of a subtraction enters below the lowest bit."""
    width = m + 4
    lines = f"""  wire [{width}:0] f_one = {{1'b0, |f_big[{e + m - 1}:{m}], f_big[{m - 1}:0], 3'd0}};
  wire [{width}:0] f_other = {{f_sub, f_moved ^ {{{width}{{f_sub}}}}}};
"""
    return lines + added("f_one", "f_other", "f_sub", "f_total", width + 1, signed=False)


def _normalised(e: int, m: int) -> str:
    """`f_l0`, moved left by `f_left`: leading zeros of the sum, but at most the exponent.

    `f_freeK` tells, from bit K upwards, that the exponent allows more than the shift so far.
    """
    width = m + 5
    stages = min((width - 1).bit_length(), e)
    free = f"|f_big_exp[{e - 1}:{stages}]" if stages < e else "1'b0"
    lines = [f"  wire [{width - 1}:0] f_l{stages} = f_total;\n  wire f_free{stages} = {free};\n"]
    lines.append(f"  wire [{stages - 1}:0] f_left;\n")
    for k in reversed(range(stages)):
        step = min(1 << k, width)
        before, allowed = f"f_l{k + 1}", f"f_big_exp[{k}]"
        rest = f"{{{before}[{width - step - 1}:0], {step}'d0}}" if step < width else f"{width}'d0"
        lines.append(f"""  assign f_left[{k}] = ~|{before}[{width - 1}:{width - step}] & (f_free{k + 1} | {allowed});
  wire f_free{k} = f_free{k + 1} | ({allowed} & ~f_left[{k}]);
  wire [{width - 1}:0] f_l{k} = f_left[{k}] ? {rest} : {before};
""")
    return "".join(lines)


def _rounded(e: int, m: int) -> str:
    """`f_sum`: a zero sum of opposite signs is +0; beyond the largest finite number, that number."""
    bits = e + m
    return f"""  wire [{e}:0] f_field = f_big_exp + f_l0[{m + 4}] - f_left;
  wire f_up = f_l0[3] & (|f_l0[2:0] | f_l0[4]);
  wire [{bits}:0] f_code = {{f_field, f_l0[{m + 3}:4]}} + f_up;
  wire f_over = f_code[{bits}] | &f_code[{bits - 1}:{m}];
  wire f_some = |f_total;
  wire [{bits - 1}:0] f_size = f_over ? {{{{{e - 1}{{1'b1}}}}, 1'b0, {{{m}{{1'b1}}}}}} : f_code[{bits - 1}:0];
  wire [{bits}:0] f_sum = {{f_big[{bits}] & (f_some | ~f_sub), f_size & {{{bits}{{f_some}}}}}};
"""


def _check(e: int, m: int) -> None:
    if not (2 <= e <= 9 and 1 <= m <= 24):
        raise InputError(f"a float of e{e}m{m}", where="float adder", hint="allowed: 2..9 and 1..24 bits")
