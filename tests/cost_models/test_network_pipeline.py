"""Pipelines of networks: an actor for every layer, the cycles of their prices, and Verilog of a whole small network."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from math import prod

import cost_networks as nets
import numpy as np
import pytest

from hwsim.core.assignment import Policy, assign
from hwsim.core.workload import Layer, Shape, Workload
from hwsim.cost_models import dataflow, estimate
from hwsim.cost_models.catalogue import part
from hwsim.cost_models.dataflow import Pipeline, build_pipeline, input_streams
from hwsim.cost_models.memory import fifo
from hwsim.cost_models.pipeline import (
    Graph,
    assembled,
    interval_cycles,
    minimal_depths,
    simulate,
    sufficient_depths,
    unbounded_interval,
)
from hwsim.cost_models.pipeline.cosimulate import Run, cosimulate, expected_data
from hwsim.cost_models.pipeline.steady import least_interval, own_interval

SHAPE = (1, 8, 6, 6)


def pipeline_of(workload: Workload, reuse: int = 1, registers: Mapping[str, int] | None = None) -> Graph:
    """The pipeline of a network at int4, all layers at one reuse factor; `registers` replace those of some layers."""
    assignment = assign(workload, Policy("int4", "int4", scale="pow2"))
    made = build_pipeline(workload, assignment, part("u250"), {x.name: reuse for x in workload.compute}, "auto")
    prices = {p.layer.name: p.price for p in made.placed}
    for name, depth in (registers or {}).items():
        prices[name] = replace(prices[name], depth=depth)
    return assembled(workload, prices, input_streams(workload, assignment), None)


def design_of(workload: Workload, reuse: int = 1) -> Pipeline:
    assignment = assign(workload, Policy("int4", "int4", scale="pow2"))
    return build_pipeline(workload, assignment, part("u250"), {x.name: reuse for x in workload.compute}, "auto")


def actor_names(graph: Graph) -> list[str]:
    return [actor.name for actor in graph.actors]


@pytest.mark.exact
def test_fused_layers_are_registers_of_the_one_before() -> None:
    graph = pipeline_of(nets.small_residual())
    assert actor_names(graph) == ["x", "conv1", "conv2", "sum", "pool", "fc", "fc (out)"]
    assert [edge.name for edge in graph.edges] == [
        "x -> conv1",
        "conv1 -> conv2",
        "conv2 -> sum",
        "conv1 -> sum.1",
        "sum -> pool",
        "pool -> fc",
        "fc -> fc (out)",
    ]
    assert graph.edges[0].word_bits == 4 and graph.edges[1].word_bits == 8 * 4


@pytest.mark.exact
def test_a_fused_layer_whose_input_others_read_stands_by_itself() -> None:
    shape = (1, 8, 6, 6)
    layers = [
        nets.conv("conv", "x", shape, 8),
        nets.relu("relu", "conv", shape),
        nets.add("sum", "relu", "conv", shape),
    ]
    workload = nets.network("fork", shape, layers)
    assert actor_names(pipeline_of(workload)) == ["x", "conv", "sum", "sum (out)"]  # nothing but wires
    assert actor_names(pipeline_of(workload, registers={"relu": 1})) == ["x", "conv", "relu", "sum", "sum (out)"]


@pytest.mark.exact
@pytest.mark.parametrize("reuse", [1, 4, 36])
def test_the_interval_is_that_of_the_slowest_layer(reuse: int) -> None:
    workload = nets.small_residual()
    graph = minimal_depths(pipeline_of(workload, reuse))
    priced = max(64 * actor.cycles // actor.words for actor in graph.actors if actor.name.startswith("conv"))
    assert unbounded_interval(graph) == interval_cycles(graph)
    # two more than its words: no word of the next image is read before the last window of this one has started
    assert priced <= unbounded_interval(graph) <= priced + 2


def images(op: str, kind: str, out: Shape, **more: object) -> Layer:
    return nets.unary("layer", kind, op, "x", SHAPE, out, **more)


GRID = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1), "dilation": (1, 1)}
LAYERS = {
    "conv": nets.conv("layer", "x", SHAPE, 8, stride=2),
    "pointwise": nets.conv("layer", "x", SHAPE, 8, k=1),
    "downsample": nets.conv("layer", "x", SHAPE, 8, k=1, stride=2),
    "depthwise": nets.conv("layer", "x", SHAPE, 8, groups=8),
    "transposed": nets.conv("layer", "x", SHAPE, 4, k=2, stride=2, transposed=True),
    "max pool": images("max_pool2d", "pool", (1, 8, 3, 3), value_preserving=True, **GRID),
    "global pool": images("adaptive_avg_pool2d", "pool", (1, 8, 1, 1)),
    "bins": images("adaptive_avg_pool2d", "pool", (1, 8, 4, 4)),
    "mean": images("mean", "reduce", (1, 8)),
    "batch norm": images("batch_norm", "norm", SHAPE),
    "group norm": images("group_norm", "norm", SHAPE),
    "nearest": images("upsample_nearest2d", "reshape", (1, 8, 12, 12)),
    "bilinear": images("upsample_bilinear2d", "reshape", (1, 8, 12, 12)),
    "softmax": images("softmax", "softmax", SHAPE),
    "gelu": images("gelu", "activation", SHAPE),
}


@pytest.mark.exact
@pytest.mark.parametrize("name", list(LAYERS))
def test_every_kind_of_layer_streams(name: str) -> None:
    layer = LAYERS[name]
    graph = minimal_depths(pipeline_of(nets.network(name, SHAPE, [layer]), reuse=2))
    trace = simulate(graph, 2)
    assert trace.deadlock is None
    assert len(trace.writes["layer"]) == 2 * prod(layer.out_shape[2:])
    assert trace.latency_cycles >= 36


@pytest.mark.exact
def test_what_a_layer_waits_for() -> None:
    def first_start(name: str) -> int:
        graph = pipeline_of(nets.network(name, SHAPE, [LAYERS[name]]))
        return int(simulate(graph).starts["layer"][0])

    # word n is written in cycle n, read in n + 1; what goes through a buffer starts one cycle later
    assert first_start("pointwise") == 1
    assert first_start("downsample") == 2
    assert first_start("conv") == 7 + 2  # row 1, column 1
    assert first_start("max pool") == 7 + 2
    assert first_start("global pool") == 35 + 2
    assert first_start("group norm") == 35 + 2
    assert first_start("nearest") == 2


@pytest.mark.exact
def test_attention_waits_for_all_keys_and_for_one_query() -> None:
    shape = (1, 5, 4)
    layers = [
        nets.linear("q", "x", shape, 4),
        nets.linear("k", "x", shape, 4),
        nets.linear("v", "x", shape, 4),
        Layer(
            "mix", "attention", "scaled_dot_product_attention", ("q", "k", "v"), (shape,) * 3, shape, macs=2 * 5 * 5 * 4
        ),
    ]
    graph = pipeline_of(nets.network("attention", shape, layers))
    trace = simulate(graph)
    assert trace.starts["mix"][0] == trace.reads["k -> mix.1"][-1] + 1
    assert trace.reads["q -> mix"].tolist() == trace.starts["mix"].tolist()
    least = minimal_depths(graph)
    # five queries wait for the last key, and two of the next inference come while it passes through its buffer
    assert next(e.depth for e in least.edges if e.name == "q -> mix") == 5 + 2
    assert simulate(least).latency_cycles == trace.latency_cycles


@pytest.mark.exact
def test_joins_of_unequal_streams() -> None:
    image, single = (1, 8, 6, 6), (1, 8, 1, 1)
    gate = [
        nets.unary("gap", "pool", "adaptive_avg_pool2d", "x", image, single),
        Layer("scaled", "elementwise", "mul", ("x", "gap"), (image, single), image),
    ]
    graph = pipeline_of(nets.network("gate", image, gate))
    assert [port.kind for port in graph.actors[2].ports] == ["direct", "held"]
    depth = next(e.depth for e in minimal_depths(graph).edges if e.name == "x -> scaled")
    assert depth is not None and 36 <= depth < 36 + 10  # the image waits for its mean
    tokens = (1, 3, 4)
    both = Layer("cat", "concat", "cat", ("a", "b"), (tokens, tokens), (1, 6, 4))
    layers = [nets.linear("a", "x", tokens, 4), nets.linear("b", "x", tokens, 4), both]
    assert actor_names(pipeline_of(nets.network("cat", tokens, layers)))[-2:] == ["cat", "cat (out)"]


@pytest.mark.exact
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
def test_a_network_in_verilog() -> None:
    workload = nets.small_residual(channels=4)
    least = minimal_depths(pipeline_of(workload, reuse=4))
    skip = next(edge for edge in least.edges if edge.name == "conv1 -> sum.1")
    assert skip.depth is not None
    runs = [
        Run(least, 3),
        Run(least.with_depths({skip.name: skip.depth - 1}), 3),
        Run(least.with_depths({skip.name: 2}), 1),
        Run(sufficient_depths(least).with_memories(above=8), 2, 400),
    ]
    for run, log in zip(runs, cosimulate(runs), strict=True):
        trace = simulate(run.graph, run.inferences, run.period)
        words = expected_data(run.graph, run.inferences)
        for name in actor_names(run.graph):
            assert np.array_equal(trace.writes[name], log.writes[name])
            assert np.array_equal(trace.starts[name], log.starts[name])
            assert np.array_equal(words[name][: len(log.data[name])], log.data[name])
    ends = [simulate(run.graph, run.inferences).completions for run in runs[:2]]
    assert ends[1][-1] > ends[0][-1]
    assert simulate(runs[2].graph).deadlock is not None


@pytest.mark.property
@pytest.mark.parametrize("blocks", [1, 3])
def test_residual_networks_run_at_full_rate_with_the_least_fifos(blocks: int) -> None:
    graph = pipeline_of(nets.deep_residual(blocks, channels=4, size=12), reuse=4)
    least = minimal_depths(graph)
    assert simulate(least).latency_cycles == simulate(graph).latency_cycles
    assert interval_cycles(least) == max(own_interval(actor) for actor in graph.actors)
    total = sum(edge.depth or 0 for edge in least.edges)
    assert total < sum(edge.depth or 0 for edge in sufficient_depths(graph).edges)
    shallow = replace(graph, edges=tuple(replace(edge, depth=2) for edge in graph.edges))
    assert simulate(shallow).deadlock is not None


@pytest.mark.exact
@pytest.mark.parametrize("reuse", [1, 4])
def test_a_design_takes_its_time_and_fifos_from_the_simulation(reuse: int) -> None:
    workload = nets.small_residual()
    made = design_of(workload, reuse)
    graph = minimal_depths(pipeline_of(workload, reuse), least=2)
    assert [edge.depth for edge in made.graph.edges] == [edge.depth for edge in graph.edges]
    assert made.latency_cycles == simulate(graph).latency_cycles
    assert made.ii_cycles == unbounded_interval(graph) == interval_cycles(graph)
    placed = {p.layer.name: p for p in made.placed}
    for name, bill in (("sum", placed["sum"].bill), ("fc", placed["fc"].bill), ("relu1", placed["relu1"].bill)):
        edges = [e for e in graph.edges if e.target in (name, f"{name} (out)")]
        wanted = sum(fifo(e.word_bits, e.depth or 0).lut for e in edges)
        assert bill.lut - placed[name].price.bill.lut == pytest.approx(wanted)
    skip = next(e for e in graph.edges if e.name == "conv1 -> sum.1")
    assert skip.depth is not None and skip.depth > 2  # a branch waits for the windows of the other one


@pytest.mark.exact
def test_a_layer_that_limits_the_pipeline_is_named() -> None:
    workload = nets.small_residual()
    assignment = assign(workload, Policy("int4", "int4", scale="pow2"))
    many = {"conv1": 9, "conv2": 8, "fc": 1}
    notes = estimate(workload, assignment, part("u250"), reuse=many).notes
    assert "conv1 sets the interval: 576 cycles; the next slowest takes 512" in notes
    notes = estimate(workload, assignment, part("u250")).notes
    assert "input x sets the interval: 64 words, one a cycle" in notes
    assert any(note.startswith("branches wait") and "conv1 -> sum.1 holds" in note for note in notes)


@pytest.mark.exact
def test_lanes_keep_up_with_the_interval() -> None:
    shape = (1, 5, 10, 10)
    workload = nets.network(
        "pool", shape, [nets.conv("conv", "x", shape, 5, k=1), nets.max_pool("pool", "conv", shape)]
    )
    made = design_of(workload, 5)
    assert made.ii_cycles == 500 and made.placed[1].price.cycles == 500  # a channel a cycle: five cycles a word
    edges = build_pipeline(
        workload, assign(workload, Policy("int4", "int4", scale="pow2")), part("u250"), {"conv": 1}, "auto", None, 250
    )
    # 2.5 cycles a word: three lanes, two cycles a word; two lanes would take three
    assert edges.placed[1].price.cycles == 200


@pytest.mark.property
def test_constants_alone_take_no_time() -> None:
    constant = Layer("c", "reshape", "constant", (), (), (1, 4))
    made = design_of(Workload("constant", (constant,), (), (), ("c",)))
    assert (made.latency_cycles, made.ii_cycles) == (0, 1)


@pytest.mark.property
@pytest.mark.parametrize("reuse", [1, 2, 3, 8, 72])
def test_two_starts_in_a_row_nearly_tell_the_interval_of_a_layer(reuse: int) -> None:
    layers = [LAYERS[name] for name in ("conv", "pointwise", "downsample", "depthwise", "transposed", "max pool")]
    for layer in layers:
        for actor in pipeline_of(nets.network("one", SHAPE, [layer]), reuse).actors:
            exact = own_interval(actor)
            assert exact - 3 <= least_interval(actor) <= exact
            assert own_interval(replace(actor, depth=7)) == exact


@pytest.mark.exact
def test_a_concatenation_passes_its_inputs_side_by_side() -> None:
    shape = (1, 4, 6, 6)
    both = Layer("cat", "concat", "cat", ("a", "b"), (shape, shape), (1, 8, 6, 6))
    layers = [nets.conv("a", "x", shape, 4, k=1), nets.conv("b", "x", shape, 4, k=1), both]
    made = design_of(nets.network("cat", shape, layers))
    assert made.placed[2].price.cycles == 36 == made.ii_cycles


@pytest.mark.exact
def test_a_network_of_too_many_words_gets_bounds_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = nets.deep_residual(1, 8, 20)
    assignment = assign(workload, Policy("int4", "int4", scale="pow2"))
    whole = estimate(workload, assignment, part("u250"), reuse=2)
    monkeypatch.setattr("hwsim.cost_models.dataflow.MOST_WORDS", 1000)
    dataflow.run_words.cache_clear()
    bound = estimate(workload, assignment, part("u250"), reuse=2)
    dataflow.run_words.cache_clear()
    assert (bound.latency_us, bound.ii_cycles) == (whole.latency_us, whole.ii_cycles)
    assert any("bounds from below" in note for note in bound.notes)
    assert not any("bounds from below" in note for note in whole.notes)
