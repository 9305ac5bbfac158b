"""Memories that move to UltraRAM: only where block RAM runs out, the best first, constants only where they may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwsim.cost_models import part
from hwsim.cost_models.bill import Bill, Memory
from hwsim.cost_models.laws.memories import bram18, ultra_ram
from hwsim.cost_models.memory import storage
from hwsim.cost_models.ultraram import moved_to_ultraram

KV260, VERSAL, BARE = part("kv260"), part("vck190"), part("zcu102")


def test_blocks_are_4096_words_of_72_bits() -> None:
    assert ultra_ram(72, 4096) == 1 and ultra_ram(73, 4096) == 2 and ultra_ram(72, 4097) == 2
    assert bram18(72, 4096) == 16


def test_a_bill_keeps_its_memories_through_sums_and_copies() -> None:
    lines = storage(64, 4096, "line buffers")
    both = (lines + storage(8, 2048, "weights")).times(3)
    assert [m.copies for m in both.memories] == [3, 3] and [m.constant for m in both.memories] == [False, True]
    assert both.bram18 == sum(m.copies * m.bram18 for m in both.memories)


def test_nothing_moves_without_need_or_ultraram() -> None:
    bills = [storage(72, 4096, "line buffers").times(4)]
    assert moved_to_ultraram(bills, KV260, 64) == bills
    assert moved_to_ultraram(bills, BARE, 10) == bills


def test_the_fewest_that_are_needed_move_and_the_fullest_first() -> None:
    full, empty = storage(72, 4096, "line buffers").times(4), storage(72, 600, "line buffers").times(4)
    moved = moved_to_ultraram([empty, full], KV260, full.bram18 + empty.bram18 - 20)
    assert (moved[0].uram, moved[1].uram) == (0, 2) and moved[1].bram18 == full.bram18 - 32
    assert [m.copies for m in moved[1].memories] == [2]


def test_equal_memories_move_apart() -> None:
    line = storage(72, 4096, "line buffers")
    moved = moved_to_ultraram([line + line], KV260, 16)[0]
    assert (moved.uram, moved.bram18) == (1, 16) and sorted(m.copies for m in moved.memories) == [0, 1]


def test_no_more_move_than_the_part_has() -> None:
    bills = [storage(72, 4096, "line buffers").times(100)]
    moved = moved_to_ultraram(bills, KV260, 0)[0]
    assert moved.uram == KV260.uram and moved.bram18 == (100 - KV260.uram) * 16


def test_constants_move_on_versal_alone() -> None:
    bills = [Bill(bram18=160.0, memories=(Memory(4096, 72, True, 16.0, 10),))]
    assert moved_to_ultraram(bills, KV260, 0)[0].uram == 0
    assert moved_to_ultraram(bills, VERSAL, 0)[0].uram == 10


@pytest.mark.exact
def test_a_folding_is_found_that_only_ultraram_makes_fit() -> None:
    import cost_networks as nets

    from hwsim.core.assignment import Policy, assign
    from hwsim.cost_models import estimate

    workload = nets.deep_residual(2, 64, 256)
    assignment = assign(workload, Policy("int8", "int8", scale="pow2"))
    few = replace(VERSAL, bram18=8)
    cost = estimate(workload, assignment, few, reuse="auto")
    assert cost.fits == "yes" and 0 < cost.uram.mid <= few.uram and cost.bram18.hi <= few.bram18
    assert not any("not even the smallest" in note for note in cost.notes)
    without = estimate(workload, assignment, replace(few, uram=0), reuse="auto")
    assert without.fits == "no" and any("not even the smallest" in note for note in without.notes)


@pytest.mark.exact
def test_a_network_with_wide_lines_uses_them() -> None:
    import cost_networks as nets

    from hwsim.core.assignment import Policy, assign
    from hwsim.cost_models import estimate

    workload = nets.deep_residual(2, 64, 256)
    assignment = assign(workload, Policy("int8", "int8", scale="pow2"))
    small = replace(KV260, bram18=8)
    cost = estimate(workload, assignment, small, reuse=64)
    assert cost.uram.mid > 0 and cost.uram.mid == sum(layer.uram for layer in cost.layers)
    assert "uram" in cost.intervals and any("UltraRAM" in note for note in cost.notes)
    plenty = estimate(workload, assignment, replace(KV260, bram18=4000), reuse=64)
    assert plenty.uram.mid == 0 and "uram" not in plenty.intervals
    assert plenty.bram18.mid > cost.bram18.mid
