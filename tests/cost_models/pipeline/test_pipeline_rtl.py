"""The simulation against Verilog in Icarus: every start, read and write in the same cycle, and the right words."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from pipelines import chain, convolution, drawn, joined, residual

from hwsim.core.errors import UnsupportedError
from hwsim.cost_models.pipeline import Graph, minimal_depths, simulate
from hwsim.cost_models.pipeline.cosimulate import Log, Run, cosimulate, expected_data
from hwsim.cost_models.pipeline.graph import Actor as GraphActor
from hwsim.cost_models.pipeline.graph import buffered, sink, source
from hwsim.cost_models.pipeline.rtl import verilog
from hwsim.cost_models.pipeline.windows import window

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
pytestmark = pytest.mark.exact

SKIP = "stem -> sum.1"


def agreed(run: Run, log: Log) -> bool:
    """Compare all events of a run; whether it ended (False: both are in deadlock)."""
    trace = simulate(run.graph, run.inferences, run.period)
    words = expected_data(run.graph, run.inferences)
    for actor in run.graph.actors:
        name = actor.name
        assert np.array_equal(trace.starts[name], log.starts[name]), name
        assert np.array_equal(trace.writes[name], log.writes[name]), name
        assert np.array_equal(words[name][: len(log.data[name])], log.data[name]), name
    for edge in run.graph.edges:
        assert np.array_equal(trace.reads[edge.name], log.reads[edge.name]), edge.name
    ended = all(len(log.writes[a.name]) == a.words * run.inferences for a in run.graph.actors)
    assert ended == (trace.deadlock is None)
    return ended


def with_skip(graph: Graph, less: int) -> Graph:
    depth = next(edge.depth for edge in graph.edges if edge.name == SKIP)
    assert depth is not None
    return graph.with_depths({SKIP: depth - less})


@needs_icarus
def test_pipelines_by_hand() -> None:
    strided = joined(
        [source("x", 64), convolution("a", 8, stride=2, interval=3), convolution("b", 4), sink("out", 16)], 2
    )
    runs = [
        Run(chain(30, (1, 5, 2)), 2),
        Run(chain(30, (2, 1, 3), depth=1)),
        Run(strided, 3),
        Run(residual(8, skip=60, interval=2), 2),
        Run(residual(8, skip=60, interval=2).with_memories(above=32), 2),
    ]
    for run, log in zip(runs, cosimulate(runs), strict=True):
        assert agreed(run, log)


@needs_icarus
def test_a_skip_one_place_too_shallow_stalls_and_a_much_shallower_one_is_deadlock() -> None:
    least = minimal_depths(residual(6, skip=None))
    runs = [Run(with_skip(least, less), 3) for less in (0, 1, 2, 14)]
    logs = cosimulate(runs)
    assert [agreed(run, log) for run, log in zip(runs, logs, strict=True)] == [True, True, True, False]
    ends = [int(log.starts["out"][-1]) for log in logs[:3]]
    assert ends[0] < ends[1] < ends[2]
    unbounded = simulate(least.with_depths(None), 3).completions
    assert ends[0] + 1 == unbounded[-1]


@needs_icarus
def test_drawn_pipelines() -> None:
    runs = [Run(drawn(seed), 1 + seed % 3, (0, 0, 17)[seed % 3]) for seed in range(30)]
    ended = [agreed(run, log) for run, log in zip(runs, cosimulate(runs), strict=True)]
    assert any(ended) and not all(ended)


@needs_icarus
@pytest.mark.slow
def test_many_drawn_pipelines() -> None:
    ended = []
    for first in range(1000, 1200, 50):
        runs = [Run(drawn(seed), 1 + seed % 4, (0, 0, 17)[seed % 3]) for seed in range(first, first + 50)]
        ended += [agreed(run, log) for run, log in zip(runs, cosimulate(runs), strict=True)]
    assert len(ended) == 200 and any(ended) and not all(ended)


def test_what_verilog_is_not_written_for() -> None:
    with pytest.raises(UnsupportedError, match="without a bound"):
        verilog(chain(3, (1,)).with_depths(None), "top")
    cube = tuple(window(3, 3, 3, 1, 1) for _ in range(3))
    deep = joined([source("x", 27), GraphActor("a", (buffered(cube),), 27, 27, 1), sink("out", 27)], 2)
    with pytest.raises(UnsupportedError, match="three axes"):
        verilog(deep, "top")
    assert simulate(deep).deadlock is None
