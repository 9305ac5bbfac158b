"""The times of all events by relaxation: whole streams at a time, until every constraint of `schedule` holds.

Times start from lower bounds and only grow, so what holds them all is their least solution. Without full FIFOs one
sweep in the order of the pipeline is enough; each stall of a full FIFO costs another sweep, forth and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwsim.cost_models.pipeline.schedule import NOTHING, Reader, Schedule, Stage
from hwsim.cost_models.pipeline.windows import Words

Outcome = Literal["settled", "late", "unsettled"]
Depths = Sequence[int | None]
ROUND_WORDS, WORDS_A_PASS = 10, 200  # a pass over n words takes as long as event_loop for 10 + n / 200 (measured)


@dataclass(slots=True)
class Times:
    """Lower bounds of all events: by stage of starts, finishes and writes, by FIFO of reads. Arrays are never written
    into, so that copies may share them."""

    starts: list[Words]
    finishes: list[Words]
    writes: list[Words]
    reads: list[Words]

    @property
    def fields(self) -> tuple[list[Words], ...]:
        return self.starts, self.finishes, self.writes, self.reads

    def copy(self) -> Times:
        return Times(*(list(arrays) for arrays in self.fields))


def earliest(schedule: Schedule) -> Times:
    """Lower bounds to start from."""
    releases = list(schedule.release)
    reads = [NOTHING] * len(schedule.target)
    for stage, edges in zip(schedule.stages, schedule.feeds, strict=True):
        for reader, edge in zip(stage.readers, edges, strict=True):
            reads[edge] = np.zeros(reader.words, dtype=np.int64)
    return Times(releases, list(releases), list(releases), reads)


def relax(
    schedule: Schedule,
    depths: Depths,
    times: Times,
    dirty: set[int],
    latest: Sequence[Words] | None = None,
    effort: float = 1.0,
) -> Outcome:
    """Raise the times in place until all constraints hold.

    Parameters
    ----------
    depths : of the FIFOs, by index.
    dirty : stages whose constraints may be violated.
    latest : by stage, the latest useful write of each word; `late` as soon as one is exceeded.
    effort : `unsettled` after about so many times the work of `event_loop`.
    """
    work = _Work(schedule, depths, times, latest, effort * schedule.events)
    forth = True
    while dirty:
        for index in sorted(dirty, reverse=not forth):
            dirty.discard(index)
            dirty |= work.settle(index)
            if work.outcome != "settled":
                return work.outcome
        forth = not forth
    return "settled"


def holds(schedule: Schedule, depths: Depths, times: Times) -> bool:
    """Whether all constraints hold."""
    trial = times.copy()
    work = _Work(schedule, depths, trial, None, float("inf"))
    for index in range(len(schedule.stages)):
        work.settle(index)
        same = (
            a is b for new, old in zip(trial.fields, times.fields, strict=True) for a, b in zip(new, old, strict=True)
        )
        if not all(same):
            return False
    return True


@dataclass(slots=True)
class _Work:
    """A relaxation on its way; `left` is the effort that remains, in words of `event_loop`."""

    schedule: Schedule
    depths: Depths
    times: Times
    latest: Sequence[Words] | None
    left: float
    outcome: Outcome = "settled"

    def settle(self, index: int) -> set[int]:
        """Satisfy the constraints of one stage; the stages whose constraints this may violate."""
        times, feeds = self.times, self.schedule.feeds[index]
        old_writes, old_reads = times.writes[index], [times.reads[edge] for edge in feeds]
        self._raise(index)
        touched = set()
        if times.writes[index] is not old_writes:
            touched |= {self.schedule.target[edge] for edge in self.schedule.leaves[index]}
        for edge, old in zip(feeds, old_reads, strict=True):
            depth, new, writer = self.depths[edge], times.reads[edge], self.schedule.source[edge]
            if depth is not None and new is not old and np.any(new[:-depth] >= times.writes[writer][depth:]):
                touched.add(writer)
        return touched

    def _raise(self, index: int) -> None:
        stage, times = self.schedule.stages[index], self.times
        ports = list(zip(stage.readers, self.schedule.feeds[index], strict=True))
        source, delay = self.schedule.source, self.schedule.delay
        arrived = {edge: times.writes[source[edge]] + delay[edge] for _, edge in ports}
        starts = times.starts[index].copy()
        for reader, edge in ports:
            if reader.kind == "direct":
                np.maximum(starts, arrived[edge], out=starts)
            elif reader.kind == "held":
                starts[reader.taker] = np.maximum(starts[reader.taker], arrived[edge])
            else:
                np.maximum(arrived[edge], times.reads[edge], out=arrived[edge])
        buffers = [(reader, arrived[edge]) for reader, edge in ports if reader.kind == "buffered"]
        finishes = times.finishes[index]
        writes, step = _places(stage, self.schedule.leaves[index], self.depths, times, times.writes[index])
        settled = False
        while not settled and self._goes_on(index, writes):
            for reader, reads in buffers:
                _read_ahead(reader, reads, starts)
            starts, finishes, writes, settled = _through_unit(stage, starts, finishes, writes, step)
            late = [_read_ahead(reader, reads, starts) for reader, reads in buffers]
            settled = settled and not any(late)
        for reader, edge in ports:
            fresh = arrived[edge] if reader.kind == "buffered" else starts
            times.reads[edge] = _kept(times.reads[edge], fresh[reader.taker] if reader.kind == "held" else fresh)
        times.starts[index] = _kept(times.starts[index], starts)
        times.finishes[index] = _kept(times.finishes[index], finishes)
        times.writes[index] = _kept(times.writes[index], writes)

    def _goes_on(self, index: int, writes: Words) -> bool:
        """Count the effort of one more pass over a stage, unless there is none left or it is too late anyway."""
        self.left -= ROUND_WORDS + len(writes) / WORDS_A_PASS
        if self.left < 0:
            self.outcome = "unsettled"
        elif self.latest is not None and np.any(writes > self.latest[index]):
            self.outcome = "late"
        return self.outcome == "settled"


def _places(stage: Stage, edges: tuple[int, ...], depths: Depths, times: Times, writes: Words) -> tuple[Words, int]:
    """Writes that find places in all FIFOs, and the least cycles between two of them."""
    step = 1
    for edge in edges:
        depth = depths[edge]
        if depth is not None and depth < stage.words:
            step = 2 if depth == 1 else step
            free = times.reads[edge][:-depth] + 1
            if np.any(free > writes[depth:]):
                writes = writes.copy()
                np.maximum(writes[depth:], free, out=writes[depth:])
    return writes, step


def _read_ahead(reader: Reader, reads: Words, starts: Words) -> bool:
    """Raise reads to those that find a place, and starts to those that find their words; whether a start was raised."""
    np.maximum(reads[reader.waits :], starts[reader.freed_by] + 1, out=reads[reader.waits :])
    reads -= reader.pace
    np.maximum.accumulate(reads, out=reads)
    reads += reader.pace
    ready = reads[reader.needed] + 1
    late = bool(np.any(ready > starts[reader.first :]))
    if late:
        np.maximum(starts[reader.first :], ready, out=starts[reader.first :])
    return late


def _through_unit(
    stage: Stage, starts: Words, finishes: Words, writes: Words, step: int
) -> tuple[Words, Words, Words, bool]:
    """Starts, finishes and writes raised once, and whether they agree with each other; `starts` is overwritten."""
    depth = stage.actor.depth
    starts -= stage.offsets
    np.maximum.accumulate(starts, out=starts)
    starts += stage.offsets
    free = starts + stage.extra
    written = free + depth
    if step == 1 and np.all(written >= writes) and np.all(free >= finishes):
        return starts, free, written, True  # nothing is in the way
    finishes = np.maximum(finishes, free)
    if depth == 0:
        finishes = np.maximum(finishes, writes)
    elif depth < stage.words:
        finishes[depth:] = np.maximum(finishes[depth:], writes[:-depth])
    written = np.maximum(finishes + depth, writes) - step * stage.numbers
    np.maximum.accumulate(written, out=written)
    written += step * stage.numbers
    begun = np.where(stage.extra == 0, np.maximum(starts, finishes), starts)
    np.maximum(begun[1:], finishes[:-1] + 1, out=begun[1:])
    return begun, finishes, written, np.array_equal(begun, starts) and np.array_equal(written, writes)


def _kept(old: Words, new: Words) -> Words:
    """The old array where nothing changed, so that a change is seen by identity."""
    return old if old[-1] == new[-1] and np.array_equal(old, new) else new
