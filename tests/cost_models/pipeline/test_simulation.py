"""Simulation by hand, both ways of solving it against each other, deadlock, and the long run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import chain, convolution, drawn, joined, residual, stage

from hwsim.core.errors import InfeasibleError, InputError
from hwsim.cost_models.pipeline import Actor, Edge, Graph, Port, interval_cycles, simulate, unbounded_interval
from hwsim.cost_models.pipeline.event_loop import run_events
from hwsim.cost_models.pipeline.graph import buffered, sink, source
from hwsim.cost_models.pipeline.relax import earliest, relax
from hwsim.cost_models.pipeline.schedule import laid_out
from hwsim.cost_models.pipeline.windows import window


@pytest.mark.exact
def test_one_word_through_one_stage_by_hand() -> None:
    # written by the source in cycle 0, read in 1; an interval of 3 ends in 3; two registers: written in 5, taken in 6
    trace = simulate(joined([source("x", 1), stage("a", 1, interval=3, depth=2), sink("out", 1)], 2))
    assert trace.writes["x"].tolist() == [0] and trace.starts["a"].tolist() == [1]
    assert trace.writes["a"].tolist() == [5] and trace.starts["out"].tolist() == [6]
    assert trace.latency_cycles == 7


@pytest.mark.exact
@pytest.mark.parametrize("depth, step", [(1, 2), (2, 1), (3, 1), (None, 1)])
def test_a_fifo_of_one_word_halves_the_rate(depth: int | None, step: int) -> None:
    trace = simulate(joined([source("x", 6), sink("out", 6)], depth))
    assert trace.reads["x -> out"].tolist() == [1 + step * k for k in range(6)]


@pytest.mark.exact
def test_an_output_register_takes_another_cycle_and_another_place() -> None:
    graph = joined([source("x", 6), sink("out", 6)], 3).with_memories(above=2)
    assert simulate(graph).reads["x -> out"].tolist() == [2 + k for k in range(6)]
    assert simulate(graph.with_depths(2)).reads["x -> out"].tolist() == [2, 3, 5, 6, 8, 9]


@pytest.mark.exact
def test_a_slow_stage_holds_back_those_before_it_and_starves_those_behind() -> None:
    trace = simulate(chain(10, (1, 4, 2)))
    assert np.diff(trace.writes["stage1"]).tolist() == [4] * 9
    assert np.diff(trace.starts["stage2"]).tolist() == [4] * 9
    assert trace.writes["x"][-1] > 4 * 4  # the source stands still most of the time


@pytest.mark.exact
def test_a_window_starts_with_its_last_pixel() -> None:
    # 3 x 3 over 5 x 5, padded: output 0 needs word 6 (row 1, column 1), written in cycle 6, read in 7, used in 8
    trace = simulate(joined([source("x", 25), convolution("conv", 5), sink("out", 25)], 2))
    assert trace.starts["conv"][0] == 8
    assert (
        trace.starts["conv"][-1] == 24 + 2 + 6
    )  # after the last pixel: its output and the six below it, a row and one
    assert (
        simulate(joined([source("x", 25), convolution("conv", 5, stride=2), sink("out", 9)], 2)).starts["conv"][0] == 8
    )


@pytest.mark.exact
def test_a_held_word_serves_an_inference() -> None:
    actors = (
        source("x", 4),
        Actor("gate", (buffered((window(4, 1, 4),)),), 1, 1, 1),
        Actor("scaled", (Port("direct", 4), Port("held", 1)), 4, 4, 1),
        sink("out", 4),
    )
    edges = (Edge("x", "gate"), Edge("x", "scaled"), Edge("gate", "scaled", 1), Edge("scaled", "out"))
    trace = simulate(Graph(actors, edges).with_depths(None), inferences=2)
    assert trace.reads["gate -> scaled.1"].tolist() == trace.starts["scaled"][::4].tolist()
    assert np.diff(trace.starts["scaled"][:4]).tolist() == [1, 1, 1]
    stuck = simulate(Graph(actors, edges))  # the gate needs all words, the FIFO around it holds two
    assert stuck.deadlock is not None and stuck.deadlock.full == ("x -> scaled",)


@pytest.mark.exact
def test_a_deadlock_is_named() -> None:
    trace = simulate(residual(6, skip=4))
    assert trace.deadlock is not None
    assert trace.deadlock.full == ("stem -> sum.1",)
    assert [wait.actor for wait in trace.deadlock.waits] == ["stem", "sum", "conv2", "conv1"]
    assert "stem waits for a place in stem -> sum.1" in str(trace.deadlock)
    with pytest.raises(InfeasibleError, match="deadlock after cycle"):
        _ = trace.latency_cycles
    with pytest.raises(InfeasibleError, match=r"stem -> sum\.1"):
        interval_cycles(residual(6, skip=4))


@pytest.mark.property
@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), inferences=st.integers(1, 3), period=st.sampled_from((0, 20)))
def test_relaxation_and_single_events_agree(seed: int, inferences: int, period: int) -> None:
    graph = drawn(seed)
    schedule = laid_out(graph, inferences, period)
    depths = [edge.depth for edge in graph.edges]
    one_by_one, waits = run_events(schedule, depths)
    times = earliest(schedule)
    outcome = relax(schedule, depths, times, set(range(len(graph.actors))), effort=30.0)
    assert outcome == "unsettled" or not waits
    if outcome == "settled":
        for field, other in zip(times.fields, one_by_one.fields, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(field, other, strict=True))


@pytest.mark.property
@given(seed=st.integers(0, 10**6), data=st.data())
def test_a_deeper_fifo_never_delays_anything(seed: int, data: st.DataObject) -> None:
    graph = drawn(seed)
    edge = data.draw(st.sampled_from(graph.edges))
    before = simulate(graph, 2)
    after = simulate(graph.with_depths({edge.name: (edge.depth or 1) + 1}), 2)
    for name, times in before.writes.items():
        assert len(after.writes[name]) >= len(times)
        assert np.all(after.writes[name][: len(times)] <= times)


@pytest.mark.property
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_the_long_run(seed: int) -> None:
    graph = drawn(seed)
    unbounded = simulate(graph.with_depths(None), 30).completions
    assert unbounded[-1] - unbounded[-2] == unbounded_interval(graph)
    bounded = simulate(graph, 100)
    if bounded.deadlock is None:
        mean = (bounded.completions[-1] - bounded.completions[39]) / 60  # 60: repeats every 1 to 6 inferences
        assert interval_cycles(graph) == pytest.approx(mean, abs=0.05)


@pytest.mark.exact
def test_the_interval_of_a_strided_window_counts_the_rows_between() -> None:
    # 8 x 8 to 4 x 4, 5 cycles an output: a row of outputs takes 20 cycles, but the words of the second row in between
    # come only when the last output of a row has started
    actor = convolution("conv", 8, stride=2, interval=5)
    graph = joined([source("x", 64), actor, sink("out", 16)], None)
    ends = simulate(graph, 9).completions
    assert np.diff(ends)[-1] == unbounded_interval(graph) > 16 * 5
    roomy = Actor("conv", (buffered(actor.ports[0].axes, spare=2 * 8),), 16, 80, 3)
    assert unbounded_interval(joined([source("x", 64), roomy, sink("out", 16)], None)) == 80


@pytest.mark.exact
@pytest.mark.parametrize(
    "actors, edges, message",
    [
        ((source("x", 4), sink("out", 4)), (), "reads nothing"),
        ((source("x", 4), sink("out", 4)), (Edge("y", "out"),), "reads 'y'"),
        ((source("x", 4), sink("out", 5)), (Edge("x", "out"),), "4 words into a port of 5"),
        ((source("x", 4), sink("out", 4)), (Edge("x", "out", depth=0),), "depth 0"),
        ((source("x", 4), sink("out", 4)), (Edge("x", "out"), Edge("x", "x", 1)), "no port 1"),
        ((source("x", 4), sink("x", 4)), (Edge("x", "x"),), "two actors"),
        ((source("x", 4), Actor("a", (Port("direct", 4),), 3, 3, 1)), (Edge("x", "a"),), "serves 4 of 3"),
        (
            (source("x", 9), Actor("a", (buffered((window(9, 7, 3),), capacity=2),), 7, 7, 1)),
            (Edge("x", "a"),),
            "fewer than a window",
        ),
    ],
)
def test_what_is_no_pipeline(actors: tuple[Actor, ...], edges: tuple[Edge, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Graph(actors, edges)
    with pytest.raises(InputError, match="no FIFO 'skip'"):
        residual(4, 9).with_depths({"skip": 3})
