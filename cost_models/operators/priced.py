"""Products and sums of exact operands by the surfaces of synthesised units.

A folded array has multipliers, a tree behind them and accumulators, each in registers of its own; a single
multiply-accumulate unit is one piece of logic, whose accumulator is counted as a LUT a bit and the rest as multiplier.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hwsim.core.formats import Int, Minifloat
from hwsim.cost_models.bill import Term
from hwsim.cost_models.composed import Priced, price_of
from hwsim.cost_models.operators.operand import Operand


def term(label: str, priced: Priced, family: str, copies: float = 1.0) -> Term:
    """LUTs of `copies` of a unit as a term."""
    return Term(label, family, priced.counts.lut, priced.low, priced.high, priced.out_of_domain).times(copies)


def integer_multiplier(label: str, w_bits: int, a_bits: int, a_signed: bool) -> Term:
    """A signed number times another one."""
    fields = {"w_bits": w_bits, "a_bits": a_bits, "a_signed": a_signed}
    return term(label, price_of("int_mul", fields), "int_mul")


def has_surface(weights: Operand, acts: Operand) -> bool:
    """Whether products of two operands are among the synthesised families: integers and minifloats."""
    return {weights.kind, acts.kind} <= {"int", "minifloat"}


@lru_cache(maxsize=4096)
def multiplier(weights: Operand, acts: Operand) -> tuple[str, Priced]:
    """Family and cost of one product."""
    family, fields = _fields(weights, acts)
    return f"{family}_mul", _either_way(f"{family}_mul", fields)


@lru_cache(maxsize=65536)
def multiply_accumulate(weights: Operand, acts: Operand, acc_bits: int) -> tuple[str, Priced]:
    """Family and cost of one product and its accumulator."""
    family, fields = _fields(weights, acts)
    return f"{family}_mac", _either_way(f"{family}_mac", fields | {"acc_bits": acc_bits})


@lru_cache(maxsize=65536)
def tree(lanes: int, bits: int) -> Priced:
    """A sum of `lanes` signed numbers of `bits` bits."""
    return price_of("adder_tree", {"lanes": lanes, "bits": bits, "signed": True})


def _either_way(family: str, fields: dict[str, Any]) -> Priced:
    """The cost of a product; of two signed minifloats, pairs of which are synthesised one way round, that of either."""
    asked = price_of(family, fields)
    if asked.low == asked.high or "ea" not in fields or not fields["a_signed"]:
        return asked
    other = price_of(family, fields | {"ew": fields["ea"], "mw": fields["ma"], "ea": fields["ew"], "ma": fields["mw"]})
    return other if other.low == other.high else asked


def _fields(weights: Operand, acts: Operand) -> tuple[str, dict[str, Any]]:
    """The family of a product without `_mul` or `_mac`, and its fields; units take a signed weight first."""
    w, a = weights.format, acts.format
    if isinstance(w, Int) and isinstance(a, Int):
        if not w.signed and a.signed:
            w, a = a, w
        bits = w.bits if w.signed else w.bits + 1
        return "int", {"w_bits": bits, "a_bits": a.bits, "a_signed": a.signed}
    if isinstance(w, Minifloat) and isinstance(a, Minifloat):
        if not w.signed and a.signed:
            w, a = a, w
        fields = {"ew": w.exponent, "mw": w.mantissa, "ea": a.exponent, "ma": a.mantissa}
        return "minifloat", fields | {"a_signed": a.signed}
    if isinstance(w, Int):
        w, a = a, w
    assert isinstance(w, Minifloat) and isinstance(a, Int)
    return "minifloat_int", {"ew": w.exponent, "mw": w.mantissa, "a_bits": a.bits, "a_signed": a.signed}
