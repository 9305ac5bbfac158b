"""What a graph takes of an FPGA with six-input LUTs and carry chains.

A sum runs on a carry chain, bit for bit. The chain needs the exclusive or of both operands from a LUT wherever both
have a bit, its inverse for a difference, and takes a bit directly where only one has. The lowest bit of a difference
is an exclusive or once more. The same function of the same signals is one LUT however often it is needed:
where signs are extended, where two outputs share it. The inverse of a lone bit, which subtracting needs, is an
inverter: Yosys counts it apart from LUTs, a placed design takes a LUT for it. Sums of at most two bits become plain
LUTs, one a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.cost_models.adder_graph.graph import Graph
from hwsim.cost_models.adder_graph.signals import Signal, passed_bits, signals, summands

SHORTEST_CHAIN = 3  # bits; below, Yosys maps an adder to LUTs (techlibs/xilinx/arith_map.v)


@dataclass(frozen=True, slots=True)
class Area:
    """LUTs, inverters beside them, and carry chain bits of a graph."""

    lut: int
    inverters: int
    carry_bits: int


def area(graph: Graph) -> Area:
    """Count all sums of a graph, each function once."""
    found = signals(graph)
    functions: set[tuple[Signal, bool]] = set()  # with whether it is inverted
    inverted: set[Signal] = set()
    plain = carry = 0
    for node in graph.nodes:
        if node.operation == "input":
            continue
        passed = passed_bits(node)
        left, right = (operand[passed:] for operand in summands(node, found, graph.nodes))
        subtract = node.operation != "add"
        if not subtract and not (any(left) and any(right)):
            continue
        if not left:
            continue
        if len(left) < SHORTEST_CHAIN:
            plain += sum(1 for place in range(len(left)) if place or (left[0] and right[0]))
            continue
        carry += len(left)
        functions.update((a ^ b, subtract) for a, b in zip(left, right, strict=True) if a and b)
        if left[0] and right[0]:
            functions.add((left[0] ^ right[0], False))
        if subtract:
            inverted.update(a or b for a, b in zip(left, right, strict=True) if not (a and b))
    lut = sum(1 for function, _ in functions if len(function) > 1)
    inverters = sum(1 for function in inverted if function and (function, True) not in functions)
    return Area(lut + plain, inverters, carry)


def graph_lut(graph: Graph) -> int:
    """LUTs and inverters, which is what graphs are compared by."""
    found = area(graph)
    return found.lut + found.inverters
