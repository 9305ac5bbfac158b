"""Closed laws of memories and control against every synthesised unit of their families."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.cost_models.laws.catalogue import LAWS
from hwsim.cost_models.laws.controls import index_bits
from hwsim.cost_models.laws.errors import errors_of, law_errors, measured
from hwsim.cost_models.laws.memories import bram18, dual_port_ram, stream_fifo, weight_rom

EXACT_FF = ("narrower", "widener", "window_control", "pool_control", "dual_port_ram", "register", "border_mask")


@pytest.mark.exact
def test_memories_by_hand() -> None:
    assert dual_port_ram(14, 64).lut == 8 * 5  # five groups of 14 bits over the 8 LUTs of a block
    assert dual_port_ram(64, 64).lut == 8 * 10
    assert (dual_port_ram(512, 72).lut, dual_port_ram(512, 72).bram18) == (0, 2)
    assert weight_rom(64, 128).lut == 128 and weight_rom(1, 128).lut == 0
    assert stream_fifo(32, 32).lut == 32 + 13
    assert bram18(36, 513) == 2 and bram18(1, 16384) == 1
    assert [index_bits(n) for n in (1, 2, 3, 8, 9)] == [0, 1, 2, 3, 4]


@pytest.mark.truth
@pytest.mark.parametrize("resource", ["ff", "bram18"])
def test_flip_flops_and_block_ram_are_those_of_synthesis(resource: str) -> None:
    families = EXACT_FF if resource == "ff" else tuple(LAWS)
    rows = [row for row in measured(resource) if row[0] in families]
    assert len(rows) > 200
    for family, fields, law, truth in rows:
        assert law == truth, (family, fields)


@pytest.mark.truth
def test_luts_of_a_typical_unit_are_within_two() -> None:
    for family, error in errors_of().items():
        assert error.units >= 8 and error.median <= 2, family


@pytest.mark.truth
def test_nominal_intervals_hold_nine_units_in_ten() -> None:
    inside: dict[str, list[bool]] = {}
    shipped = law_errors()
    for family, _, law, truth in measured():
        e = shipped[family]
        unit = law if e.relative else 1.0
        inside.setdefault(family, []).append(law - e.below * unit - 1e-6 <= truth <= law + e.above * unit + 1e-6)
    for family, hits in inside.items():
        assert np.mean(hits) >= 0.9, family


@pytest.mark.golden
def test_the_shipped_errors_are_those_of_the_shipped_table() -> None:
    assert law_errors() == errors_of()
