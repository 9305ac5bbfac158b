"""The constraints of a pipeline on the times of its events, laid out for a number of successive inferences.

Every event happens in the first cycle that satisfies all of these (a[j]: word j of a port is read; s[k]: word k starts;
f[k]: it leaves the unit; w[k]: it is written; I[k] its interval):

    s[k] >= w_source[need(k) - 1] + delay (direct, held) or a[need(k) - 1] + 1 (buffered);  s[k] >= f[k - 1] + 1
    f[k] >= s[k] + I[k] - 1;  f[k] >= w[k - depth];  f[k] = s[k] where I[k] = 1
    w[k] >= f[k] + depth;  w[k] >= w[k - 1] + 1;  w[k] >= a_target[k - D] + 1 for every FIFO of depth D behind it
    a[j] = s of the start that takes it (direct, held), or (buffered)
    a[j] >= w_source[j] + delay;  a[j] >= a[j - 1] + accept;  a[j] >= s[k] + 1, last k with oldest(k) <= j - capacity

Their least solution is that of a (max, +) recurrence over (actor, word): it does not depend on the order of evaluation,
and no time grows when a FIFO gets deeper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hwsim.cost_models.pipeline.graph import Actor, Graph, Port, PortKind
from hwsim.cost_models.pipeline.windows import Words

NOTHING: Words = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """A port over all inferences.

    Attributes
    ----------
    words : read in all.
    pace : word j is read no earlier than pace[j] cycles after word 0.
    taker : held: the word whose start takes word j (direct: word j).
    first, needed : buffered: words from `first` on start after the read of the word that `needed` lists.
    waits, freed_by : buffered: words from `waits` on find a place after the start of the word that `freed_by` lists.
    """

    kind: PortKind
    words: int
    pace: Words
    taker: Words
    first: int
    needed: Words
    waits: int
    freed_by: Words


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """An actor over all inferences.

    Attributes
    ----------
    extra : cycles of each word in the unit but for the first one.
    offsets : sum of the least cycles between starts, as the unit and its buffers allow them.
    numbers : 0, 1, 2, ...
    """

    actor: Actor
    words: int
    extra: Words
    offsets: Words
    numbers: Words
    readers: tuple[Reader, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """All stages and how they are connected; the depths of the FIFOs are not part of it.

    Attributes
    ----------
    feeds : by stage, the FIFO of each port.
    leaves : by stage, the FIFOs that it writes.
    source, target : by FIFO, the stages at its ends.
    delay : by FIFO.
    release : by stage, the earliest start of each word.
    """

    graph: Graph
    inferences: int
    stages: tuple[Stage, ...]
    feeds: tuple[tuple[int, ...], ...]
    leaves: tuple[tuple[int, ...], ...]
    source: tuple[int, ...]
    target: tuple[int, ...]
    delay: tuple[int, ...]
    release: tuple[Words, ...]

    @property
    def events(self) -> int:
        """Words over all stages."""
        return sum(stage.words for stage in self.stages)


def laid_out(graph: Graph, inferences: int, period: int = 0) -> Schedule:
    """Constraints of `inferences` runs in a row, the sources starting run i at cycle i x period at the earliest."""
    index = {actor.name: i for i, actor in enumerate(graph.actors)}
    fed = {(edge.target, edge.port): i for i, edge in enumerate(graph.edges)}
    release = []
    for actor in graph.actors:
        first = period * np.arange(inferences, dtype=np.int64) if not actor.ports else np.zeros(inferences, np.int64)
        release.append(np.repeat(first, actor.words))
    return Schedule(
        graph,
        inferences,
        tuple(_stage(actor, inferences) for actor in graph.actors),
        tuple(tuple(fed[actor.name, port] for port in range(len(actor.ports))) for actor in graph.actors),
        tuple(tuple(i for i, e in enumerate(graph.edges) if e.source == actor.name) for actor in graph.actors),
        tuple(index[edge.source] for edge in graph.edges),
        tuple(index[edge.target] for edge in graph.edges),
        tuple(edge.delay for edge in graph.edges),
        tuple(release),
    )


def start_gaps(actor: Actor, inferences: int) -> Words:
    """Least cycles from the start before to each start, as the unit and its buffers allow them; 0 for the first."""
    gaps = np.zeros(actor.words * inferences, dtype=np.int64)
    gaps[1:] = np.tile(actor.intervals, inferences)[:-1]
    for port in actor.ports:
        if port.kind == "buffered":
            gaps[1:] = np.maximum(gaps[1:], _buffer_gaps(port, inferences))
    return gaps


@lru_cache(maxsize=1024)
def _stage(actor: Actor, inferences: int) -> Stage:
    intervals = np.tile(actor.intervals, inferences)
    gaps = start_gaps(actor, inferences)
    numbers = np.arange(len(intervals), dtype=np.int64)
    readers = tuple(_reader(port, actor.words, inferences) for port in actor.ports)
    return Stage(actor, len(intervals), intervals - 1, np.cumsum(gaps), numbers, readers)


def _repeated(pattern: Words, inferences: int, step: int) -> Words:
    """The pattern of one inference for all, `step` higher each time."""
    return (pattern[None, :] + step * np.arange(inferences, dtype=np.int64)[:, None]).ravel()


@lru_cache(maxsize=1024)
def _buffer_gaps(port: Port, inferences: int) -> Words:
    """From start k - 1 to start k: the first word that only start k - 1 makes a place for, and those after it."""
    need, oldest = (_repeated(p, inferences, port.words) for p in (port.needs.need, port.needs.oldest))
    late = need[1:] - 1 - oldest[:-1] - port.capacity
    return np.where(late >= 0, 2 + port.accept * late, 0)


def _reader(port: Port, outputs: int, inferences: int) -> Reader:
    words = port.words * inferences
    if port.kind == "direct":
        return Reader("direct", words, NOTHING, NOTHING, 0, NOTHING, 0, NOTHING)
    if port.kind == "held":
        taker = outputs * np.arange(inferences, dtype=np.int64)
        return Reader("held", words, NOTHING, taker, 0, NOTHING, 0, NOTHING)
    needed = _repeated(np.maximum(port.needs.need, 0), inferences, port.words) - 1
    first = int(np.searchsorted(needed, 0))
    # the last output whose oldest word is at most j - capacity, counted over inferences
    started = np.cumsum(np.bincount(port.needs.oldest, minlength=port.words + 1))[: port.words]
    behind, place = np.divmod(np.arange(words, dtype=np.int64) - port.capacity, port.words)
    freed_by = outputs * behind + started[place] - 1
    waits = int(np.searchsorted(freed_by, 0))
    pace = port.accept * np.arange(words, dtype=np.int64)
    return Reader("buffered", words, pace, NOTHING, first, needed[first:], waits, freed_by[waits:])
