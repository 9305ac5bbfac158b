"""Registers of a pipelined graph: one after every so many adder levels.

Bits that pass through an adder unchanged (the low bits of the operand that is not shifted) are the same signal, and a
synthesis tool registers them once; so registers are counted bit by bit, by the adder that made the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.core.errors import InputError
from hwsim.cost_models.adder_graph.graph import ZERO, Graph
from hwsim.cost_models.adder_graph.signals import Signal, made_in, signals


@dataclass(frozen=True, slots=True)
class Registers:
    """What a pipeline adds.

    Attributes
    ----------
    latency : clock cycles from inputs to outputs.
    ff : flip-flops. Synthesis may turn delays of three cycles and more into shift-register LUTs; these are counted
        here as the flip-flops that they replace.
    """

    latency: int
    ff: int


def stages(graph: Graph, levels_per_stage: int) -> list[int]:
    """The stage in which each node is computed, the first being 0; inputs come in stage 0."""
    if levels_per_stage < 1:
        raise InputError(
            f"a register after {levels_per_stage} adder levels", where="pipeline", hint="allowed: 1 and up"
        )
    return [max(0, node.depth - 1) // levels_per_stage for node in graph.nodes]


def latency(graph: Graph, levels_per_stage: int) -> int:
    """Cycles from inputs to registered outputs; 0 where outputs are wires."""
    return -(-graph.depth // levels_per_stage)


def last_use(graph: Graph, levels_per_stage: int) -> list[int]:
    """The last stage in which each node is read; outputs are read in stage `latency`. -1 where nobody reads."""
    stage = stages(graph, levels_per_stage)
    last = [-1] * len(graph.nodes)
    for index, node in enumerate(graph.nodes):
        for operand in node.operands:
            last[operand] = max(last[operand], stage[index])
    for out in graph.outputs:
        if out.node != ZERO:
            last[out.node] = latency(graph, levels_per_stage)
    return last


def registers(graph: Graph, levels_per_stage: int) -> Registers:
    """Count registers, bit by bit."""
    stage = stages(graph, levels_per_stage)
    end = latency(graph, levels_per_stage)
    bits = signals(graph, pipelined=True)
    last: dict[Signal, int] = {}
    reads = [(operand, stage[i]) for i, node in enumerate(graph.nodes) for operand in node.operands]
    reads += [(out.node, end) for out in graph.outputs if out.node != ZERO]
    for operand, at in reads:
        for bit in bits[operand]:
            if bit:
                last[bit] = max(at, last.get(bit, 0))
    ff = sum(at - stage[made_in(bit)] for bit, at in last.items())
    return Registers(end, ff)
