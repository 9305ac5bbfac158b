"""The long run: from inference to inference, how many cycles a pipeline takes, and whether that goes on for ever."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from hwsim.core.errors import InfeasibleError
from hwsim.cost_models.pipeline.graph import Actor, Edge, Graph, sink, source
from hwsim.cost_models.pipeline.relax import Depths, Times, earliest, holds, relax
from hwsim.cost_models.pipeline.schedule import Schedule, laid_out, start_gaps
from hwsim.cost_models.pipeline.simulate import simulate
from hwsim.cost_models.pipeline.windows import Words

MOST_INFERENCES = 256


def unbounded_interval(graph: Graph) -> int:
    """Cycles from inference to inference where no FIFO is ever full: those of the slowest actor."""
    return max(own_interval(actor) for actor in graph.actors)


@lru_cache(maxsize=4096)
def least_interval(actor: Actor) -> int:
    """A bound of `own_interval` from below, without a simulation: it looks at two starts in a row."""
    floor = max(actor.words, actor.cycles, *(port.words * port.accept for port in actor.ports), 1)
    return max(floor, int(start_gaps(actor, 2)[actor.words :].sum()))


def own_interval(actor: Actor) -> int:
    """Cycles from inference to inference of an actor whose inputs are always there and whose outputs are always taken.

    At least the sum of its intervals, and the cycles that its ports need to read; more where a buffer is too small to
    read ahead over the end of a row.
    """
    return _own_interval(replace(actor, name="alone", depth=1))  # neither matters


@lru_cache(maxsize=4096)
def _own_interval(actor: Actor) -> int:
    floor = max(actor.words, actor.cycles, *(port.words * port.accept for port in actor.ports), 1)
    lag = max((1 + port.capacity // port.words for port in actor.ports if port.kind == "buffered"), default=0)
    if not lag:
        return floor
    inferences = 4 + 2 * lag
    while True:
        ends = _alone(actor, inferences)
        steps = [np.diff(times.reshape(inferences, -1), axis=0)[-lag:] for times in ends]
        slowest = max(int(step.max()) for step in steps)
        if all(np.all(step == slowest) for step in steps) or inferences >= MOST_INFERENCES:
            return max(floor, slowest)
        inferences *= 2


def _alone(actor: Actor, inferences: int) -> list[Words]:
    """Starts, and reads of buffered ports, with all inputs there from the beginning."""
    feeds = tuple(source(f"in {i}", port.words) for i, port in enumerate(actor.ports))
    edges = tuple(Edge(feed.name, actor.name, i, depth=None) for i, feed in enumerate(feeds))
    end = sink("out", actor.words)
    graph = Graph((*feeds, actor, end), (*edges, Edge(actor.name, end.name, depth=None)))
    schedule = laid_out(graph, inferences)
    times = earliest(schedule)
    relax(schedule, [None] * len(graph.edges), times, {len(feeds)}, effort=float("inf"))
    reads = [times.reads[i] for i, port in enumerate(actor.ports) if port.kind == "buffered"]
    return [times.starts[len(feeds)], *reads]


def interval_cycles(graph: Graph) -> float:
    """Cycles from inference to inference in the long run, full FIFOs included.

    Notes
    -----
    Where the pipeline keeps up with its slowest actor, that is proven. Where stalls make it slower, intervals come to
    repeat after a few inferences, not always after one, and this is their mean.

    Raises
    ------
    InfeasibleError
        At a deadlock, which it names.
    """
    aim = unbounded_interval(graph)
    inferences = 8
    while not repeats(graph, inferences, aim):
        trace = simulate(graph, 2 * inferences)
        if trace.deadlock is not None:
            raise InfeasibleError(str(trace.deadlock), where="pipeline", hint="deepen the full FIFOs")
        steps = np.diff(trace.completions)[inferences - 1 :]
        for cycle in range(1, inferences // 2 + 1):
            if np.array_equal(steps[cycle:], steps[:-cycle]):
                return float(np.mean(steps[:cycle]))
        if inferences >= MOST_INFERENCES:
            return float(np.mean(steps))
        inferences *= 2
    return float(aim)


def repeats(graph: Graph, inferences: int, period: int) -> bool:
    """Whether from the last of some inferences on, each runs exactly like the one before, `period` cycles later."""
    schedule = laid_out(graph, inferences, period)
    depths = [edge.depth for edge in graph.edges]
    times = earliest(schedule)
    if relax(schedule, depths, times, set(range(len(graph.actors)))) != "settled":
        return False
    return goes_on(schedule, depths, times, period)


def goes_on(schedule: Schedule, depths: Depths, times: Times, period: int) -> bool:
    """Whether the last inference, repeated every `period` cycles, satisfies every constraint.

    It is then what happens for ever: times less the inference's start never shrink from one inference to the next, as
    each has all constraints of the one before and more, and they cannot exceed a repetition that satisfies them all.
    """
    count = schedule.inferences
    lag = 1 + max(_lag(schedule, depths, index) for index in range(len(schedule.stages)))
    longer = laid_out(schedule.graph, lag + 1, period)

    def repeated(arrays: list[Words]) -> list[Words]:
        ends = [array.reshape(count, -1)[-1] - (count - 1) * period for array in arrays]
        return [(end[None, :] + period * np.arange(lag + 1)[:, None]).ravel() for end in ends]

    return holds(longer, depths, Times(*(repeated(arrays) for arrays in times.fields)))


def _lag(schedule: Schedule, depths: Depths, index: int) -> int:
    """How many inferences back the constraints of a stage reach."""
    stage = schedule.stages[index]
    words = stage.actor.words
    most = stage.actor.depth // words
    for edge in schedule.leaves[index]:
        most = max(most, (depths[edge] or 0) // words)
    for port in stage.actor.ports:
        most = max(most, port.capacity // port.words)
    return most + 1
