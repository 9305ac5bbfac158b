"""Which bits of the nodes of a graph are the same signal.

Adding a shifted operand leaves the low bits of the other as they are, extending a sign repeats a bit, and the lowest
bit of any sum or difference is the exclusive or of two bits. So a signal is written as the set of bits whose exclusive
or it is; most are a set of one, the bit of the carry chain that makes it.
"""

from __future__ import annotations

from hwsim.cost_models.adder_graph.graph import Graph, Node

Signal = frozenset[int]  # of node * PLACES + place; the empty set is 0
PLACES = 1 << 12
NOTHING: Signal = frozenset()


def made_in(signal: Signal) -> int:
    """The node that makes a signal of one bit."""
    (bit,) = signal
    return bit // PLACES


def passed_bits(node: Node) -> int:
    """How many low bits of a sum are those of the operand that is not shifted; 0 for what is subtracted."""
    if node.operation == "add":
        return max(node.left_shift, node.right_shift)
    return node.right_shift if node.operation == "sub" else 0


def summands(node: Node, found: list[list[Signal]], nodes: tuple[Node, ...]) -> tuple[list[Signal], list[Signal]]:
    """Signals of both operands at every place of a node; the left one of a negation is 0."""

    def placed(operand: int, shift: int) -> list[Signal]:
        bits = found[operand]
        above = bits[-1] if nodes[operand].signed else NOTHING
        return ([NOTHING] * shift + bits + [above] * node.bits)[: node.bits]

    if node.operation == "neg":
        return [NOTHING] * node.bits, placed(node.left, 0)
    return placed(node.left, node.left_shift), placed(node.right, node.right_shift)


def signals(graph: Graph, pipelined: bool = False) -> list[list[Signal]]:
    """For every node its signals, the lowest first; where pipelined, the lowest bit of a sum is one of its own."""
    found: list[list[Signal]] = []
    for index, node in enumerate(graph.nodes):
        own: list[Signal] = [frozenset((index * PLACES + place,)) for place in range(node.bits)]
        if node.operation != "input":
            left, right = summands(node, found, graph.nodes)
            if node.operation == "add" and node.left_shift:
                left, right = right, left
            passed = passed_bits(node)
            own[:passed] = left[:passed]
            if node.operation == "add" and not any(left[passed:]):
                own[passed:] = right[passed:]  # the operands do not overlap: wires
            elif not pipelined and passed < node.bits:
                own[passed] = left[passed] ^ right[passed]
        found.append(own)
    return found
