"""A graph while it is being built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwsim.cost_models.adder_graph.graph import Graph, Node, Operation, Output, is_wiring


class Assembly:
    """Nodes so far; adding one that exists gives the old one.

    The exact range of a node comes from its coefficients over the inputs, so that x + x or x - x/2 are no wider than
    they need to be.
    """

    def __init__(self, input_ranges: Sequence[tuple[int, int]]) -> None:
        self.ranges = list(input_ranges)
        self.nodes: list[Node] = []
        self.coefficients: list[dict[int, int]] = []
        self.known: dict[tuple[str, int, int, int, int], int] = {}
        for place, (low, high) in enumerate(self.ranges):
            self.nodes.append(Node("input", place, -1, 0, 0, low, high, 0))
            self.coefficients.append({place: 1})

    def combine(self, left: int, left_shift: int, right: int, right_shift: int, subtract: bool) -> int:
        """The node `left 2^left_shift +- right 2^right_shift`; one shift is 0."""
        operation: Operation = "sub" if subtract else "add"
        if not subtract and (left, left_shift) > (right, right_shift):
            left, left_shift, right, right_shift = right, right_shift, left, left_shift
        key = (operation, left, left_shift, right, right_shift)
        if key not in self.known:
            row = {place: c << left_shift for place, c in self.coefficients[left].items()}
            for place, c in self.coefficients[right].items():
                more = c << right_shift
                row[place] = row.get(place, 0) + (-more if subtract else more)
            depth = max(self.nodes[left].depth, self.nodes[right].depth)
            low, high = self._range(row)
            node = Node(operation, left, right, left_shift, right_shift, low, high, depth)
            self._append(key, node if is_wiring(node, self.nodes) else replace(node, depth=depth + 1), row)
        return self.known[key]

    def negate(self, node: int) -> int:
        """The node `-node`."""
        key = ("neg", node, 0, -1, 0)
        if key not in self.known:
            old = self.nodes[node]
            row = {place: -c for place, c in self.coefficients[node].items()}
            self._append(key, Node("neg", node, -1, 0, 0, -old.high, -old.low, old.depth + 1), row)
        return self.known[key]

    def _append(self, key: tuple[str, int, int, int, int], node: Node, row: dict[int, int]) -> None:
        self.known[key] = len(self.nodes)
        self.nodes.append(node)
        self.coefficients.append(row)

    def _range(self, row: dict[int, int]) -> tuple[int, int]:
        low = high = 0
        for place, c in row.items():
            smallest, largest = self.ranges[place]
            low += c * (smallest if c > 0 else largest)
            high += c * (largest if c > 0 else smallest)
        return low, high

    def graph(self, outputs: Sequence[Output]) -> Graph:
        """The graph of these outputs, without nodes that none of them needs."""
        used = {out.node for out in outputs if out.node >= 0}
        for index in range(len(self.nodes) - 1, len(self.ranges) - 1, -1):
            if index in used:
                node = self.nodes[index]
                used.add(node.left)
                if node.right >= 0:
                    used.add(node.right)
        place: dict[int, int] = {-1: -1}
        kept: list[Node] = []
        for index, node in enumerate(self.nodes):
            if node.operation == "input":
                place[index] = len(kept)
                kept.append(node)
            elif index in used:
                place[index] = len(kept)
                kept.append(replace(node, left=place[node.left], right=place[node.right]))
        return Graph(len(self.ranges), tuple(kept), tuple(Output(place[out.node], out.shift) for out in outputs))
