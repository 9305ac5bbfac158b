"""LUTs of graphs: the rule of one adder, and what Yosys makes of the same Verilog."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from constant_dot_cases import Synthesised, cases, digest, matrices, measured, pairs, read
from hypothesis import given

from hwsim.core.errors import MissingToolError
from hwsim.cost_models.adder_graph.assembly import Assembly
from hwsim.cost_models.adder_graph.carry_chain import adder_lut
from hwsim.cost_models.adder_graph.graph import Output
from hwsim.cost_models.adder_graph.price import SHORTEST_CHAIN, area
from hwsim.cost_models.adder_graph.stages import registers
from hwsim.cost_models.synthesis import FLOWS, find_yosys, synthesise

ROWS = read()
RANGES = st.tuples(st.integers(-200, 200), st.integers(1, 300)).map(lambda t: (t[0], t[0] + t[1]))


@pytest.mark.property
@given(RANGES, RANGES, st.integers(0, 12), st.booleans(), st.booleans())
def test_the_area_of_one_adder_is_the_rule(
    left: tuple[int, int], right: tuple[int, int], shift: int, shift_left: bool, subtract: bool
) -> None:
    assembly = Assembly([left, right])
    shifts = (shift, 0) if shift_left else (0, shift)
    node = assembly.combine(0, shifts[0], 1, shifts[1], subtract)
    graph = assembly.graph([Output(node, 0)])
    a, b, y = (graph.nodes[k] for k in range(3))
    if y.operation == "add" and y.left != 0:
        a, b = b, a
    found = area(graph)
    rule = adder_lut(a.bits, a.signed, y.left_shift, b.bits, b.signed, y.right_shift, subtract, y.bits)
    if y.bits - shift >= SHORTEST_CHAIN:
        assert abs(found.lut + found.inverters - rule) <= 1  # a lone lowest bit of what is subtracted


def fresh(name: str) -> Synthesised:
    """The row of a case, if it was made from the Verilog of today."""
    if name not in ROWS:
        pytest.skip(f"{name} was not synthesised yet: run constant_dot_cases.py")
    if digest(cases()[name]) != ROWS[name].verilog:
        pytest.fail(f"{name}: the Verilog has changed; run constant_dot_cases.py to synthesise it again")
    return ROWS[name]


@pytest.mark.truth
@pytest.mark.parametrize("name", pairs())
def test_one_adder_as_synthesised(name: str) -> None:
    """Yosys, synth_xilinx -family xcup -noiopad -noclkbuf -nodsp: every LUT and inverter."""
    found = area(cases()[name].graph)
    row = fresh(name)
    assert (found.lut, found.inverters) == (row.lut, row.inv)


@pytest.mark.truth
@pytest.mark.parametrize("name", [name for name in matrices() if not name.startswith("1x")])
def test_layers_as_synthesised(name: str) -> None:
    """Same flow: LUTs within 3 %, flip-flops exactly."""
    unit, row = cases()[name], fresh(name)
    assert area(unit.graph).lut == pytest.approx(row.lut, rel=0.03)
    if unit.levels_per_stage:
        ff = registers(unit.graph, unit.levels_per_stage).ff
        assert row.ff + 3 * row.srl <= ff <= row.ff + unit.latency * row.srl


@pytest.mark.truth
def test_layers_as_synthesised_all_together() -> None:
    """Same flow: median error of LUTs at most 1 %."""
    errors = [area(unit.graph).lut / fresh(name).lut - 1.0 for name, unit in matrices().items()]
    assert np.median(np.abs(errors)) <= 0.01


@pytest.mark.truth
@pytest.mark.slow
def test_synthesis_again() -> None:
    """The rows of the file are what the installed Yosys gives."""
    try:
        yosys = find_yosys()
    except MissingToolError as error:
        pytest.skip(str(error))
    again = {name: cases()[name] for name in ("8x8 int4 x int4", "5x16 int4 x uint4", *pairs())}
    found = synthesise(yosys, FLOWS["base"], list(again.values()))
    for name, unit in again.items():
        assert measured(unit, name, found[unit.name], fresh(name).tool) == fresh(name)
