"""Balanced adder trees, each adder one bit wider than its inputs at most and with a carry input of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost_models.rtl.add import added
from hwsim.cost_models.rtl.product import NO_CARRY, Addend
from hwsim.cost_models.rtl.unit import WIDEST_INT64, Port, Vectors, module


@dataclass(frozen=True, slots=True)
class AdderTree:
    """`total`, the sum of all lanes of `x`, combinational.

    Attributes
    ----------
    lanes : summands, lane 0 in the lowest bits of `x`; 2 and up.
    bits, signed : of one summand.
    """

    family: ClassVar[str] = "adder_tree"
    lanes: int
    bits: int
    signed: bool

    @property
    def name(self) -> str:
        return f"adder_tree_{self.lanes}x{'s' if self.signed else 'u'}{self.bits}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return (Port("x", self.lanes * self.bits),)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("total", sum_bits(self.lanes, self.bits, self.signed), self.signed),)

    def verilog(self) -> str:
        kind = "wire signed" if self.signed else "wire"
        lines, terms = [], []
        for i in range(self.lanes):
            lines.append(f"  {kind} [{self.bits - 1}:0] x{i} = x[{(i + 1) * self.bits - 1}:{i * self.bits}];\n")
            terms.append(Addend("", f"x{i}", self.bits, NO_CARRY))
        root = tree(terms, self.signed)
        return module(self, "".join(lines) + root.lines + f"  assign total = {root.word};")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"total": np.sum(lanes_of(inputs["x"], self.lanes, self.bits, self.signed), axis=0)}


def sum_bits(lanes: int, bits: int, signed: bool) -> int:
    """Bits of the sum of `lanes` numbers."""
    if signed:
        return bits + (lanes - 1).bit_length()
    return (lanes * ((1 << bits) - 1)).bit_length()


def tree(terms: Sequence[Addend], signed: bool) -> Addend:
    """The sum of terms of equal widths.

    A tree over n words has n - 1 adders, so the carries of all words but the last enter the tree itself; that of
    the last is the carry of the result.
    """
    carries = [term.carry for term in terms]
    level = [(term.word, 1) for term in terms]
    lines = [term.lines for term in terms]
    depth = 0
    while len(level) > 1:
        above = []
        for i in range(0, len(level) - 1, 2):
            (first, m), (second, n) = level[i], level[i + 1]
            name = f"sum{depth}_{i // 2}"
            lines.append(added(first, second, carries.pop(0), name, sum_bits(m + n, terms[0].bits, signed), signed))
            above.append((name, m + n))
        level = above + level[len(above) * 2 :]
        depth += 1
    word, n = level[0]
    return Addend("".join(lines), word, sum_bits(n, terms[0].bits, signed), carries[0])


def lanes_of(packed: Vectors, lanes: int, bits: int, signed: bool = False) -> Vectors:
    """Numbers packed in words, lane 0 lowest, as rows of an array (lanes, words)."""
    mask, half = (1 << bits) - 1, 1 << (bits - 1)
    fields = [(packed >> (i * bits)) & mask for i in range(lanes)]
    if bits <= WIDEST_INT64:
        fields = [np.asarray(field, dtype=np.int64) for field in fields]
    return np.stack([np.where(f >= half, f - 2 * half, f) if signed else f for f in fields])
