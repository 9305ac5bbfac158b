"""LUTs of one adder of two shifted operands on a carry chain, alone.

`price.area` counts a whole graph exactly; this is the estimate by which searches choose, made millions of times.
"""

from __future__ import annotations


def adder_lut(
    left_bits: int,
    left_signed: bool,
    left_shift: int,
    right_bits: int,
    right_signed: bool,
    right_shift: int,
    subtract: bool,
    result_bits: int,
) -> int:
    """LUTs and inverters of `left 2^left_shift +- right 2^right_shift`, kept to `result_bits`.

    One LUT where both operands have a bit, signs extended to the top of the wider one; where one is subtracted, one
    inverter wherever only one has a bit and the chain runs, and one LUT more for the lowest bit.
    """
    left_top = left_shift + left_bits
    right_top = right_shift + right_bits
    top = min(result_bits, max(left_top, right_top))
    left_end = top if left_signed else min(top, left_top)
    right_end = top if right_signed else min(top, right_top)
    start = max(left_shift, right_shift)
    both = max(0, min(left_end, right_end) - start)
    if not subtract:
        return both
    inverted = max(0, min(left_shift, right_top) - right_shift)  # low bits of 0 - right
    inverted += abs(max(start, left_end) - max(start, right_end))  # above the shorter, unsigned one
    return both + inverted + int(right_shift >= left_shift and both > 0)
