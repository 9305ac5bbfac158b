"""A constant matrix times a vector as hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hwsim.cost_models.adder_graph.build import adder_graph
from hwsim.cost_models.adder_graph.digits import checked
from hwsim.cost_models.adder_graph.graph import ZERO, Graph, width
from hwsim.cost_models.adder_graph.signals import passed_bits
from hwsim.cost_models.adder_graph.stages import last_use, latency, stages
from hwsim.cost_models.rtl.unit import Port, Vectors, as_vectors, module


@dataclass(frozen=True, slots=True)
class ConstantDot:
    """`y = W x`, fully unrolled.

    Attributes
    ----------
    weights : rows of W, one an output.
    ranges : smallest and largest value of each input; what the outputs are for values outside is not defined.
    levels_per_stage : adder levels between registers, 0 for none at all; outputs are registered too.
    max_depth : adder levels at most, None for any number.
    """

    family: ClassVar[str] = "constant_dot"
    weights: tuple[tuple[int, ...], ...]
    ranges: tuple[tuple[int, int], ...]
    levels_per_stage: int = 0
    max_depth: int | None = None

    @classmethod
    def of(cls, weights: ArrayLike, bits: int, signed: bool, levels_per_stage: int = 0) -> ConstantDot:
        """Of a matrix, with inputs that take all values of `bits` bits."""
        rows = checked(weights)
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        return cls(tuple(map(tuple, rows.tolist())), ((low, high),) * rows.shape[1], levels_per_stage)

    @property
    def name(self) -> str:
        digest = sha256(repr((self.weights, self.ranges, self.max_depth)).encode()).hexdigest()[:10]
        pipeline = f"_l{self.levels_per_stage}" if self.levels_per_stage else ""
        return f"constant_dot_{len(self.weights)}x{len(self.ranges)}_{digest}{pipeline}"

    @property
    def graph(self) -> Graph:
        return _graph(self)

    @property
    def latency(self) -> int:
        """Clock cycles from inputs to outputs."""
        return latency(self.graph, self.levels_per_stage) if self.levels_per_stage else 0

    @property
    def clocked(self) -> bool:
        return self.latency > 0

    @property
    def inputs(self) -> tuple[Port, ...]:
        return tuple(
            Port(f"x{place}", max(1, width(low, high)), low < 0) for place, (low, high) in enumerate(self.ranges)
        )

    @property
    def outputs(self) -> tuple[Port, ...]:
        ranges = [self.graph.output_range(place) for place in range(len(self.weights))]
        return tuple(Port(f"y{place}", max(1, width(low, high)), low < 0) for place, (low, high) in enumerate(ranges))

    def verilog(self) -> str:
        return module(self, body(self.graph, self.levels_per_stage))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        x = [np.asarray(inputs[port.name], dtype=object) for port in self.inputs]
        found = {}
        for port, row in zip(self.outputs, self.weights, strict=True):
            y = sum((w * v for w, v in zip(row, x, strict=True)), np.zeros(len(x[0]), dtype=object))
            late = max(0, self.latency - 1)
            found[port.name] = as_vectors(port, [0] * min(late, len(y)) + list(y[: max(0, len(y) - late)]))
        return found


@lru_cache(maxsize=64)
def _graph(unit: ConstantDot) -> Graph:
    return adder_graph(unit.weights, unit.ranges, max_depth=unit.max_depth)


def body(graph: Graph, levels_per_stage: int) -> str:
    """Verilog of a graph between ports x0.. and y0..

    Signs are extended bit by bit and low bits that only one operand has stay out of the sum, so that a synthesis tool
    finds one adder a node and no wider than it has to be.
    """
    staged = levels_per_stage > 0
    stage = stages(graph, levels_per_stage) if staged else [0] * len(graph.nodes)
    last = last_use(graph, levels_per_stage) if staged else stage
    lines, moves = [], []
    for index, node in enumerate(graph.nodes):
        if not node.bits:
            continue
        if node.operation != "input":
            lines += _sum(graph, index, stage)
        for at in range(stage[index] + 1, last[index] + 1):
            lines.append(f"  reg {_range(node.bits)} n{index}_s{at} = 0;")
            moves.append(f"    n{index}_s{at} <= {_name(graph, index, at - 1, stage)};")
    end = latency(graph, levels_per_stage) if staged else 0
    for place, out in enumerate(graph.outputs):
        low, high = graph.output_range(place)
        name = _name(graph, out.node, end, stage) if out.node != ZERO else ""
        bits = graph.nodes[out.node].bits if out.node != ZERO else 0
        lines.append(f"  assign y{place} = {_places(name, bits, False, out.shift, 0, max(1, width(low, high)))};")
    if moves:
        lines += ["  always @(posedge clk) begin", *moves, "  end"]
    return "\n".join(lines)


def _sum(graph: Graph, index: int, stage: list[int]) -> list[str]:
    """The wire of a node."""
    node = graph.nodes[index]
    operands = [(node.left, node.left_shift), (node.right, node.right_shift)][: 1 if node.operation == "neg" else 2]
    named = []
    for operand, shift in operands:
        of = graph.nodes[operand]
        named.append((_name(graph, operand, stage[index], stage), of.bits, of.signed, shift))
    declared = f"  (* keep *) wire {_range(node.bits)} n{index} ="
    passed = min(passed_bits(node), node.bits)
    terms = [_places(*operand, passed, node.bits) for operand in named]
    if node.operation == "neg":
        return [f"{declared} -{terms[0]};"]
    sign = "+" if node.operation == "add" else "-"
    if not passed:
        return [f"{declared} {terms[0]} {sign} {terms[1]};"]
    low = _places(*named[0 if node.right_shift else 1], 0, passed)
    if passed == node.bits:
        return [f"{declared} {low};"]
    above = f"  wire {_range(node.bits - passed)} h{index} = {terms[0]} {sign} {terms[1]};"
    return [above, f"{declared} {{h{index}, {low}}};"]


def _name(graph: Graph, index: int, at: int, stage: list[int]) -> str:
    """A node as it is seen in a stage."""
    if at > stage[index]:
        return f"n{index}_s{at}"
    node = graph.nodes[index]
    return f"x{node.left}" if node.operation == "input" else f"n{index}"


def _range(bits: int) -> str:
    return f"[{bits - 1}:0]"


def _places(name: str, bits: int, signed: bool, shift: int, start: int, stop: int) -> str:
    """`name 2^shift` at places start..stop-1, its sign extended."""
    parts = []
    first, end = max(start, shift), min(stop, shift + bits)
    above = stop - max(start, shift + bits)
    if above > 0:
        sign = f"{name}[{bits - 1}]"
        parts.append((f"{{{above}{{{sign}}}}}" if above > 1 else sign) if signed and bits else f"{above}'b0")
    if first < end:
        parts.append(name if end - first == bits else f"{name}[{end - shift - 1}:{first - shift}]")
    below = min(stop, shift) - start
    if below > 0:
        parts.append(f"{below}'b0")
    return parts[0] if len(parts) == 1 else f"{{{', '.join(parts)}}}"
