"""What holds words for reuse: weight memories, buffers, accumulators and their control."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product


def weight_rom() -> Iterator[tuple[int, int, int]]:
    """2 to 4,096 random words of 1 to 128 bits."""
    for words, bits in product((2, 4, 8, 16, 24, 32, 48, 64), (1, 2, 4, 8, 16, 32, 64, 128)):
        yield words, bits, 0
    for words, bits in product((65, 128, 256, 512, 1024, 2048, 4096), (1, 2, 4, 8, 16, 18, 32, 36, 64, 72)):
        if words * bits <= 40_000:
            yield words, bits, 0


def dual_port_ram() -> Iterator[tuple[int, int]]:
    """2 to 16,384 words of 1 to 144 bits."""
    yield from product((2, 4, 8, 16, 24, 32, 48, 64), (1, 2, 4, 8, 16, 32, 64, 128))
    for words, bits in product(
        (65, 128, 256, 512, 600, 1024, 2048, 4096, 8192, 16384), (1, 2, 4, 8, 9, 16, 18, 36, 72, 144)
    ):
        if words * bits <= 600_000:
            yield words, bits


def register() -> Iterator[tuple[int]]:
    """1 to 128 bits."""
    yield from ((bits,) for bits in (1, 2, 4, 8, 16, 32, 64, 128))


def border_mask() -> Iterator[tuple[int]]:
    """1 to 128 bits."""
    yield from ((bits,) for bits in (1, 2, 4, 8, 16, 32, 64, 128))


def replay_buffer() -> Iterator[tuple[int, int]]:
    """2 to 2,048 words of 1 to 72 bits."""
    for words, bits in product((2, 4, 8, 16, 32, 48, 64, 65, 128, 256, 512, 1024, 2048), (1, 4, 8, 16, 32, 72)):
        if words * bits <= 70_000:
            yield words, bits


def fold_accumulator() -> Iterator[tuple[int, int, int, bool]]:
    """Terms of 6 to 28 bits into sums up to 10 bits wider."""
    for bits, guard, running in product((6, 8, 10, 12, 16, 20, 24, 28), (2, 6, 10), (True, False)):
        if running or guard == 2:
            yield bits, bits, bits + guard, running


def fold_control() -> Iterator[tuple[int, int, int]]:
    """1 to 1,024 words and 1 to 256 folds."""
    for words, folds in product((1, 2, 3, 4, 9, 16, 27, 64, 100, 256, 576, 1024), (1, 2, 4, 10, 16, 64, 256)):
        if words * folds > 1:
            yield words, folds, 3
    yield from ((16, 4, stages) for stages in (2, 4, 5, 6, 8))
