"""UltraRAM: where a design has more block RAM than its part, large memories move to UltraRAM.

An UltraRAM is 4,096 words of 72 bits with one clock, 16 block RAMs of 18 Kb. On UltraScale+ its content cannot be set
by the bitstream, so that constant weights stay in block RAM; on Versal it can (AMD UG573, chapter 2; AM007, chapter 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwsim.core.devices import Part
from hwsim.cost_models.bill import Bill
from hwsim.cost_models.laws.memories import ultra_ram

INITIALISED = ("versal",)  # families whose UltraRAM can hold constants


def moved_to_ultraram(bills: Sequence[Bill], part: Part, most_bram18: float) -> list[Bill]:
    """Bills of a design with at most `most_bram18` block RAMs, as far as the part's UltraRAMs allow.

    Memories move one by one, first those that free the most block RAMs for an UltraRAM; none moves without need.
    """
    excess = sum(bill.bram18 for bill in bills) - most_bram18
    left = part.uram
    found = list(bills)
    movable = [
        (memory.bram18 / ultra_ram(memory.bits, memory.words), index, place)
        for index, bill in enumerate(bills)
        for place, memory in enumerate(bill.memories)
        if part.family in INITIALISED or not memory.constant
    ]
    for _, index, place in sorted(movable, reverse=True):
        memory = found[index].memories[place]
        blocks = ultra_ram(memory.bits, memory.words)
        needed = max(0, -int(-excess // memory.bram18))
        count = min(memory.copies, left // blocks, needed)
        if count > 0:
            found[index] = _moved(found[index], place, count)
            left -= count * blocks
            excess -= count * memory.bram18
    return found


def _moved(bill: Bill, place: int, count: int) -> Bill:
    """A bill with `count` copies of one of its memories in UltraRAM."""
    memories = list(bill.memories)
    memory = memories[place]
    memories[place] = replace(memory, copies=memory.copies - count)
    blocks = count * ultra_ram(memory.bits, memory.words)
    freed = count * memory.bram18
    return replace(bill, bram18=bill.bram18 - freed, uram=bill.uram + blocks, memories=tuple(memories))
