"""An exact accumulator: one adder whose carry input completes the negation of the addend."""

from __future__ import annotations

import numpy as np

from hwsim.cost_models.rtl.integer import running_sum
from hwsim.cost_models.rtl.product import Addend
from hwsim.cost_models.rtl.unit import WIDEST_INT64, Port, Vectors, wrapped


def accumulate(term: Addend, acc_bits: int, acc: str = "acc") -> str:
    """Lines that add a term to the output register `acc`, from zero where the input `clear` is one.

    One more bit below makes the carry input: both addends have the carry there. The term stands first because
    the carry chain of Xilinx parts takes its first operand unchanged, and the other may then be gated for free.
    """
    return f"""  wire signed [{acc_bits - 1}:0] {acc}_from = clear ? {acc_bits}'d0 : {acc};
{added(term.word, f"{acc}_from", term.carry, f"{acc}_next", acc_bits)}  initial {acc} = 0;
  always @(posedge clk) {acc} <= {acc}_next;
"""


def added(first: str, second: str, carry: str, total: str, bits: int, signed: bool = True) -> str:
    """Lines that declare `total` as the sum of two wires, all of one signedness, and a carry."""
    kind, cast = ("wire signed", "$signed") if signed else ("wire", "")
    if carry == "1'b0":
        return f"  {kind} [{bits - 1}:0] {total} = {first} + {second};\n"
    return f"""  {kind} [{bits}:0] {total}_and_carry = {cast}({{{first}, {carry}}}) + {cast}({{{second}, {carry}}});
  {kind} [{bits - 1}:0] {total} = {total}_and_carry[{bits}:1];
"""


def sums_in(port: Port, terms: Vectors, clear: Vectors) -> Vectors:
    """Running sums of terms as an accumulator of the width of `port` holds them."""
    if port.bits > WIDEST_INT64 - 1:
        terms = np.asarray(terms, dtype=object)
    return wrapped(running_sum(terms, clear), port)
