"""Resources of one unit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Resources of one unit as synthesis maps it.

    Attributes
    ----------
    lut : LUT sites: logic, and LUTs used as memory or as shift registers.
    ff : flip-flops.
    bram18 : block RAMs of 18 Kb; one of 36 Kb counts as two.
    dsp : DSP blocks.
    memory : (words, bits) of what is in block RAM.
    """

    lut: float = 0.0
    ff: float = 0.0
    bram18: float = 0.0
    dsp: float = 0.0
    memory: tuple[int, int] | None = None
