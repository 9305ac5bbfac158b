"""An exact accumulator: one adder whose carry input completes the negation of the addend."""

from __future__ import annotations

import numpy as np

from hwsim.cost_models.rtl.integer import running_sum
from hwsim.cost_models.rtl.product import NO_CARRY, Addend
from hwsim.cost_models.rtl.unit import WIDEST_INT64, Port, Vectors, wrapped


def accumulate(term: Addend, acc_bits: int, acc: str = "acc") -> str:
    """Lines that add a term to the output register `acc`, from zero where the input `clear` is one.

    The old sum is gated in front of the adder, which costs no LUT, rather than chosen against behind it.
    """
    carry = "" if term.carry == NO_CARRY else f" + $signed({{1'b0, {term.carry}}})"
    return f"""  wire signed [{acc_bits - 1}:0] {acc}_from = clear ? {acc_bits}'d0 : {acc};
  initial {acc} = 0;
  always @(posedge clk) {acc} <= {term.word} + {acc}_from{carry};
"""


def added(first: str, second: str, carry: str, total: str, bits: int, signed: bool = True) -> str:
    """Lines that declare `total` as the sum of two wires, both signed or both not, and a carry.

    One bit more below makes the carry: both words have it there. It also keeps sums of sums apart, which Yosys would
    compress together: 85 LUTs instead of 60 for eight signed bytes.
    """
    kind, cast = ("wire signed", "$signed") if signed else ("wire", "")
    return f"""  {kind} [{bits}:0] {total}_and_carry = {cast}({{{first}, {carry}}}) + {cast}({{{second}, {carry}}});
  {kind} [{bits - 1}:0] {total} = {total}_and_carry[{bits}:1];
"""


def sums_in(port: Port, terms: Vectors, clear: Vectors) -> Vectors:
    """Running sums of terms as an accumulator of the width of `port` holds them."""
    if port.bits > WIDEST_INT64 - 1:
        terms = np.asarray(terms, dtype=object)
    return wrapped(running_sum(terms, clear), port)
