"""Memories as Yosys maps them for UltraScale+: what goes to LUTs, to distributed RAM, to shift registers, to block RAM.

Sizes of the primitives: AMD UG574 (a distributed RAM over the 8 LUTs of a CLB holds 64 words of 7 bits or 32 of 14 with
a port for reading and one for writing, 64 of 8 or 32 of 16 with one address for both), UG573 (aspect ratios of block
RAM). What is taken when, and the LUTs around it, are measured: the table of synthesised units.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, log2

from hwsim.cost_models.laws.counts import Counts

LUTRAM_WORDS = 64  # deeper memories go to block RAM
SRL_WORDS = 32  # FIFOs up to this depth are shift registers
CLB_LUTS = 8
ULTRA_BITS, ULTRA_WORDS = 72, 4096
BRAM18_SHAPES = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))


@lru_cache(maxsize=65536)
def bram18(bits: int, words: int) -> int:
    """Block RAMs of 18 Kb for `words` words of `bits` bits: the best single aspect ratio."""
    return min(ceil(bits / b) * ceil(words / w) for b, w in BRAM18_SHAPES)


@lru_cache(maxsize=65536)
def ultra_ram(bits: int, words: int) -> int:
    """UltraRAMs for `words` words of `bits` bits: 4,096 words of 72 bits each (UG573)."""
    return ceil(bits / ULTRA_BITS) * ceil(words / ULTRA_WORDS)


@lru_cache(maxsize=65536)
def weight_rom(words: int, bits: int) -> Counts:
    """Words that never change, with a registered output.

    Up to 64 words an output bit is one function of at most six address bits. Few words leave few different functions:
    of 2^words, about 2^words (1 - (1 - 2^-words)^bits) occur among `bits` random ones; equal ones are shared, and what
    is a constant, an address bit or another function with a reset takes no LUT. The shares of the latter are measured.
    """
    if words <= 1:
        return Counts()
    if words > LUTRAM_WORDS:
        return Counts(bram18=bram18(bits, words), memory=(words, bits))
    if words > 8:
        return Counts(lut=bits, ff=bits)
    functions = 2.0**words
    occurring = functions * (1 - (1 - 1 / functions) ** bits)
    if words == 2:
        return Counts(ff=min(3.0, occurring))
    lut = min(4.3, 0.47 * occurring) if words <= 4 else occurring * (1 - 0.25 * min(1.0, occurring / 110))
    return Counts(lut=lut, ff=occurring - occurring / functions)


@lru_cache(maxsize=65536)
def dual_port_ram(words: int, bits: int) -> Counts:
    """One port for writing, one for reading with a registered output."""
    if words <= 1:
        return Counts(ff=bits)
    if words > LUTRAM_WORDS:
        return Counts(bram18=bram18(bits, words), memory=(words, bits))
    columns = 14 if words <= 32 else 7
    return Counts(lut=CLB_LUTS * ceil(bits / columns), ff=bits)


@lru_cache(maxsize=65536)
def replay_buffer(words: int, bits: int) -> Counts:
    """Words that pass and are kept, to be read again: a memory with one address, and a choice between both."""
    if words <= 1:
        return Counts(ff=bits)
    if words > LUTRAM_WORDS:
        passed = bits + 1 if bits > 18 and words <= 512 else 0  # the widest shapes do not show what is being written
        return Counts(lut=max(1, passed), ff=passed, bram18=bram18(bits, words), memory=(words, bits))
    columns = 16 if words <= 32 else 8
    return Counts(lut=bits + 1 + CLB_LUTS * ceil(bits / columns), ff=bits)


@lru_cache(maxsize=65536)
def stream_fifo(bits: int, depth: int) -> Counts:
    """A FIFO with valid and ready on both sides."""
    steps = ceil(log2(max(depth, 2)))
    if depth <= 2:
        return Counts(lut=bits + 5, ff=2 * bits + 3)
    if depth <= SRL_WORDS:
        return Counts(lut=bits + 2 * steps + 3 - (steps == 2), ff=steps + 2)
    if depth <= LUTRAM_WORDS:
        return Counts(lut=CLB_LUTS * ceil(bits / 7) + 3 * steps + 3, ff=bits + 3 * steps + 2)
    return Counts(lut=2 * steps + 10, ff=3 * steps + 2, bram18=bram18(bits, depth), memory=(depth, bits))
