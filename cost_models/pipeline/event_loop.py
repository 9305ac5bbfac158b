"""The times of all events one by one, in an order in which each depends on earlier ones only.

Slower than `relax` by the length of a stream, but the number of full FIFOs does not matter, and where no event is left
that can happen, the pipeline is in deadlock.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from hwsim.cost_models.pipeline.relax import Depths, Times
from hwsim.cost_models.pipeline.schedule import Reader, Schedule
from hwsim.cost_models.pipeline.windows import Words


@dataclass(frozen=True, slots=True)
class Wait:
    """What an actor that has words left waits for.

    Attributes
    ----------
    fifo : the name of the FIFO, which is full or empty.
    on : the actor at its other end.
    """

    actor: str
    fifo: str
    full: bool
    on: str

    def __str__(self) -> str:
        return f"{self.actor} waits for {'a place in' if self.full else 'a word from'} {self.fifo}"


class _Input:
    """A port while it runs; `needed` and `freed_by` are those of a buffered port."""

    def __init__(self, reader: Reader, edge: int, delay: int, written: list[int], reads: list[int]) -> None:
        self.edge, self.kind, self.delay, self.written, self.reads = edge, reader.kind, delay, written, reads
        self.needed = [-1] * reader.first + reader.needed.tolist()
        self.freed_by = [-1] * reader.waits + reader.freed_by.tolist()
        self.accept = int(reader.pace[1] - reader.pace[0]) if len(reader.pace) > 1 else 1
        self.seen = 0  # reads that the actor at the other end knows of

    def outputs(self, words: int) -> int:
        """How many outputs of all inferences can start with the words that have been written."""
        came = len(self.written)
        if self.kind == "buffered":
            return bisect_left(self.needed, came)
        return came if self.kind == "direct" else came * words

    def read(self, count: int, starts: list[int]) -> None:
        """Read until `count` words are in the buffer, or as long as there are words and places."""
        reads, written, freed_by = self.reads, self.written, self.freed_by
        last, begun = reads[-1] if reads else -self.accept, len(starts)
        for j in range(len(reads), min(count, len(written))):
            opener = freed_by[j]
            if opener >= begun:
                return
            last = max(written[j] + self.delay, last + self.accept, starts[opener] + 1 if opener >= 0 else 0)
            reads.append(last)


class _Run:
    """An actor while it runs: the times of its events so far."""

    def __init__(self, schedule: Schedule, depths: Depths, index: int, reads: list[list[int]]) -> None:
        stage = schedule.stages[index]
        self.actor, self.words, self.extra = stage.actor, stage.words, stage.extra.tolist()
        self.release = schedule.release[index].tolist()
        self.starts: list[int] = []
        self.finishes: list[int] = []
        self.writes: list[int] = []
        self.inputs: list[_Input] = []
        bounded = ((edge, depths[edge], reads[edge]) for edge in schedule.leaves[index])
        self.exits = [(edge, depth, taken) for edge, depth, taken in bounded if depth is not None]

    def advance(self) -> None:
        """Everything that can happen now: what is inside goes on, then new words start, then buffers fill up."""
        room = self.words
        for _, depth, reads in self.exits:
            room = min(room, len(reads) + depth)
        left = len(self.finishes)
        if len(self.writes) < left:
            self._write(room)
        if left < len(self.starts):
            self._leave(left, self.starts[-1], room)
        ready = self.words
        for port in self.inputs:
            ready = min(ready, port.outputs(self.actor.words))
        for k in range(len(self.starts), ready):
            if len(self.finishes) < k or not self._start(k, room):
                break
        for port in self.inputs:
            if port.kind == "buffered" and len(port.reads) < len(port.written):
                port.read(len(port.written), self.starts)

    def _start(self, k: int, room: int) -> bool:
        """Start word k, all of whose operands are there, unless it has to leave the unit at once and cannot."""
        cycle = self.finishes[-1] + 1 if k else 0
        cycle = max(cycle, self.release[k])
        for port in self.inputs:
            if port.kind == "direct":
                cycle = max(cycle, port.written[k] + port.delay)
            elif port.kind == "held":
                cycle = max(cycle, port.written[k // self.actor.words] + port.delay)
            elif (last := port.needed[k]) >= 0:
                if last >= len(port.reads):
                    port.read(last + 1, self.starts)
                cycle = max(cycle, port.reads[last] + 1)
        starts = self.starts
        if self.extra[k]:
            starts.append(cycle)
            self._leave(k, cycle, room)
        elif self._leave(k, cycle, room):
            starts.append(self.finishes[-1])
        else:
            return False
        for port in self.inputs:
            if port.kind == "direct" or (port.kind == "held" and k % self.actor.words == 0):
                port.reads.append(starts[-1])
        return True

    def _leave(self, k: int, start: int, room: int) -> bool:
        """Let word k leave the unit, if the first register, or without registers every FIFO, has a place."""
        end, depth, writes = start + self.extra[k], self.actor.depth, self.writes
        if depth == 0:
            if k >= room:
                return False
            end = self._place(k, end)
            writes.append(end)
        elif k >= depth:
            if k - depth >= len(writes):
                return False
            end = max(end, writes[k - depth])
        self.finishes.append(end)
        if depth:
            self._write(room)
        return True

    def _write(self, room: int) -> None:
        """Write the finished words that find a place."""
        finishes, writes, depth = self.finishes, self.writes, self.actor.depth
        for k in range(len(writes), min(len(finishes), room)):
            writes.append(self._place(k, max(finishes[k] + depth, writes[-1] + 1 if k else 0)))

    def _place(self, k: int, cycle: int) -> int:
        """When, at `cycle` or later, all FIFOs have a place for word k."""
        for _, depth, reads in self.exits:
            if k >= depth:
                cycle = max(cycle, reads[k - depth] + 1)
        return cycle

    def waits_for(self) -> tuple[int, bool] | None:
        """The FIFO that it waits for, and whether that one is full; None when it is done."""
        k = len(self.writes)
        if k == self.words:
            return None
        if k < len(self.starts) or self.actor.depth == 0:
            for edge, depth, reads in self.exits:
                if k - depth >= len(reads):
                    return edge, True
        empty = [port.edge for port in self.inputs if port.outputs(self.actor.words) <= len(self.starts)]
        return empty[0], False


def run_events(schedule: Schedule, depths: Depths) -> tuple[Times, dict[str, Wait]]:
    """The times of all events that happen, and what each actor that is not done waits for (none without deadlock)."""
    reads: list[list[int]] = [[] for _ in schedule.target]
    runs = [_Run(schedule, depths, index, reads) for index in range(len(schedule.stages))]
    for run, stage, edges in zip(runs, schedule.stages, schedule.feeds, strict=True):
        for reader, edge in zip(stage.readers, edges, strict=True):
            written = runs[schedule.source[edge]].writes
            run.inputs.append(_Input(reader, edge, schedule.delay[edge], written, reads[edge]))
    _exhaust(schedule, runs)
    found = {}
    for run in runs:
        wait = run.waits_for()
        if wait is not None:
            edge, full = wait
            fifo = schedule.graph.edges[edge]
            found[run.actor.name] = Wait(run.actor.name, fifo.name, full, fifo.target if full else fifo.source)

    def arrays(lists: list[list[int]]) -> list[Words]:
        return [np.array(times, dtype=np.int64) for times in lists]

    starts, finishes, writes = ([getattr(run, what) for run in runs] for what in ("starts", "finishes", "writes"))
    return Times(arrays(starts), arrays(finishes), arrays(writes), arrays(reads)), found


def _exhaust(schedule: Schedule, runs: list[_Run]) -> None:
    """Let actors advance until none can; one whose input has been written or whose output has been read may."""
    readers = [[schedule.target[edge] for edge in edges] for edges in schedule.leaves]
    waiting = list(range(len(runs)))[::-1]
    queued = [True] * len(runs)
    while waiting:
        index = waiting.pop()
        queued[index] = False
        run = runs[index]
        written = len(run.writes)
        run.advance()
        touched = readers[index] if len(run.writes) > written else []
        for port in run.inputs:
            if len(port.reads) > port.seen:
                port.seen = len(port.reads)
                touched = [*touched, schedule.source[port.edge]]
        for other in touched:
            if not queued[other]:
                queued[other] = True
                waiting.append(other)
