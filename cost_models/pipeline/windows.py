"""Which input words an output word needs: per axis the first and the last input position, for any kind of window.

Words come in raster order, the last axis fastest. Output word k needs all words from its first to its last position
on every axis, so the words before its last corner must have come, and no word from its first corner on may have been
overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Axis:
    """Input positions by output position.

    Attributes
    ----------
    size : input positions.
    first, last : of each output position, both included; an output position that needs nothing has `last` < `first`.
    """

    size: int
    first: tuple[int, ...]
    last: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """What the outputs of one inference need, in input words.

    Attributes
    ----------
    words : input words of an inference.
    need : how many of them have to have come before output k can start.
    oldest : the oldest word that output k or a later one still reads.
    span : the most words that an output needs at once: a smaller buffer never starts it.
    """

    words: int
    need: Words
    oldest: Words
    span: int


@lru_cache(maxsize=4096)
def window(size: int, out: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Axis:
    """A sliding window; positions in the padding are no words."""
    first, last = [], []
    for position in range(out):
        start = position * stride - padding
        inside = [t for t in range(start, start + (kernel - 1) * dilation + 1, dilation) if 0 <= t < size]
        first.append(inside[0] if inside else 0)
        last.append(inside[-1] if inside else -1)
    return Axis(size, tuple(first), tuple(last))


@lru_cache(maxsize=4096)
def transposed(size: int, out: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Axis:
    """A transposed window: the inputs whose stamps of `kernel` outputs, `stride` apart, cover an output."""
    first, last = [], []
    for position in range(out):
        taps = [position + padding - tap * dilation for tap in range(kernel)]
        inside = sorted(t // stride for t in taps if t % stride == 0 and 0 <= t // stride < size)
        first.append(inside[0] if inside else 0)
        last.append(inside[-1] if inside else -1)
    return Axis(size, tuple(first), tuple(last))


@lru_cache(maxsize=4096)
def adaptive(size: int, out: int) -> Axis:
    """Bins of an adaptive pool, which are as even as can be and overlap where `out` does not divide `size`."""
    first = tuple(o * size // out for o in range(out))
    return Axis(size, first, tuple(-(-(o + 1) * size // out) - 1 for o in range(out)))


@lru_cache(maxsize=4096)
def enlarged(size: int, out: int, linear: bool) -> Axis:
    """Upsampling to the nearest position, or between the two around it (pixel centres half a position in)."""
    if not linear:
        source = tuple(min(size - 1, o * size // out) for o in range(out))
        return Axis(size, source, source)
    below = [((2 * o + 1) * size - out) // (2 * out) for o in range(out)]
    return Axis(size, tuple(max(0, b) for b in below), tuple(min(size - 1, b + 1) for b in below))


@lru_cache(maxsize=4096)
def whole(size: int, out: int = 1) -> Axis:
    """Every output needs every input."""
    return Axis(size, (0,) * out, (size - 1,) * out)


@lru_cache(maxsize=4096)
def in_step(size: int, out: int) -> Axis:
    """Output k needs its even share of the input, and no later word."""
    return Axis(
        size, tuple(k * size // out for k in range(out)), tuple(-(-(k + 1) * size // out) - 1 for k in range(out))
    )


@lru_cache(maxsize=4096)
def part(size: int, out: int, offset: int) -> Axis:
    """One input of a concatenation along the words: output `offset` + k is its word k."""
    inside = [0 <= k - offset < size for k in range(out)]
    first = tuple(k - offset if here else 0 for k, here in enumerate(inside))
    return Axis(size, first, tuple(k - offset if here else -1 for k, here in enumerate(inside)))


@lru_cache(maxsize=4096)
def needs(axes: tuple[Axis, ...]) -> Needs:
    """Needs of all output words in raster order."""
    words = prod(axis.size for axis in axes)
    low, high = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    empty = np.zeros(1, dtype=bool)
    for axis in axes:
        first, last = np.array(axis.first, dtype=np.int64), np.array(axis.last, dtype=np.int64)
        low = (low[:, None] * axis.size + first).ravel()
        high = (high[:, None] * axis.size + last).ravel()
        empty = (empty[:, None] | (last < first)).ravel()
    need = np.maximum.accumulate(np.where(empty, 0, high + 1))
    oldest = np.minimum.accumulate(np.where(empty, words, low)[::-1])[::-1].copy()
    for array in (need, oldest):
        array.setflags(write=False)
    return Needs(words, need, oldest, max(1, int(np.max(need - oldest, initial=1))))
