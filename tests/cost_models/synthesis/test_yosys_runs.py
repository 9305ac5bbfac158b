"""Real runs of Yosys: what a batch gives is what each unit gives alone, parts and all."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from hwsim.core.errors import MissingToolError
from hwsim.cost_models.laws.memories import ultra_ram
from hwsim.cost_models.rtl.adder_tree import AdderTree
from hwsim.cost_models.rtl.dot import IntDot
from hwsim.cost_models.rtl.integer import DspMultiplier, IntMac, IntMultiplier
from hwsim.cost_models.rtl.memory import DualPortRam
from hwsim.cost_models.rtl.minifloat import MinifloatMac
from hwsim.cost_models.rtl.structure import structural
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors
from hwsim.cost_models.synthesis.batch import synthesise
from hwsim.cost_models.synthesis.yosys import FLOWS, Yosys, YosysError, find_yosys

pytestmark = [pytest.mark.truth, pytest.mark.slow]
DECLARED = re.compile(r"\b(?:wire|localparam)\b\s*(?:signed)?\s*(?:\[[^\]]*\]\s*)*(\w+)")


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
    units: list[Unit] = [IntMultiplier(3, 3, False), IntMac(2, 2, True, 10), IntMultiplier(4, 4, True), Squared(4)]
    units += [MinifloatMac(3, 2, 3, 2, 22, True), MinifloatMac(3, 2, 3, 2, 25, False)]  # share names and parts
    together = synthesise(yosys, FLOWS["base"], units)
    assert synthesise(yosys, FLOWS["base"], units[::-1]) == together
    for unit in units:
        assert synthesise(yosys, FLOWS["base"], [unit]) == {unit.name: together[unit.name]}
    assert together["int_mac_s2_s2_acc10"].ff == 10
    assert all(cells.lut > 0 and cells.dsp == 0 for cells in together.values())


def test_the_dsp_flow_uses_dsp(yosys: Yosys) -> None:
    assert synthesise(yosys, FLOWS["dsp"], [DspMultiplier(8, 8, True)])["dsp_mul_s8_s8"].dsp == 1


def test_an_error_of_yosys_is_told(yosys: Yosys) -> None:
    with pytest.raises(YosysError, match="syntax error"):
        synthesise(yosys, FLOWS["base"], [IntMultiplier(2, 2, True), Broken(2)])


@dataclass(frozen=True, slots=True)
class Renamed:
    """A unit whose inner wires have other names."""

    unit: Unit
    seed: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unit, name)

    def verilog(self) -> str:
        text = self.unit.verilog()
        names = sorted(set(DECLARED.findall(text)) - {port.name for port in (*self.unit.inputs, *self.unit.outputs)})
        drawn = random.Random(self.seed)
        other = {name: f"n{drawn.randrange(1 << 30):08x}_{i}" for i, name in enumerate(names)}
        return re.sub(r"(?<![.\w'])[a-z]\w*", lambda found: other.get(found[0], found[0]), text)


def test_counts_do_not_depend_on_the_names_of_wires(yosys: Yosys) -> None:
    """Yosys sorts operands of additions by name; the units write sums so that it has nothing to sort."""
    units: list[Unit] = [IntMultiplier(8, 8, True), IntMultiplier(4, 4, False), IntMac(6, 3, True, 15)]
    units += [MinifloatMac(2, 3, 3, 2, 20, True), AdderTree(5, 6, True), IntDot(4, 3, 5, False, 16)]
    there = synthesise(yosys, FLOWS["base"], units)
    for seed in (1, 2):
        renamed: list[Unit] = [Renamed(unit, seed) for unit in units]
        assert any(one.verilog() != other.verilog() for one, other in zip(units, renamed, strict=True))
        assert synthesise(yosys, FLOWS["base"], renamed) == there


@dataclass(frozen=True, slots=True)
class InUltraRam:
    """A memory that asks for UltraRAM."""

    unit: DualPortRam

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unit, name)

    def verilog(self) -> str:
        text = self.unit.verilog()
        assert '"block"' in text
        return text.replace('"block"', '"ultra"')


def test_ultrarams_are_those_of_the_law(yosys: Yosys) -> None:
    memories = [DualPortRam(words, bits) for words, bits in ((4096, 72), (4096, 73), (2048, 144))]
    found = synthesise(yosys, FLOWS["base"], [InUltraRam(memory) for memory in memories])
    for memory in memories:
        cells = found[memory.name]
        assert (cells.uram, cells.bram18) == (ultra_ram(memory.bits, memory.words), 0), memory.name
