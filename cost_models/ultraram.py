"""UltraRAM: where a design has more block RAM than its part, large memories move to UltraRAM.

An UltraRAM is 4,096 words of 72 bits with one clock, 16 block RAMs of 18 Kb. On UltraScale+ its content cannot be set
by the bitstream, so that constant weights stay in block RAM; on Versal it can (AMD UG573, chapter 2; AM007, chapter 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hwsim.core.assignment import Assignment
from hwsim.core.devices import Part
from hwsim.core.errors import InfeasibleError
from hwsim.core.workload import Workload
from hwsim.cost_models.bill import Bill
from hwsim.cost_models.dataflow import Pipeline
from hwsim.cost_models.fitting import fitted_pipeline
from hwsim.cost_models.laws.memories import ultra_ram
from hwsim.cost_models.operators.constant import ConstantCounts
from hwsim.cost_models.operators.multiplier import DspPolicy
from hwsim.cost_models.residuals import ends

BLOCKS_IN_ULTRA = 16  # block RAMs of 18 Kb that hold what an UltraRAM holds: 72 bits x 4,096 words
COUNTED_ON = (1.0, 0.3, 0.1, 0.03)  # shares of a part's UltraRAM
INITIALISED = ("versal",)  # families whose UltraRAM can hold constants


def fitted_with_ultraram(
    workload: Workload,
    assignment: Assignment,
    part: Part,
    dsp: DspPolicy,
    constants: Mapping[str, ConstantCounts] | None = None,
    target_ii_cycles: int | None = None,
) -> tuple[Pipeline, tuple[str, ...]]:
    """As `fitted_pipeline`; where nothing fits with block RAM alone, also with memories in UltraRAM.

    What cannot move there depends on the folding, so that less and less of it is counted on.

    Raises
    ------
    InfeasibleError
        Where nothing that fits meets the target.
    """
    asked, first, refused = (dsp, constants, target_ii_cycles), None, None
    try:
        first = fitted_pipeline(workload, assignment, part, *asked)
    except InfeasibleError as error:
        refused = error
    if part.uram and (first is None or first[1]):
        for share in COUNTED_ON:
            roomy = replace(part, bram18=part.bram18 + int(share * BLOCKS_IN_ULTRA * part.uram))
            try:
                found, notes = fitted_pipeline(workload, assignment, roomy, *asked)
            except InfeasibleError:
                continue
            if not notes and _fits(found, part):
                return found, ()
    if first is None:
        assert refused is not None
        raise refused
    return first


def _fits(pipeline: Pipeline, part: Part) -> bool:
    bills = where_needed([placed.bill for placed in pipeline.placed], part)
    return sum(bill.bram18 for bill in bills) <= part.bram18


def where_needed(bills: Sequence[Bill], part: Part) -> list[Bill]:
    """Bills that leave room for the upper end of the interval of block RAMs, where their sum is more than there is."""
    if sum(bill.bram18 for bill in bills) <= part.bram18:
        return list(bills)
    return moved_to_ultraram(bills, part, part.bram18 / ends("bram18")[1])


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
