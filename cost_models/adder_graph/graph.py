"""An adder graph: a constant matrix times a vector as shifts, additions and subtractions.

Shifts are wiring. Every node knows the exact range of its values, from which its width follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError

Operation = Literal["input", "add", "sub", "neg"]
ZERO = -1  # the node of an output that is always zero


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the graph.

    Attributes
    ----------
    operation : `input`; `add` (left 2^left_shift + right 2^right_shift); `sub` (the difference); `neg` (-left).
    left, right : indices of operands; of an input, `left` is its place in the vector. -1 where there is none.
    left_shift, right_shift : at least one of them is 0.
    low, high : smallest and largest value, both reached.
    depth : adders on the longest way from an input, wiring not counted.
    """

    operation: Operation
    left: int
    right: int
    left_shift: int
    right_shift: int
    low: int
    high: int
    depth: int

    @property
    def operands(self) -> tuple[int, ...]:
        """The nodes that it is computed from."""
        if self.operation == "input":
            return ()
        return (self.left,) if self.operation == "neg" else (self.left, self.right)

    @property
    def signed(self) -> bool:
        return self.low < 0

    @property
    def bits(self) -> int:
        return width(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Output:
    """`node 2^shift`, or zero where `node` is `ZERO`."""

    node: int
    shift: int


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in topological order, the inputs first."""

    inputs: int
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    @property
    def adders(self) -> int:
        """Additions, subtractions and negations; operands that do not overlap are put together by wires."""
        return sum(node.operation != "input" and not is_wiring(node, self.nodes) for node in self.nodes)

    @property
    def depth(self) -> int:
        """Adders on the longest way from an input to an output."""
        return max((self.nodes[out.node].depth for out in self.outputs if out.node != ZERO), default=0)

    def output_range(self, index: int) -> tuple[int, int]:
        """Smallest and largest value of an output."""
        out = self.outputs[index]
        if out.node == ZERO:
            return 0, 0
        node = self.nodes[out.node]
        return node.low << out.shift, node.high << out.shift


def is_wiring(node: Node, nodes: Sequence[Node]) -> bool:
    """Whether a sum only puts bits side by side: its lower operand is not negative and ends below the other one."""
    if node.operation != "add":
        return False
    low, shift = (node.left, node.right_shift) if node.right_shift else (node.right, node.left_shift)
    return shift > 0 and not nodes[low].signed and nodes[low].bits <= shift


def width(low: int, high: int) -> int:
    """Bits that hold all of low..high: two's complement where `low` is negative, else unsigned; 0 for 0..0."""
    if low >= 0:
        return high.bit_length()
    return max(high.bit_length(), (~low).bit_length()) + 1


def evaluate(graph: Graph, vectors: Any) -> NDArray[Any]:
    """Outputs for inputs of shape (..., inputs), shape (..., outputs).

    int64 where every node fits, Python integers (dtype object) otherwise.
    """
    wide = max((node.bits for node in graph.nodes), default=0) > 62
    x = np.asarray(vectors)
    if x.shape[-1:] != (graph.inputs,):
        raise InputError(f"vectors of shape {x.shape}", where="adder graph", hint=f"allowed: (..., {graph.inputs})")
    x = x.astype(object) if wide else x.astype(np.int64)
    values: list[NDArray[Any]] = []
    for node in graph.nodes:
        if node.operation == "input":
            values.append(x[..., node.left])
        elif node.operation == "neg":
            values.append(-values[node.left])
        else:
            left = values[node.left] * (1 << node.left_shift)
            right = values[node.right] * (1 << node.right_shift)
            values.append(left + right if node.operation == "add" else left - right)
    found = np.zeros((*x.shape[:-1], len(graph.outputs)), dtype=x.dtype)
    for place, out in enumerate(graph.outputs):
        if out.node != ZERO:
            found[..., place] = values[out.node] * (1 << out.shift)
    return found


def coefficients(graph: Graph) -> list[list[int]]:
    """The matrix that a graph computes, (outputs, inputs), in Python integers."""
    rows: list[list[int]] = []
    for node in graph.nodes:
        if node.operation == "input":
            rows.append([int(place == node.left) for place in range(graph.inputs)])
        elif node.operation == "neg":
            rows.append([-c for c in rows[node.left]])
        else:
            sign = 1 if node.operation == "add" else -1
            pairs = zip(rows[node.left], rows[node.right], strict=True)
            rows.append([(a << node.left_shift) + sign * (b << node.right_shift) for a, b in pairs])
    zero = [0] * graph.inputs
    return [zero if out.node == ZERO else [c << out.shift for c in rows[out.node]] for out in graph.outputs]
