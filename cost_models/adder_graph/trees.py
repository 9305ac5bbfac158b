"""The sum of the terms of one output as a tree of adders.

Those two terms are added next whose adder is cheapest and whose sum is least wider than they are, so that small
numbers, and numbers at the same place, meet first.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

from hwsim.cost_models.adder_graph.assembly import Assembly
from hwsim.cost_models.adder_graph.carry_chain import adder_lut
from hwsim.cost_models.adder_graph.graph import ZERO, Output
from hwsim.cost_models.adder_graph.subexpressions import Terms, node_of, shift_of, sum_bits


class Addend(NamedTuple):
    """`+-node 2^shift`"""

    node: int
    shift: int
    negative: bool


def sum_terms(assembly: Assembly, terms: Terms, ceiling: int | None = None) -> Output | None:
    """Build the sum of the terms; `ceiling` bounds the sum of 2^depth over them, and so the depth of the tree.

    None where no tree stays within it.
    """
    if not terms:
        return Output(ZERO, 0)
    addends = [Addend(node_of(t), shift_of(t), bool(negative)) for t, negative in sorted(terms.items())]
    if all(addend.negative for addend in addends):
        _negate_narrowest(assembly, addends, ceiling)
    live = dict(enumerate(addends))
    queue = [(*_merit(assembly, a, b), i, j) for i, a in live.items() for j, b in live.items() if j < i]
    heapq.heapify(queue)
    load = sum(1 << assembly.nodes[addend.node].depth for addend in addends)
    fresh = len(addends)
    while len(live) > 1:
        if not queue:
            return None
        *_, i, j = heapq.heappop(queue)
        if i not in live or j not in live:
            continue
        more = _deeper(assembly, live[i], live[j])
        if ceiling is not None and load + more > ceiling:  # stays so: the load never falls
            continue
        load += more
        first, second = live.pop(i), live.pop(j)
        new = _added(assembly, first, second, any(not addend.negative for addend in live.values()))
        for index, other in live.items():
            heapq.heappush(queue, (*_merit(assembly, new, other), fresh, index))
        live[fresh] = new
        fresh += 1
    (root,) = live.values()
    assert not root.negative
    return Output(root.node, root.shift)


def _negate_narrowest(assembly: Assembly, addends: list[Addend], ceiling: int | None) -> None:
    """Negate one of the terms, so that all others can be subtracted from it."""
    load = sum(1 << assembly.nodes[addend.node].depth for addend in addends)

    def badness(index: int) -> tuple[bool, int]:
        node = assembly.nodes[addends[index].node]
        return ceiling is not None and load + (1 << node.depth) > ceiling, node.bits

    chosen = min(range(len(addends)), key=badness)
    old = addends[chosen]
    addends[chosen] = Addend(assembly.negate(old.node), old.shift, False)


def _merit(assembly: Assembly, a: Addend, b: Addend) -> tuple[int, int]:
    """What orders sums, the smallest first: twice the LUTs and the growth in bits, then the bits."""
    if a.shift > b.shift:
        a, b = b, a
    x, y, shift, differ = assembly.nodes[a.node], assembly.nodes[b.node], b.shift - a.shift, a.negative != b.negative
    bits = sum_bits((x.low, x.high), (y.low << shift, y.high << shift), differ)
    x_bits, y_bits = x.bits, y.bits
    lut = adder_lut(x_bits, x.low < 0, 0, y_bits, y.low < 0, shift, differ, bits)
    return 2 * lut + bits - x_bits - y_bits, bits


def _deeper(assembly: Assembly, a: Addend, b: Addend) -> int:
    """By how much adding two terms raises the sum of 2^depth."""
    first, second = assembly.nodes[a.node].depth, assembly.nodes[b.node].depth
    return (2 << max(first, second)) - (1 << first) - (1 << second)


def _added(assembly: Assembly, a: Addend, b: Addend, others_positive: bool) -> Addend:
    """The sum of two terms. Its sign is that of the lower one, whose low bits then pass unchanged; but it is positive
    where no other term is, for the last sum has to be."""
    if a.shift > b.shift:
        a, b = b, a
    shift = b.shift - a.shift
    if a.negative and not b.negative and not others_positive:
        return Addend(assembly.combine(b.node, shift, a.node, 0, True), a.shift, False)
    return Addend(assembly.combine(a.node, 0, b.node, shift, a.negative != b.negative), a.shift, a.negative)
