"""Common sub-expressions of a constant matrix-vector product, two terms at a time.

Every output is a sum of terms `+-node 2^shift`, one a nonzero digit at first. The pair of terms (same two nodes, same
distance of shifts, same relation of signs) that saves most is built once and replaces all its occurrences, which makes
new pairs with it, until no pair saves anything: the greedy scheme of Hartley (IEEE TCAS-II 43(10), 1996), extended
from digit patterns of one constant to matrices by Hosangadi, Fallah and Kastner (IEEE TCAD 25(10), 2006). The count of
every pair is kept up to date where terms change.

What a pair saves weighs its occurrences by the bits that it takes out of the sums still to be made.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from hwsim.cost_models.adder_graph.assembly import Assembly
from hwsim.cost_models.adder_graph.carry_chain import adder_lut
from hwsim.cost_models.adder_graph.graph import width

Terms = dict[int, int]  # term -> 0 where it is added, 1 where it is subtracted

# A term is node * SPAN + shift. A pair of terms p < q is ((node of p) * FAR + q - p) * 2 + (1 where signs differ),
# which does not change when both are shifted.
SPAN_BITS = 8
SPAN = 1 << SPAN_BITS
FAR = 1 << 40


def term(node: int, shift: int) -> int:
    return node * SPAN + shift


def node_of(a_term: int) -> int:
    return a_term >> SPAN_BITS


def shift_of(a_term: int) -> int:
    return a_term & (SPAN - 1)


def nodes_of_pair(key: int) -> tuple[int, int, int, bool]:
    """First node, second node, shift of the second relative to the first (may be negative), whether signs differ."""
    first, distance = divmod(key >> 1, FAR)
    apart = (distance + SPAN // 2) >> SPAN_BITS
    return first, first + apart, distance - (apart << SPAN_BITS), bool(key & 1)


class PairSearch:
    """The state of a search over `rows`, which it changes in place.

    Parameters
    ----------
    ceiling : where not None, no row may need more than log2(ceiling) adder levels: the sum of 2^depth over its terms
        stays at or below it (plus one more term where all are subtracted, which is then negated).
    """

    def __init__(self, assembly: Assembly, rows: Sequence[Terms], ceiling: int | None = None) -> None:
        self.assembly = assembly
        self.rows = rows
        self.ceiling = ceiling
        self.counts: dict[int, int] = {}
        self.queue: list[tuple[int, int]] = []
        self.worths: dict[int, tuple[int, int]] = {}
        self.places: dict[int, dict[int, set[int]]] = {}  # node -> row -> shifts
        for row, terms in enumerate(rows):
            for t in terms:
                self.places.setdefault(node_of(t), {}).setdefault(row, set()).add(shift_of(t))
            self._count_pairs(terms)
        for key, count in self.counts.items():
            if count > 1:
                self._offer(key, count)

    def run(self) -> None:
        """Replace pairs until none saves anything."""
        queue, counts = self.queue, self.counts
        while queue:
            saving, key = heapq.heappop(queue)
            count = counts[key]
            if count < 2:
                continue
            now = self._saving(key, count)
            if now == -saving:
                self._substitute(key)
            elif 0 < now < -saving:  # fewer than when it was offered; where there are more, it was offered again
                heapq.heappush(queue, (-now, key))

    def _count_pairs(self, terms: Terms) -> None:
        counts = self.counts
        ordered = sorted(terms.items())
        for place, (p, negative) in enumerate(ordered):
            base = (p >> SPAN_BITS) * FAR - p
            for q, other in ordered[place + 1 :]:
                key = (base + q) * 2 + (negative ^ other)
                counts[key] = counts.get(key, 0) + 1

    def _offer(self, key: int, count: int) -> None:
        saving = self._saving(key, count)
        if saving > 0:
            heapq.heappush(self.queue, (-saving, key))

    def _saving(self, key: int, count: int) -> int:
        """Twice the bits that go out of the sums, and half an adder each, less the LUTs of building the pair."""
        worth = self.worths.get(key)
        if worth is None:
            worth = self.worths[key] = self._worth(key)
        narrower, lut = worth
        return count * (2 * narrower + 1) - lut

    def _worth(self, key: int) -> tuple[int, int]:
        first, second, shift, differ = nodes_of_pair(key)
        a, b = self.assembly.nodes[first], self.assembly.nodes[second]
        if shift < 0:
            a, b, shift = b, a, -shift
        bits = sum_bits((a.low, a.high), (b.low << shift, b.high << shift), differ)
        a_bits, b_bits = a.bits, b.bits
        lut = adder_lut(a_bits, a.low < 0, 0, b_bits, b.low < 0, shift, differ, bits)
        return a_bits + b_bits - bits, lut

    def _substitute(self, key: int) -> None:
        found = self._occurrences(key)
        if len(found) < 2:  # others overlap, or would make a row too deep
            return
        first, second, shift, differ = nodes_of_pair(key)
        if shift >= 0:
            node = self.assembly.combine(first, 0, second, shift, differ)
        else:
            node = self.assembly.combine(second, 0, first, -shift, differ)
        for row, p, q in found:
            low = p if shift >= 0 else q
            negative = self.rows[row][low]
            self._remove(row, p)
            self._remove(row, q)
            self._insert(row, term(node, shift_of(low)), negative)

    def _occurrences(self, key: int) -> list[tuple[int, int, int]]:
        """(row, first term, second term) that do not overlap."""
        first, second, shift, differ = nodes_of_pair(key)
        here, there = self.places[first], self.places[second]
        found = []
        for row in sorted(here.keys() & there.keys()):
            terms, shifts = self.rows[row], there[row]
            taken: set[int] = set()
            for s in sorted(here[row]):
                p, q = term(first, s), term(second, s + shift)
                if s + shift not in shifts or p in taken or q in taken or terms[p] ^ terms[q] != differ:
                    continue
                if self.ceiling is not None and not self._shallow(row, p, q, len(taken) // 2):
                    continue
                taken |= {p, q}
                found.append((row, p, q))
        return found

    def _shallow(self, row: int, p: int, q: int, before: int) -> bool:
        """Whether the row may still be summed in time after this replacement and `before` equal ones."""
        assert self.ceiling is not None
        terms, nodes = self.rows[row], self.assembly.nodes
        a, b = nodes[node_of(p)].depth, nodes[node_of(q)].depth
        more = (2 << max(a, b)) - (1 << a) - (1 << b)
        load = sum(1 << nodes[node_of(t)].depth for t in terms) + more * (before + 1)
        others = [t for t in terms if t not in (p, q)]
        if all(terms[t] for t in others):  # may become all negative
            load += 1 << max([max(a, b) + 1, *(nodes[node_of(t)].depth for t in others)])
        return load <= self.ceiling

    def _remove(self, row: int, p: int) -> None:
        terms, counts = self.rows[row], self.counts
        negative = terms.pop(p)
        node = p >> SPAN_BITS
        here = self.places[node]
        here[row].remove(p & (SPAN - 1))
        if not here[row]:
            del here[row]
        base = node * FAR - p
        for q, other in terms.items():
            key = ((base + q) if q > p else (q >> SPAN_BITS) * FAR + p - q) * 2 + (negative ^ other)
            counts[key] -= 1

    def _insert(self, row: int, p: int, negative: int) -> None:
        terms, counts = self.rows[row], self.counts
        node = p >> SPAN_BITS
        assert p not in terms
        base = node * FAR - p
        for q, other in terms.items():
            key = ((base + q) if q > p else (q >> SPAN_BITS) * FAR + p - q) * 2 + (negative ^ other)
            counts[key] = count = counts.get(key, 0) + 1
            if count > 1:
                self._offer(key, count)
        terms[p] = negative
        self.places.setdefault(node, {}).setdefault(row, set()).add(p & (SPAN - 1))


def sum_bits(a: tuple[int, int], b: tuple[int, int], subtract: bool) -> int:
    """Bits of the sum or difference of two independent values, from their ranges."""
    if subtract:
        return width(a[0] - b[1], a[1] - b[0])
    return width(a[0] + b[0], a[1] + b[1])
