"""Batches: what is put together, how faults are found, how an interrupted run continues."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from hwsim.core.errors import UnsupportedError
from hwsim.cost_models.rtl.integer import IntMac, IntMultiplier
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, module
from hwsim.cost_models.synthesis.batch import around, run_batches, script
from hwsim.cost_models.synthesis.cells import Cells
from hwsim.cost_models.synthesis.names import KEYWORDS, own_names, prefix_of
from hwsim.cost_models.synthesis.table import Row
from hwsim.cost_models.synthesis.yosys import FLOWS, YosysError

FLOW = FLOWS["base"]
NAMES = re.compile(r"\b[a-z_]\w*", re.IGNORECASE)
UNITS = [IntMultiplier(w, a, False) for w in range(1, 6) for a in range(1, 5)]


@dataclass(frozen=True, slots=True)
class Inverted:
    """A unit with a module inside; `width` changes that module and not its name."""

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
    fake = Fake()
    list(run_batches(UNITS, FLOW, "tool", fake, 8))
    assert [len(names) for names in fake.calls] == [8, 8, 4]
    assert [name for names in fake.calls for name in names] == [unit.name for unit in UNITS]


@pytest.mark.exact
def test_units_share_no_names() -> None:
    """Though two have a module `inside` that differs, and one is what another has inside."""
    found = [set(NAMES.findall(own_names(u.verilog(), prefix_of(u)))) - KEYWORDS for u in (Inverted(2), Inverted(3))]
    assert all(len(names) == 5 for names in found) and not found[0] & found[1]
    assert len({len(prefix_of(unit)) for unit in UNITS}) == 1


@pytest.mark.exact
def test_words_that_are_not_names_stay() -> None:
    text = """// a comment, module x
    (* ram_style = "block" *) reg signed [7:0] m [0:3]; /* y */ initial m[0] = 8'shf0 + 4'b1_0 + 12;
    always @(*) if (a *b) q = $signed(c*2) * (d*e); inside #(.W(3)) i(.a(q[2:0]));"""
    assert (
        own_names(text, "h_").split()
        == """
    (* ram_style = "block" *) reg signed [7:0] h_m [0:3]; initial h_m[0] = 8'shf0 + 4'b1_0 + 12;
    always @(*) if (h_a *h_b) h_q = $signed(h_c*2) * (h_d*h_e); h_inside #(.h_W(3)) h_i(.h_a(h_q[2:0]));""".split()
    )


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
    mac, multiplier = IntMac(3, 2, True, 9), IntMultiplier(1, 2, False)
    text = around([mac, multiplier])
    p, q = prefix_of(mac), prefix_of(multiplier)
    ports = f".{p}clk(clk), .{p}clear(u0_clear), .{p}w(u0_w), .{p}a(u0_a), .{p}acc(u0_acc)"
    assert f"{p}int_mac_s3_s2_acc9 u0({ports});" in text
    assert f"{q}int_mul_s1_u2 u1(.{q}w(u1_w), .{q}a(u1_a), .{q}p(u1_p));" in text
    assert "output [8:0] u0_acc" in text and "input [0:0] u1_w" in text
    assert f"keep_hierarchy 1 {q}int_mul_s1_u2" in script(FLOW, [multiplier])
