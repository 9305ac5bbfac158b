"""Dot products of block formats: exact within a block, float32 across blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import frexp
from typing import ClassVar

import numpy as np

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.adder_tree import lanes_of, tree
from hwsim.cost_models.rtl.block_scale import SCALE_BITS, ScaleFormat, scale_ports, scaled, scaled_code
from hwsim.cost_models.rtl.factor import Factor, IntegerFactor, MinifloatFactor
from hwsim.cost_models.rtl.float_add import accumulated, running_float_sum
from hwsim.cost_models.rtl.product import Addend, exact_product, integer_product, products
from hwsim.cost_models.rtl.unit import WIDEST_INT64, Port, Vectors, module

# OCP Microscaling Formats 1.0, section 5.3: the elements; an int8 counts units of 2^-6
ELEMENTS: dict[str, Factor] = {
    "e2m1": MinifloatFactor(2, 1, True),
    "e2m3": MinifloatFactor(2, 3, True),
    "e3m2": MinifloatFactor(3, 2, True),
    "e4m3": MinifloatFactor(4, 3, True),
    "e5m2": MinifloatFactor(5, 2, True),
    "int8": IntegerFactor(8, True),
}
_INT8_STEP = -6


@dataclass(frozen=True, slots=True)
class BlockScaleDot:
    """`acc <= float32((clear ? 0 : acc) + float32(sum of w[i] a[i] * scale_w * scale_a))`.

    The sum of `lanes` products, one block or a part of one, is exact; see `BlockScaler` for the first float32 and
    `FloatAccumulator` for the second. Lanes are packed, lane 0 in the lowest bits of `w` and `a`. All codes are read
    as numbers, also those that OCP E4M3 and E5M2 reserve for NaN and Inf.

    Attributes
    ----------
    w, a : elements: e2m1, e2m3, e3m2, e4m3, e5m2, int8; int8 weights go with int8 activations only.
    lanes : products a cycle.
    scale : format of both block scales: e8m0 for MX, e4m3 for NVFP4.
    """

    family: ClassVar[str] = "block_scale_dot"
    w: str
    a: str
    lanes: int
    scale: ScaleFormat

    def __post_init__(self) -> None:
        for name in (self.w, self.a):
            if name not in ELEMENTS:
                raise InputError(f"element {name!r}", where="block format", hint=f"allowed: {', '.join(ELEMENTS)}")
        if self.w == "int8" and self.a != "int8":
            raise InputError(f"int8 x {self.a}", where="block format", hint="int8 weights multiply int8 activations")
        if self.scale not in SCALE_BITS:
            raise InputError(f"scale {self.scale!r}", where="block scale", hint=f"allowed: {', '.join(SCALE_BITS)}")

    @property
    def name(self) -> str:
        return f"block_scale_dot_{self.lanes}x{self.w}_{self.a}_{self.scale}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def unit(self) -> int:
        """The power of two that the exact sum counts."""
        return step_exponent(ELEMENTS[self.w]) + step_exponent(ELEMENTS[self.a])

    @property
    def inputs(self) -> tuple[Port, ...]:
        w, a = (Port(side, self.lanes * ELEMENTS[name].bits) for side, name in (("w", self.w), ("a", self.a)))
        return Port("clear", 1), w, a, *scale_ports(self.scale)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("acc", 32),)

    def verilog(self) -> str:
        lines = "".join(
            _lane(side, i, ELEMENTS[name]) for i in range(self.lanes) for side, name in (("w", self.w), ("a", self.a))
        )
        total = tree([self._product(f"l{i}_") for i in range(self.lanes)], True)
        block = scaled(total.word, total.bits, self.scale, self.unit, total.carry)
        return module(self, lines + total.lines + block + accumulated("b_float", 8, 23), ("acc",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        w, a = ELEMENTS[self.w], ELEMENTS[self.a]
        left = lanes_of(inputs["w"], self.lanes, w.bits, w.twos_complement)
        right = lanes_of(inputs["a"], self.lanes, a.bits, a.twos_complement)
        terms = [products(w, a, left[i], right[i]) for i in range(self.lanes)]
        if self._product("").bits + self.lanes.bit_length() > WIDEST_INT64:
            terms = [term.astype(object) for term in terms]
        total = np.sum(np.stack(terms), axis=0)
        addend = scaled_code(total, inputs["scale_w"], inputs["scale_a"], self.scale, self.unit)
        return {"acc": running_float_sum(addend, inputs["clear"], 8, 23)}

    def _product(self, to: str) -> Addend:
        w, a = ELEMENTS[self.w], ELEMENTS[self.a]
        if isinstance(w, MinifloatFactor):
            return exact_product(w, a, to)
        assert isinstance(a, IntegerFactor)
        return integer_product(w, a, to)


def step_exponent(element: Factor) -> int:
    """The power of two that the integers of an element count."""
    return _INT8_STEP if isinstance(element, IntegerFactor) else frexp(element.format.smallest)[1] - 1


def _lane(side: str, i: int, factor: Factor) -> str:
    kind = "wire signed" if factor.twos_complement else "wire"
    return f"  {kind} [{factor.bits - 1}:0] l{i}_{side} = {side}[{(i + 1) * factor.bits - 1}:{i * factor.bits}];\n"
