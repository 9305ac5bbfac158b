"""Dot products: several products a cycle, an adder tree and an exact accumulator.

Lanes are packed, lane 0 in the lowest bits of `w` and `a`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost_models.rtl.accumulate import accumulate, sums_in
from hwsim.cost_models.rtl.adder_tree import lanes_of, tree
from hwsim.cost_models.rtl.factor import Factor, IntegerFactor, MinifloatFactor
from hwsim.cost_models.rtl.product import Addend, exact_product, integer_product, products
from hwsim.cost_models.rtl.unit import Port, Vectors, module


@dataclass(frozen=True, slots=True)
class IntDot:
    """`acc <= (clear ? 0 : acc) + sum of w[i] * a[i]` of signed integer weights and integer activations.

    Attributes
    ----------
    lanes : products a cycle.
    w_bits, a_bits, a_signed : of one weight and one activation.
    acc_bits : of the accumulator; sums beyond it wrap.
    """

    family: ClassVar[str] = "int_dot"
    lanes: int
    w_bits: int
    a_bits: int
    a_signed: bool
    acc_bits: int

    @property
    def weight(self) -> IntegerFactor:
        return IntegerFactor(self.w_bits, True)

    @property
    def activation(self) -> IntegerFactor:
        return IntegerFactor(self.a_bits, self.a_signed)

    @property
    def name(self) -> str:
        return f"int_dot_{self.lanes}x{self.weight.label}_{self.activation.label}_acc{self.acc_bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return _inputs(self.lanes, self.weight, self.activation)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("acc", self.acc_bits, True),)

    def verilog(self) -> str:
        terms = [integer_product(self.weight, self.activation, f"l{i}_") for i in range(self.lanes)]
        return module(self, _body(self.lanes, self.weight, self.activation, terms, self.acc_bits), ("acc",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"acc": _respond(self.lanes, self.weight, self.activation, self.outputs[0], inputs)}


@dataclass(frozen=True, slots=True)
class MinifloatDot:
    """`acc <= (clear ? 0 : acc) + sum of w[i] * a[i]` of minifloats, exact.

    Attributes
    ----------
    lanes : products a cycle.
    ew, mw : exponent and mantissa bits of the signed weights.
    ea, ma, a_signed : of the activations.
    acc_bits : of the accumulator; sums beyond it wrap.
    """

    family: ClassVar[str] = "minifloat_dot"
    lanes: int
    ew: int
    mw: int
    ea: int
    ma: int
    acc_bits: int
    a_signed: bool = True

    @property
    def weight(self) -> MinifloatFactor:
        return MinifloatFactor(self.ew, self.mw, True)

    @property
    def activation(self) -> MinifloatFactor:
        return MinifloatFactor(self.ea, self.ma, self.a_signed)

    @property
    def name(self) -> str:
        return f"minifloat_dot_{self.lanes}x{self.weight.label}_{self.activation.label}_acc{self.acc_bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return _inputs(self.lanes, self.weight, self.activation)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("acc", self.acc_bits, True),)

    def verilog(self) -> str:
        terms = [exact_product(self.weight, self.activation, f"l{i}_") for i in range(self.lanes)]
        return module(self, _body(self.lanes, self.weight, self.activation, terms, self.acc_bits), ("acc",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"acc": _respond(self.lanes, self.weight, self.activation, self.outputs[0], inputs)}


@dataclass(frozen=True, slots=True)
class MinifloatIntDot:
    """`acc <= (clear ? 0 : acc) + sum of w[i] * a[i]` of minifloat weights and integer activations, exact.

    Attributes
    ----------
    lanes : products a cycle.
    ew, mw : exponent and mantissa bits of the signed weights.
    a_bits, a_signed : of one activation.
    acc_bits : of the accumulator; sums beyond it wrap.
    """

    family: ClassVar[str] = "minifloat_int_dot"
    lanes: int
    ew: int
    mw: int
    a_bits: int
    a_signed: bool
    acc_bits: int

    @property
    def weight(self) -> MinifloatFactor:
        return MinifloatFactor(self.ew, self.mw, True)

    @property
    def activation(self) -> IntegerFactor:
        return IntegerFactor(self.a_bits, self.a_signed)

    @property
    def name(self) -> str:
        return f"minifloat_int_dot_{self.lanes}x{self.weight.label}_{self.activation.label}_acc{self.acc_bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return _inputs(self.lanes, self.weight, self.activation)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("acc", self.acc_bits, True),)

    def verilog(self) -> str:
        terms = [exact_product(self.weight, self.activation, f"l{i}_") for i in range(self.lanes)]
        return module(self, _body(self.lanes, self.weight, self.activation, terms, self.acc_bits), ("acc",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"acc": _respond(self.lanes, self.weight, self.activation, self.outputs[0], inputs)}


def _inputs(lanes: int, w: Factor, a: Factor) -> tuple[Port, ...]:
    return Port("clear", 1), Port("w", lanes * w.bits), Port("a", lanes * a.bits)


def _body(lanes: int, w: Factor, a: Factor, terms: list[Addend], acc_bits: int) -> str:
    lines = []
    for i in range(lanes):
        for side, factor in (("w", w), ("a", a)):
            kind = "wire signed" if factor.twos_complement else "wire"
            low = i * factor.bits
            lines.append(f"  {kind} [{factor.bits - 1}:0] l{i}_{side} = {side}[{low + factor.bits - 1}:{low}];\n")
    total = tree(terms, True)
    return "".join(lines) + total.lines + accumulate(total, acc_bits)


def _respond(lanes: int, w: Factor, a: Factor, port: Port, inputs: Mapping[str, Vectors]) -> Vectors:
    left = lanes_of(inputs["w"], lanes, w.bits, w.twos_complement)
    right = lanes_of(inputs["a"], lanes, a.bits, a.twos_complement)
    terms = np.stack([products(w, a, left[i], right[i]) for i in range(lanes)])
    if port.bits > 62:
        terms = terms.astype(object)
    return sums_in(port, terms.sum(axis=0), inputs["clear"])
