"""An exact accumulator: one adder whose carry input completes the negation of the addend."""

from __future__ import annotations

import numpy as np

from hwsim.cost_models.rtl.add import added
from hwsim.cost_models.rtl.integer import running_sum
from hwsim.cost_models.rtl.product import Addend
from hwsim.cost_models.rtl.unit import WIDEST_INT64, Port, Vectors, wrapped


def accumulate(term: Addend, acc_bits: int, acc: str = "acc") -> str:
    """Lines that add a term to the output register `acc`, from zero where the input `clear` is one.

    The old sum is gated in front of the adder, which costs no LUT, rather than chosen against behind it.
    """
    return f"""  wire signed [{acc_bits - 1}:0] {acc}_from = clear ? {acc_bits}'d0 : {acc};
{added(term.word, f"{acc}_from", term.carry, f"{acc}_next", acc_bits)}\
  initial {acc} = 0;
  always @(posedge clk) {acc} <= {acc}_next;
"""


def sums_in(port: Port, terms: Vectors, clear: Vectors) -> Vectors:
    """Running sums of terms as an accumulator of the width of `port` holds them."""
    if port.bits > WIDEST_INT64 - 1:
        terms = np.asarray(terms, dtype=object)
    return wrapped(running_sum(terms, clear), port)
