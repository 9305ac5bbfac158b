"""Real runs of Yosys: what a batch gives is what each unit gives alone, parts and all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest

from hwsim.core.errors import MissingToolError
from hwsim.cost_models.rtl.integer import IntMac, IntMultiplier
from hwsim.cost_models.rtl.structure import structural
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors
from hwsim.cost_models.synthesis.batch import synthesise
from hwsim.cost_models.synthesis.yosys import FLOWS, Yosys, YosysError, find_yosys

pytestmark = [pytest.mark.truth, pytest.mark.slow]


@dataclass(frozen=True, slots=True)
class Squared:
    """A unit whose logic is in a module inside it."""

    family: ClassVar[str] = "squared"
    bits: int

    @property
    def name(self) -> str:
        return f"squared_{self.bits}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return (Port("x", self.bits, True),)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("p", 2 * self.bits, True),)

    def verilog(self) -> str:
        part = IntMultiplier(self.bits, self.bits, True)
        return structural(self, f"  {part.name} i(.w(x), .a(x), .p(p));", [part])

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"p": inputs["x"] * inputs["x"]}


@dataclass(frozen=True, slots=True)
class Broken(Squared):
    """A unit that is not Verilog."""

    @property
    def name(self) -> str:
        return "broken"

    def verilog(self) -> str:
        return "module broken(input x);\n  assign\nendmodule\n"


@pytest.fixture(scope="module")
def yosys() -> Yosys:
    try:
        return find_yosys()
    except MissingToolError as error:
        pytest.skip(str(error))


def test_a_batch_gives_what_each_unit_gives_alone(yosys: Yosys) -> None:
    units: list[Unit] = [IntMultiplier(3, 3, False), IntMac(2, 2, True, 10), Squared(4)]
    together = synthesise(yosys, FLOWS["base"], units)
    for unit in units:
        assert synthesise(yosys, FLOWS["base"], [unit]) == {unit.name: together[unit.name]}
    assert together["int_mac_s2_s2_acc10"].ff == 10
    assert all(cells.lut > 0 and cells.dsp == 0 for cells in together.values())


def test_the_dsp_flow_uses_dsp(yosys: Yosys) -> None:
    assert synthesise(yosys, FLOWS["dsp"], [IntMultiplier(8, 8, True)])["int_mul_s8_s8"].dsp == 1


def test_an_error_of_yosys_is_told(yosys: Yosys) -> None:
    with pytest.raises(YosysError, match="syntax error"):
        synthesise(yosys, FLOWS["base"], [IntMultiplier(2, 2, True), Broken(2)])
