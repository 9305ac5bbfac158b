"""Registers of pipelined graphs."""

from __future__ import annotations

import re
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from adder_matrices import Matrix, matrices
from hypothesis import given

from hwsim.core.errors import InputError
from hwsim.cost_models.adder_graph.build import adder_graph
from hwsim.cost_models.adder_graph.graph import ZERO
from hwsim.cost_models.adder_graph.signals import signals
from hwsim.cost_models.adder_graph.stages import latency, registers, stages
from hwsim.cost_models.adder_graph.verilog import ConstantDot


@pytest.mark.property
@given(st.data())
def test_pipelines_keep_order_and_never_hold_more_than_they_declare(data: Any) -> None:
    matrix: Matrix = data.draw(matrices())
    levels = data.draw(st.integers(1, 4))
    unit = ConstantDot.of(matrix, 5, data.draw(st.booleans()), levels)
    graph = unit.graph
    stage = stages(graph, levels)
    for index, node in enumerate(graph.nodes):
        assert all(stage[operand] <= stage[index] for operand in node.operands)
    assert latency(graph, levels) == -(-graph.depth // levels)
    declared = sum(int(high) + 1 for high in re.findall(r"reg \[(\d+):0\]", unit.verilog()))
    found = registers(graph, levels)
    assert found.ff <= declared
    if graph.depth:
        bits = signals(graph, pipelined=True)
        computed = [out.node for out in graph.outputs if out.node != ZERO]
        assert found.ff >= len({bit for node in computed for bit in bits[node] if bit}) > 0


@pytest.mark.exact
def test_a_chain_counted_by_hand() -> None:
    graph = adder_graph([[1, 1, 1, 1]], [(0, 15)] * 4)  # two sums of 5 bits, one of 6
    assert (registers(graph, 1).ff, registers(graph, 1).latency) == (16, 2)
    assert (registers(graph, 2).ff, registers(graph, 2).latency) == (6, 1)


@pytest.mark.exact
def test_bits_that_pass_are_registered_once() -> None:
    graph = adder_graph([[1, 16, 0], [1, 0, 1]], [(0, 15)] * 3)  # x0 + 16 x1 is wires
    assert graph.depth == 1
    assert registers(graph, 1).ff == 8 + 5
    with pytest.raises(InputError, match="adder levels"):
        stages(graph, 0)


@pytest.mark.property
def test_fewer_registers_with_more_levels_between_them() -> None:
    matrix = np.random.default_rng(0).integers(-31, 32, (8, 16))
    graph = adder_graph(matrix, [(-32, 31)] * 16)
    counts = [registers(graph, levels).ff for levels in range(1, graph.depth + 1)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] <= sum(graph.nodes[out.node].bits for out in graph.outputs)
