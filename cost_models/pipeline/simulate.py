"""Simulation of a pipeline: the cycle of every start, write and read, and whether it runs into deadlock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwsim.core.errors import InfeasibleError, InputError, nearest
from hwsim.cost_models.pipeline.event_loop import Wait, run_events
from hwsim.cost_models.pipeline.graph import Graph
from hwsim.cost_models.pipeline.relax import Times, earliest, relax
from hwsim.cost_models.pipeline.schedule import laid_out
from hwsim.cost_models.pipeline.windows import Words


@dataclass(frozen=True, slots=True)
class Deadlock:
    """Why nothing can happen any more.

    Attributes
    ----------
    cycle : when the last event happened.
    waits : a ring of actors, each waiting for the next one and the last for the first.
    """

    cycle: int
    waits: tuple[Wait, ...]

    @property
    def full(self) -> tuple[str, ...]:
        """The full FIFOs of the ring: a deeper one of them is needed."""
        return tuple(wait.fifo for wait in self.waits if wait.full)

    def __str__(self) -> str:
        return f"deadlock after cycle {self.cycle}: " + ", ".join(str(wait) for wait in self.waits)


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What happened in a simulation; cycles are counted from 0.

    Attributes
    ----------
    starts, writes : by actor, the cycle of each word over all inferences.
    reads : by FIFO.
    """

    graph: Graph
    inferences: int
    starts: Mapping[str, Words]
    writes: Mapping[str, Words]
    reads: Mapping[str, Words]
    deadlock: Deadlock | None

    @property
    def completions(self) -> Words:
        """Cycles until the last output word of each inference has been taken, that cycle included."""
        ends = [self.starts[a.name][a.words - 1 :: a.words] for a in self.graph.sinks]
        whole = min(len(end) for end in ends)
        last: Words = np.max([end[:whole] for end in ends], axis=0)
        return last + 1

    @property
    def latency_cycles(self) -> int:
        """Of the first inference, from its first word to its last.

        Raises
        ------
        InfeasibleError
            Where a deadlock comes before its end.
        """
        found = self.completions
        if not len(found):
            raise InfeasibleError(
                str(self.deadlock), where="pipeline", hint="deepen the full FIFOs, or use minimal_depths"
            )
        return int(found[0])

    def stall_free_depth(self, fifo: str) -> int:
        """The least depth of a FIFO with which it leaves all times of this trace as they are."""
        source = {edge.name: edge.source for edge in self.graph.edges}
        if fifo not in source:
            raise InputError(f"no FIFO {fifo!r}", where="pipeline", hint=nearest(fifo, source))
        return deepest(self.writes[source[fifo]], self.reads[fifo])


def deepest(writes: Words, reads: Words) -> int:
    """Places taken at most: word k needs one more than the words before it that are not read before it is written."""
    taken = np.arange(1, len(writes) + 1) - np.searchsorted(reads, writes, side="left")
    return max(1, int(np.max(taken, initial=1)))


def simulate(graph: Graph, inferences: int = 1, period: int = 0) -> Trace:
    """The exact time of every event, back-pressure of full FIFOs included.

    Parameters
    ----------
    inferences : in a row, without a pause where the FIFOs allow it.
    period : the sources start an inference every so many cycles at the earliest.
    """
    if inferences < 1 or period < 0:
        raise InputError(f"{inferences} inferences, period {period}", where="simulate", hint="at least 1 and 0")
    schedule = laid_out(graph, inferences, period)
    depths = [edge.depth for edge in graph.edges]
    times = earliest(schedule)
    waits: dict[str, Wait] = {}
    if relax(schedule, depths, times, set(range(len(graph.actors))), effort=0.3) == "unsettled":
        times, waits = run_events(schedule, depths)
    return _traced(graph, inferences, times, waits)


def _traced(graph: Graph, inferences: int, times: Times, waits: Mapping[str, Wait]) -> Trace:
    names = [actor.name for actor in graph.actors]
    ends = [int(t[-1]) for t in (*times.starts, *times.writes, *times.reads) if len(t)]
    return Trace(
        graph,
        inferences,
        dict(zip(names, times.starts, strict=True)),
        dict(zip(names, times.writes, strict=True)),
        dict(zip((edge.name for edge in graph.edges), times.reads, strict=True)),
        Deadlock(max(ends, default=0), _ring(waits)) if waits else None,
    )


def _ring(waits: Mapping[str, Wait]) -> tuple[Wait, ...]:
    """Follow who waits for whom until an actor comes up again."""
    chain: list[Wait] = []
    name = next(iter(waits))
    while name in waits and all(wait.actor != name for wait in chain):
        chain.append(waits[name])
        name = waits[name].on
    start = next((i for i, wait in enumerate(chain) if wait.actor == name), 0)
    return tuple(chain[start:])
