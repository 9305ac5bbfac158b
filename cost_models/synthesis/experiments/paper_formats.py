"""Units of formats from single papers: power (NUPES) and partially binary (PB-LLM) weights."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from hwsim.cost_models.synthesis.experiments.integers import SUMMANDS_BITS


def power_mac() -> Iterator[tuple[int, int, str, int]]:
    """Weights of 2 to 8 bits with integers of as many and others, and with activations of the same kind."""
    for bits, a_bits, kind in product(range(2, 9), (2, 3, 4, 5, 6, 8), ("unsigned", "signed", "power")):
        largest = {"power": _squared(a_bits), "unsigned": (1 << a_bits) - 1, "signed": 1 << (a_bits - 1)}[kind]
        acc_bits = 1 + (_squared(bits) * largest).bit_length() + SUMMANDS_BITS
        yield bits, a_bits, kind, acc_bits
        if (bits, a_bits) in ((4, 4), (4, 8), (8, 8)):
            yield from ((bits, a_bits, kind, acc_bits + more) for more in (-3, 4))


def partial_binary_mac() -> Iterator[tuple[int, int, bool, int, int]]:
    """Salient weights of 2 to 8 bits (the paper has 8) with activations of 2 to 16 bits."""
    for w_bits, a_bits, signed in product((2, 3, 4, 6, 8), (2, 4, 6, 8, 12, 16), (False, True)):
        for summands_bits in (4, 8, 12):
            yield w_bits, a_bits, signed, a_bits + 1 + summands_bits, w_bits + a_bits + summands_bits


def _squared(bits: int) -> int:
    return ((1 << (bits - 1)) - 1) ** 2
