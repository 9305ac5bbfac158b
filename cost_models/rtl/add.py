"""One adder with a carry input, whose hardware does not depend on the names of wires.

A bit of an adder is a LUT that tells whether the two bits differ, and a multiplexer of the carry chain that passes one
of them where they do not. Which one it passes decides what a sum costs: that word must exist as wires, while the other
one may be logic inside the same LUT. Yosys orders the operands of `+` by the names of their wires, so that a product of
8 x 8 bits takes 40 or 70 LUTs by chance; those of `-` stay as they are written. x + y + c is therefore written as
{x, c} - ~{y, c}, of which the lowest bit makes the carry and is dropped.
"""

from __future__ import annotations


def added(passed: str, computed: str, carry: str, total: str, bits: int, signed: bool = True) -> str:
    """Lines that declare `total` of `bits` bits as passed + computed + carry, both words signed or both not.

    Parameters
    ----------
    passed : the word that the carry chain passes on: the one that exists as wires, or takes fewer LUTs to make.
    computed : the word that may share LUTs with the adder.
    carry : a wire of one bit.

    The bit below keeps sums of sums apart, too, which Yosys would compress together: 85 LUTs instead of 60 for eight
    signed bytes.
    """
    kind, cast = ("wire signed", "$signed") if signed else ("wire", "")
    return f"""  {kind} [{bits}:0] {total}_and_carry = {cast}({{{passed}, {carry}}}) - ~{cast}({{{computed}, {carry}}});
  {kind} [{bits - 1}:0] {total} = {total}_and_carry[{bits}:1];
"""
