"""On-chip storage as terms of a bill: memories and FIFOs by the laws of synthesised units."""

from __future__ import annotations

from functools import lru_cache

from hwsim.cost_models.bill import Bill, Memory, Term
from hwsim.cost_models.laws.counts import Counts
from hwsim.cost_models.laws.errors import ends
from hwsim.cost_models.laws.memories import bram18, dual_port_ram, stream_fifo, weight_rom

__all__ = ["bram18", "fifo", "of_counts", "storage"]
CONSTANT = frozenset({"weights", "bias", "tables", "coefficients"})  # labels of memories that are never written


@lru_cache(maxsize=65536)
def storage(width: int, depth: int, label: str) -> Bill:
    """A memory of `depth` words of `width` bits, one read and, unless its content is constant, one write a cycle.

    One word is a register; up to 64 words are in LUTs; more are block RAM.
    """
    if width <= 0 or depth <= 0:
        return Bill()
    if depth == 1:
        return Bill(ff=width)
    constant = label in CONSTANT
    counts = weight_rom(depth, width) if constant else dual_port_ram(depth, width)
    return of_counts(label, "weight_rom" if constant else "dual_port_ram", counts)


@lru_cache(maxsize=65536)
def fifo(width: int, depth: int) -> Bill:
    """A first-in first-out buffer of at least two words."""
    return of_counts("fifo", "fifo", stream_fifo(width, max(depth, 2)))


def of_counts(label: str, family: str, counts: Counts) -> Bill:
    """Counts of a law with the interval of its family."""
    terms = (Term(label, family, counts.lut, *ends(family, counts.lut)),) if counts.lut else ()
    memories: tuple[Memory, ...] = ()
    if counts.memory is not None:
        memories = (Memory(*counts.memory, family == "weight_rom", counts.bram18),)
    return Bill(terms, ff=counts.ff, bram18=counts.bram18, memories=memories)
