"""FIFO depths: as fast as without bounds, and one place less in any FIFO is not."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import chain, drawn, residual

from hwsim.cost_models.pipeline import Graph, minimal_depths, simulate, sufficient_depths, unbounded_interval
from hwsim.cost_models.pipeline.depths import least_depths

LONG = 10  # inferences: enough for small delays to add up


def keeps_up(graph: Graph) -> bool:
    """Whether every output of every inference ends in the cycle in which it does with FIFOs without bounds."""
    period = unbounded_interval(graph)
    wanted, found = simulate(graph.with_depths(None), LONG, period), simulate(graph, LONG, period)
    last = {sink.name: slice(sink.words - 1, None, sink.words) for sink in graph.sinks}
    return all(np.array_equal(wanted.starts[name][at], found.starts[name][at]) for name, at in last.items())


def one_less(graph: Graph) -> list[Graph]:
    return [graph.with_depths({e.name: e.depth - 1}) for e in graph.edges if e.depth is not None and e.depth > 1]


@pytest.mark.property
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_minimal_depths_keep_up_and_one_less_does_not(seed: int) -> None:
    graph = minimal_depths(drawn(seed))
    assert keeps_up(graph)
    assert not any(keeps_up(shallower) for shallower in one_less(graph))


@pytest.mark.property
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_sufficient_depths_keep_up(seed: int) -> None:
    enough = sufficient_depths(drawn(seed))
    assert keeps_up(enough)
    least = minimal_depths(enough)
    assert all((a.depth or 0) <= (b.depth or 0) for a, b in zip(least.edges, enough.edges, strict=True))


@pytest.mark.property
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_one_inference_bounds_the_depths_from_below(seed: int) -> None:
    graph = drawn(seed)
    bounds, least = least_depths(graph), minimal_depths(graph)
    assert all((a.depth or 0) <= (b.depth or 0) for a, b in zip(bounds.edges, least.edges, strict=True))


@pytest.mark.exact
@pytest.mark.parametrize("interval", [1, 2])
def test_against_every_choice_of_depths(interval: int) -> None:
    graph = residual(3, skip=None, interval=interval)
    found = tuple(edge.depth for edge in minimal_depths(graph).edges)
    names = [edge.name for edge in graph.edges]
    near = [range(max(1, depth - 1), depth + 1) for depth in found if depth is not None]
    will_do = [
        choice for choice in product(*near) if keeps_up(graph.with_depths(dict(zip(names, choice, strict=True))))
    ]
    assert will_do == [found]


@pytest.mark.exact
def test_a_chain_needs_no_more_than_two() -> None:
    least = [edge.depth for edge in minimal_depths(chain(20, (1, 3, 1))).edges]
    assert least == [1, 1, 1, 1]  # three cycles a word: every other cycle is enough
    assert [edge.depth for edge in minimal_depths(chain(20, (1, 1, 1))).edges] == [2, 2, 2, 2]
    assert [edge.depth for edge in minimal_depths(chain(20, (1, 3, 1)), least=2).edges] == [2, 2, 2, 2]


@pytest.mark.exact
def test_a_skip_holds_what_the_windows_of_the_branch_wait_for() -> None:
    # two 3 x 3 windows, each a row and a pixel behind, and the registers of the branch
    graph = minimal_depths(residual(8, skip=None))
    skip = next(edge.depth for edge in graph.edges if edge.name == "stem -> sum.1")
    assert skip is not None and 2 * 9 < skip < 2 * 9 + 20
    assert simulate(graph.with_depths({"stem -> sum.1": 2 * 9 - 4})).deadlock is not None
    slower = simulate(graph.with_depths({"stem -> sum.1": skip - 1}), 3)
    assert slower.deadlock is None
    assert slower.completions[-1] > simulate(graph, 3).completions[-1]
