"""The least FIFO depths with which a pipeline runs as fast as with FIFOs without bound.

Fast means: with an inference every T cycles, T being the interval of the slowest actor, each output of each inference
ends in the very cycle in which it ends without bounds. Latency and throughput are then the same, and there is no
deadlock. A deeper FIFO never makes an event later, so with the others given, all depths from the least one on will do,
and it is found by halving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hwsim.cost_models.pipeline.event_loop import run_events
from hwsim.cost_models.pipeline.graph import Graph
from hwsim.cost_models.pipeline.latest import latest_writes
from hwsim.cost_models.pipeline.relax import Times, earliest, relax
from hwsim.cost_models.pipeline.schedule import Schedule, laid_out
from hwsim.cost_models.pipeline.simulate import deepest
from hwsim.cost_models.pipeline.steady import MOST_INFERENCES, goes_on, unbounded_interval
from hwsim.cost_models.pipeline.windows import Words

USUAL_DEPTH = 2  # the least that passes a word every cycle


@dataclass(slots=True)
class _Search:
    """Depths that will do, and the times of all events with them."""

    schedule: Schedule
    latest: list[Words]
    depths: list[int]
    times: Times
    tried: int = field(default=0)

    def floor(self, edge: int) -> int:
        """A depth below which a FIFO will not do: it holds words written as late as is useful, read as early as now."""
        return deepest(self.latest[self.schedule.source[edge]], self.times.reads[edge])

    def lowered(self, wanted: Mapping[int, int]) -> bool:
        """Lower some FIFOs to these depths if they will still do."""
        trial = list(self.depths)
        for edge, depth in wanted.items():
            trial[edge] = min(trial[edge], depth)
        times = self.times.copy()
        self.tried += 1
        dirty = {self.schedule.source[edge] for edge in wanted}
        outcome = relax(self.schedule, trial, times, dirty, self.latest)
        if outcome == "unsettled":
            times, waits = run_events(self.schedule, trial)
            in_time = not waits and all(np.all(a <= b) for a, b in zip(times.writes, self.latest, strict=True))
            outcome = "settled" if in_time else "late"
        if outcome == "settled":
            self.depths, self.times = trial, times
        return outcome == "settled"

    def lowered_where_possible(self, edges: Sequence[int], wanted: Mapping[int, int]) -> list[int]:
        """Lower as many FIFOs of a group as will do, halving it where not all of them do; the others are returned."""
        if not edges or self.lowered({edge: wanted[edge] for edge in edges}):
            return []
        if len(edges) == 1:
            return list(edges)
        middle = len(edges) // 2
        return [
            *self.lowered_where_possible(edges[:middle], wanted),
            *self.lowered_where_possible(edges[middle:], wanted),
        ]

    def least(self, edge: int, low: int) -> None:
        """Lower one FIFO, which will not do at `low`, to its least depth: in steps that double, then by halving."""
        source = self.schedule.source[edge]
        self.depths[edge] = min(self.depths[edge], deepest(self.times.writes[source], self.times.reads[edge]))
        low, step, high = max(low, self.floor(edge) - 1), 1, self.depths[edge]
        while low + step < high:
            if self.lowered({edge: low + step}):
                high = low + step
                break
            low, step = low + step, 2 * step
        while high - low > 1:
            middle = (low + high) // 2
            if self.lowered({edge: middle}):
                high = middle
            else:
                low = middle


def minimal_depths(graph: Graph, least: int = 1) -> Graph:
    """The pipeline with the least FIFO depths that do not slow it down: one place less in any of them does.

    Parameters
    ----------
    least : depth below which a FIFO is no cheaper.

    Notes
    -----
    Several such choices can exist; FIFOs that would be largest (words x bits) are lowered first. The depths are those
    of a run of some inferences at full rate that is then proven to repeat for ever.
    """
    period = unbounded_interval(graph)
    inferences = 3
    while True:
        search = _unbounded(graph, inferences, period)
        if search is not None:
            _lower_all(graph, search, least)
            if goes_on(search.schedule, search.depths, search.times, period) or inferences >= MOST_INFERENCES:
                return graph.with_depths({e.name: d for e, d in zip(graph.edges, search.depths, strict=True)})
        inferences *= 2


def sufficient_depths(graph: Graph) -> Graph:
    """FIFO depths that do not slow the pipeline down, found in one simulation: as many places as are ever taken."""
    period = unbounded_interval(graph)
    inferences = 3
    while (search := _unbounded(graph, inferences, period)) is None:
        inferences *= 2
    return graph.with_depths({e.name: d for e, d in zip(graph.edges, search.depths, strict=True)})


def least_depths(graph: Graph, least: int = 1) -> Graph:
    """Depths below which the pipeline is slower in any case, from one inference and without a search.

    Those of `minimal_depths` are the same or larger. It is for pipelines of millions of words.
    """
    schedule = laid_out(graph, 1)
    times = earliest(schedule)
    relax(schedule, [None] * len(graph.edges), times, set(range(len(graph.actors))), effort=float("inf"))
    latest = latest_writes(schedule, times)
    floors = (deepest(latest[source], reads) for source, reads in zip(schedule.source, times.reads, strict=True))
    return graph.with_depths({e.name: max(least, floor) for e, floor in zip(graph.edges, floors, strict=True)})


def _unbounded(graph: Graph, inferences: int, period: int) -> _Search | None:
    """Where every FIFO holds as much as is ever in it; None where the inferences do not repeat yet."""
    schedule = laid_out(graph, inferences, period)
    times = earliest(schedule)
    bounds: list[int | None] = [None] * len(graph.edges)
    relax(schedule, bounds, times, set(range(len(graph.actors))), effort=float("inf"))
    if not goes_on(schedule, bounds, times, period) and inferences < MOST_INFERENCES:
        return None
    depths = [deepest(times.writes[source], reads) for source, reads in zip(schedule.source, times.reads, strict=True)]
    return _Search(schedule, latest_writes(schedule, times), depths, times)


def _lower_all(graph: Graph, search: _Search, least: int) -> None:
    def largest_first(edges: Sequence[int]) -> list[int]:
        return sorted(edges, key=lambda i: -search.depths[i] * graph.edges[i].word_bits)

    search.depths = [max(least, depth) for depth in search.depths]
    usual = max(least, USUAL_DEPTH)
    deep = [i for i, depth in enumerate(search.depths) if depth > usual]
    wanted = {i: max(usual, search.floor(i)) for i in deep}
    for edge in largest_first(search.lowered_where_possible(largest_first(deep), wanted)):
        search.least(edge, wanted[edge])
    if least < usual:
        at_usual = largest_first([i for i, depth in enumerate(search.depths) if depth == usual])
        search.lowered_where_possible(at_usual, dict.fromkeys(at_usual, 1))
