"""Batches: what is put together, how faults are found, how an interrupted run continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from hwsim.core.errors import UnsupportedError
from hwsim.cost_models.rtl.integer import IntMac, IntMultiplier
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, module
from hwsim.cost_models.synthesis.batch import around, batches, modules_of, run_batches, script
from hwsim.cost_models.synthesis.cells import Cells
from hwsim.cost_models.synthesis.table import Row
from hwsim.cost_models.synthesis.yosys import FLOWS, YosysError

FLOW = FLOWS["base"]
UNITS = [IntMultiplier(w, a, False) for w in range(1, 6) for a in range(1, 5)]


@dataclass(frozen=True, slots=True)
class Inverted:
    """A unit with a module inside; `width` changes that module but not its name."""

    family: ClassVar[str] = "inverted"
    width: int

    @property
    def name(self) -> str:
        return f"inverted_{self.width}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return (Port("a", self.width),)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("b", self.width),)

    def verilog(self) -> str:
        ports = f"input [{self.width - 1}:0] a, output [{self.width - 1}:0] b"
        return module(self, "  inside i(.a(a), .b(b));") + f"module inside({ports});\n  assign b = ~a;\nendmodule\n"

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"b": ~inputs["a"] & ((1 << self.width) - 1)}


class Fake:
    """Counts that follow from names; refuses some units, and breaks off at some call."""

    def __init__(self, bad: Sequence[str] = (), stop_at: int = -1) -> None:
        self.bad, self.stop_at = set(bad), stop_at
        self.calls: list[list[str]] = []

    def __call__(self, units: Sequence[Unit]) -> dict[str, Cells]:
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        self.calls.append([unit.name for unit in units])
        found = self.bad & {unit.name for unit in units}
        if found:
            raise YosysError(f"ERROR: {sorted(found)[0]}")
        return {unit.name: Cells(lut6=len(unit.name)) for unit in units}


@pytest.mark.exact
def test_batches_keep_order_and_size() -> None:
    found = list(batches(UNITS, 8))
    assert [len(b) for b in found] == [8, 8, 4]
    assert [u for b in found for u in b] == UNITS


@pytest.mark.exact
def test_units_that_disagree_about_a_module_are_parted() -> None:
    units: list[Unit] = [Inverted(2), IntMultiplier(2, 2, True), Inverted(3), Inverted(2)]
    assert [len(b) for b in batches(units, 40)] == [2, 1, 1]


@dataclass(frozen=True, slots=True)
class Inside(Inverted):
    """The part of `Inverted` as a unit."""

    @property
    def name(self) -> str:
        return "inside"

    def verilog(self) -> str:
        return modules_of(Inverted(self.width).verilog())["inside"]


@pytest.mark.exact
def test_a_unit_is_parted_from_those_that_it_is_in() -> None:
    assert [len(b) for b in batches([Inside(2), Inverted(2)], 40)] == [1, 1]
    assert [len(b) for b in batches([Inverted(2), Inside(2)], 40)] == [1, 1]


@pytest.mark.exact
def test_modules_are_told_apart() -> None:
    found = modules_of(
        "// a module here\n(* keep *) module a(input x);\n // endmodule\nendmodule\nmodule b; endmodule\n"
    )
    assert list(found) == ["a", "b"]
    assert found["a"].startswith("(* keep *) module a") and found["a"].endswith("endmodule")
    assert list(modules_of(Inverted(2).verilog())) == ["inverted_2", "inside"]


@pytest.mark.exact
def test_all_rows_come_back() -> None:
    fake = Fake()
    outcomes = list(run_batches(UNITS, FLOW, "tool", fake, size=8))
    rows = [row for outcome in outcomes for row in outcome.rows]
    assert [row.name for row in rows] == [unit.name for unit in UNITS]
    assert all(row.lut == len(row.name) and row.options == FLOW.options and row.tool == "tool" for row in rows)
    assert not any(outcome.refused for outcome in outcomes) and len(fake.calls) == 3


@pytest.mark.exact
def test_a_fault_is_found_and_stops_no_other_unit() -> None:
    bad = [UNITS[2].name, UNITS[13].name]
    outcomes = list(run_batches(UNITS, FLOW, "tool", Fake(bad), size=8))
    refused = [r for outcome in outcomes for r in outcome.refused]
    assert [r.unit for r in refused] == bad and all(r.unit in r.message for r in refused)
    assert {row.name for o in outcomes for row in o.rows} == {u.name for u in UNITS} - set(bad)


@pytest.mark.exact
def test_unknown_cells_are_the_unit_s_fault() -> None:
    def synthesiser(units: Sequence[Unit]) -> dict[str, Cells]:
        raise UnsupportedError("2 cells of type LDCE", where=units[0].name)

    (outcome,) = run_batches(UNITS[:1], FLOW, "tool", synthesiser)
    assert outcome.rows == () and "LDCE" in outcome.refused[0].message


@pytest.mark.exact
def test_an_interruption_loses_the_batch_in_flight_only() -> None:
    kept: list[Row] = []
    with pytest.raises(KeyboardInterrupt):
        for outcome in run_batches(UNITS, FLOW, "tool", Fake(stop_at=2), size=8):
            kept += outcome.rows
    assert [row.name for row in kept] == [unit.name for unit in UNITS[:16]]


@pytest.mark.exact
def test_every_port_is_led_outside() -> None:
    text = around([IntMac(3, 2, True, 9), IntMultiplier(1, 2, False)])
    assert "int_mac_s3_s2_acc9 u0(.clk(clk), .clear(u0_clear), .w(u0_w), .a(u0_a), .acc(u0_acc));" in text
    assert "int_mul_s1_u2 u1(.w(u1_w), .a(u1_a), .p(u1_p));" in text
    assert "output [8:0] u0_acc" in text and "input [0:0] u1_w" in text
    assert "keep_hierarchy 1 int_mul_s1_u2" in script(FLOW, [IntMultiplier(1, 2, False)])
