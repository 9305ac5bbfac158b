"""What moves words between layers: buffers, width converters, line buffers and pooling."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product


def fifo() -> Iterator[tuple[int, int]]:
    """2 to 2,048 words of 1 to 128 bits."""
    yield from product((1, 4, 8, 16, 32, 64, 128), (2, 3, 4, 8, 16, 24, 32, 33, 48, 64, 65, 128, 256, 512, 1024, 2048))


def narrower() -> Iterator[tuple[int, int, int]]:
    """8 to 256 bits in 2 to 16 pieces."""
    for bits, factor in product((8, 16, 32, 48, 64, 96, 128, 256), (2, 3, 4, 8, 16)):
        yield from ((bits, factor, lanes) for lanes in (1, 4) if bits % (factor * lanes) == 0)


def widener() -> Iterator[tuple[int, int]]:
    """2 to 16 words of 1 to 64 bits."""
    for bits, factor in product((1, 2, 4, 8, 16, 32, 64), (2, 3, 4, 8, 9, 16)):
        if bits * factor <= 512:
            yield bits, factor


def sliding_window() -> Iterator[tuple[int, int, int, int, int, int]]:
    """Rows of 8 to 224 pixels of 1 to 64 bits, windows of 2 to 5 pixels."""
    for bits, width, (kernel, padding) in product(
        (1, 4, 8, 24, 64), (8, 16, 28, 32, 56, 112, 224), ((2, 0), (3, 1), (5, 2))
    ):
        if kernel * kernel * bits <= 600:
            yield bits, width, width, kernel, 1, padding
    for width, stride in product((16, 32), (2, 3)):
        yield 8, width, width, 3, stride, 1


def window_control() -> Iterator[tuple[int, int, int, int, int]]:
    """The control of the windows that networks use most."""
    for width, (kernel, padding) in product((8, 16, 28, 32, 56, 112, 224), ((2, 0), (3, 1), (5, 2), (7, 3))):
        yield width, width, kernel, 1, padding
    for width, stride in product((16, 32, 224), (2, 3)):
        yield width, width, 3, stride, 1


def stream_max_pool() -> Iterator[tuple[int, int, str, int, int]]:
    """1 to 16 channels of 2 to 8 bits, rows of 8 to 224 pixels."""
    for channels, bits, width in product((1, 4, 16), (2, 4, 8), (8, 32, 112)):
        yield channels, bits, "uint", width, width
    for channels, bits, width in product((1, 4), (4, 8), (28, 224)):
        yield channels, bits, "int", width, width
        yield channels, bits, "minifloat", width, width


def pool_control() -> Iterator[tuple[int]]:
    """Rows of 4 to 1,024 pixels."""
    yield from ((width,) for width in (4, 6, 8, 12, 14, 16, 24, 28, 32, 56, 64, 112, 128, 224, 256, 512, 1024))
