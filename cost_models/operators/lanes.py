"""Arithmetic between tensors, one lane: adders, comparators, constant scaling, table look-ups.

An adder is one LUT an output bit (UG474, UG574); comparators with their selection are synthesised units. Function
tables have the size and width that hls4ml gives them (1,024 x 18 bits); fewer address bits make a smaller table.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.composed import price_of
from hwsim.cost_models.memory import storage
from hwsim.cost_models.operators.floating import float_adder
from hwsim.cost_models.operators.multiplier import DspPolicy, dsp_tiles, takes_dsp
from hwsim.cost_models.operators.priced import integer_multiplier, term
from hwsim.cost_models.surface.products import luts_of_one_bit

Order = Literal["int", "uint", "minifloat"]  # how codes compare: two's complement, unsigned, sign and magnitude
TABLE_ADDRESS_BITS = 10
TABLE_BITS = 18
COEFFICIENT_BITS = 16


def adder(bits: int, floating: bool = False) -> Bill:
    """A sum of two numbers, the wider one `bits` wide."""
    if floating:
        return Bill((float_adder("adders"),))
    return Bill((Term("adders", "none", float(bits + 1)),))


@lru_cache(maxsize=65536)
def largest(taps: int, bits: int, order: Order = "int") -> Bill:
    """The largest of `taps` codes of `bits` bits, by a tree of comparators that each pass one of two on."""
    if taps < 2:
        return Bill()
    if bits == 1:  # any or all of them
        return Bill((Term("comparators", "none", float(luts_of_one_bit(taps))),))
    fields = {"bits": bits, "kind": order}
    family, fields = ("max_of_two", fields) if taps == 2 else ("max_pool", fields | {"taps": taps})
    return Bill((term("comparators", price_of(family, fields), family),))


def larger_of_two(bits: int) -> Bill:
    """The larger of two signed numbers of `bits` bits."""
    return largest(2, bits)


@lru_cache(maxsize=65536)
def multiplier(w: int, a: int, dsp: DspPolicy, dsp_type: str) -> Bill:
    """A product of two numbers that vary."""
    if takes_dsp(w, a, dsp):
        tiles = float(dsp_tiles(w, a, dsp_type))
        return Bill(dsp=tiles, dsp_packed=tiles)
    return Bill((integer_multiplier("multipliers", w, a, True),))


@lru_cache(maxsize=65536)
def table(in_bits: int, out_bits: int = TABLE_BITS) -> Bill:
    """A function of one number by table, at most 1,024 entries."""
    depth = 2 ** min(in_bits, TABLE_ADDRESS_BITS)
    return storage(out_bits, depth, "tables") + Bill(ff=out_bits)


@lru_cache(maxsize=65536)
def softmax(in_bits: int, dsp: DspPolicy, dsp_type: str) -> Bill:
    """One lane of a softmax: running maximum, difference, exponential table, sum, reciprocal table, product."""
    total_bits = TABLE_BITS + TABLE_ADDRESS_BITS
    return (
        larger_of_two(in_bits)
        + adder(in_bits)
        + table(in_bits)
        + adder(total_bits)
        + table(TABLE_ADDRESS_BITS)
        + multiplier(TABLE_BITS, TABLE_BITS, dsp, dsp_type)
        + Bill(ff=in_bits + total_bits)
    )
