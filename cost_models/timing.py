"""When the words of each tensor come: cycles from the first input word to the first and the last word.

A streamed layer starts when the share of its input that its window needs has come, and is busy for its own cycles
or for as long as its input takes, whichever is longer. The latency of the network is when its last output word leaves:
fill of the pipeline plus the slowest layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from hwsim.cost_models.layers.site import Price, Stream


@dataclass(frozen=True, slots=True)
class Span:
    """Cycles at which the first and the last word of a tensor are there."""

    first: float
    last: float


def input_span(stream: Stream) -> Span:
    """A network input comes at one word a cycle."""
    return Span(0.0, float(stream.words))


def span_after(price: Price, inputs: Sequence[Span]) -> Span:
    """When the output of a layer is there."""
    first = max((s.first for s in inputs), default=0.0)
    last = max((s.last for s in inputs), default=0.0)
    start = first + price.need * (last - first) + price.depth
    step = price.cycles / max(1, price.out.words)
    return Span(start + step, max(last + price.depth + step, start + price.cycles))


def wait_words(stream: Stream, own: Span, inputs: Sequence[Span]) -> int:
    """Words of one input that pile up while a join waits for its slowest input (at least 2, at most all)."""
    if len(inputs) < 2:
        return 2
    wait = max(s.first for s in inputs) - own.first
    pace = (own.last - own.first) / max(1, stream.words)
    return max(2, min(stream.words, ceil(wait / pace) + 1 if pace > 0 else stream.words))
