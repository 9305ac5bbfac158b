"""What a piece of hardware is made of: LUTs by cause and by family of measurement, flip-flops, DSPs, block RAMs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Term:
    """LUTs of one cause.

    Attributes
    ----------
    label : the cause, as per-layer tables show it (`multipliers`, `tree`, `accumulators`, ...).
    family : the family of synthesis rows whose errors apply to it (see `residuals`); `none` where nothing was measured.
    lut : number of LUTs.
    low, high : ends of its interval where it has one of its own, as what comes from surfaces and laws does.
    outside : whether a unit in it lies beyond all that was synthesised, so that its ends are guesses.
    """

    label: str
    family: str
    lut: float
    low: float | None = None
    high: float | None = None
    outside: bool = False

    def times(self, copies: float) -> Term:
        """`copies` of it, whose errors go together."""
        low, high = (None if end is None else end * copies for end in (self.low, self.high))
        return Term(self.label, self.family, self.lut * copies, low, high, self.outside)


@dataclass(frozen=True, slots=True)
class Memory:
    """`copies` memories in block RAM.

    Attributes
    ----------
    constant : whether their content never changes.
    bram18 : block RAMs of 18 Kb that one takes.
    """

    words: int
    bits: int
    constant: bool
    bram18: float
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Bill:
    """Resources by formula.

    Attributes
    ----------
    terms : LUTs by cause.
    ff : flip-flops.
    dsp : DSPs as synthesis tools place them; `dsp_packed` with several products in one DSP.
    bram18 : block RAMs of 18 Kb.
    uram : UltraRAMs.
    memories : what is in the block RAMs.
    """

    terms: tuple[Term, ...] = ()
    ff: float = 0.0
    dsp: float = 0.0
    dsp_packed: float = 0.0
    bram18: float = 0.0
    uram: float = 0.0
    memories: tuple[Memory, ...] = ()

    @property
    def lut(self) -> float:
        return sum(term.lut for term in self.terms)

    @property
    def outside(self) -> tuple[str, ...]:
        """Labels of terms that lie beyond all that was synthesised."""
        return tuple(dict.fromkeys(term.label for term in self.terms if term.outside))

    def __add__(self, other: Bill) -> Bill:
        return Bill(
            self.terms + other.terms,
            self.ff + other.ff,
            self.dsp + other.dsp,
            self.dsp_packed + other.dsp_packed,
            self.bram18 + other.bram18,
            self.uram + other.uram,
            self.memories + other.memories,
        )

    def times(self, copies: int) -> Bill:
        """`copies` of the same hardware."""
        terms = tuple(term.times(copies) for term in self.terms)
        memories = tuple(replace(memory, copies=memory.copies * copies) for memory in self.memories)
        return Bill(
            terms,
            self.ff * copies,
            self.dsp * copies,
            self.dsp_packed * copies,
            self.bram18 * copies,
            self.uram * copies,
            memories,
        )

    def by_label(self) -> dict[str, float]:
        """LUTs by cause; the values sum to `lut`."""
        found: dict[str, float] = {}
        for term in self.terms:
            found[term.label] = found.get(term.label, 0.0) + term.lut
        return found


def total(bills: Iterable[Bill]) -> Bill:
    """The sum of several bills."""
    parts = tuple(bills)
    return Bill(
        tuple(term for bill in parts for term in bill.terms),
        sum(bill.ff for bill in parts),
        sum(bill.dsp for bill in parts),
        sum(bill.dsp_packed for bill in parts),
        sum(bill.bram18 for bill in parts),
        sum(bill.uram for bill in parts),
        tuple(memory for bill in parts for memory in bill.memories),
    )
