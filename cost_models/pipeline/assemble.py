"""The pipeline of a network: an actor for every layer that has hardware of its own, from the layers' prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from hwsim.core.workload import Layer, Workload
from hwsim.cost_models.layers.site import Price, Stream
from hwsim.cost_models.layers.windows import window_reach
from hwsim.cost_models.pipeline.graph import Actor, Edge, Graph, Port, buffered, sink, source
from hwsim.cost_models.pipeline.windows import Axis, adaptive, enlarged, in_step, part, transposed, whole, window

OUTPUT = " (out)"  # behind the name of a network output: its sink
BY_INPUT = frozenset({"pool", "reduce"})  # layers whose cycles are those of their input words


def assembled(
    workload: Workload, prices: Mapping[str, Price], inputs: Mapping[str, Stream], depth: int | None = 2
) -> Graph:
    """The actors and FIFOs of a dataflow design.

    Parameters
    ----------
    prices : of all layers by name, as `layers.dispatch.price` gives them: words, cycles and registers are theirs.
    inputs : the streams of the network inputs (see `dataflow.input_stream`).
    depth : of every FIFO.

    Notes
    -----
    A layer without a FIFO of its own (`Price.buffered`) becomes registers of the layer before it, unless another layer
    reads that one's output as well or the number of words changes. Layers that only constants feed are left out.
    """
    actors: dict[str, Actor] = {}
    edges: list[Edge] = []
    maker: dict[str, str] = {}  # the actor that makes each tensor
    streams = dict(inputs)
    for name, stream in inputs.items():
        actors[name] = source(name, stream.words)
        maker[name] = name
    for layer in workload:
        made = prices[layer.name]
        streams[layer.name] = made.out
        feeds = [name for name in layer.inputs if name in maker]
        if not feeds:
            continue
        before = actors[maker[feeds[0]]]
        if _merges(workload, layer, made, before, feeds):
            actors[before.name] = replace(before, depth=before.depth + made.depth)
            maker[layer.name] = before.name
            continue
        ports = [_port(layer, made, streams[name].words, at, feeds, streams) for at, name in enumerate(feeds)]
        actors[layer.name] = actor_of(layer, made, tuple(ports))
        maker[layer.name] = layer.name
        for at, name in enumerate(feeds):
            edges.append(Edge(maker[name], layer.name, at, streams[name].word_bits, depth))
    for name in dict.fromkeys(workload.outputs):
        if name in maker:
            end = name + OUTPUT
            actors[end] = sink(end, streams[name].words)
            edges.append(Edge(maker[name], end, 0, streams[name].word_bits, depth))
    return Graph(*_read(actors, edges))


def _read(actors: dict[str, Actor], edges: list[Edge]) -> tuple[tuple[Actor, ...], tuple[Edge, ...]]:
    """All actors but network inputs that nothing reads."""
    ends = {edge.source for edge in edges} | {edge.target for edge in edges}
    return tuple(actor for actor in actors.values() if actor.name in ends), tuple(edges)


def _merges(workload: Workload, layer: Layer, made: Price, before: Actor, feeds: list[str]) -> bool:
    if made.buffered or len(feeds) > 1 or before.words != made.out.words:
        return False
    if made.depth == 0:
        return True
    alone = len(workload.consumers(feeds[0])) == 1 and feeds[0] not in workload.outputs
    return alone and bool(before.ports)


def actor_of(layer: Layer, made: Price, ports: tuple[Port, ...]) -> Actor:
    """A layer with hardware of its own; `made` gives its words, cycles and registers."""
    words = made.out.words
    by_input = layer.kind in BY_INPUT or layer.op.startswith("conv_transpose")
    if by_input:
        pace = -(-made.cycles // ports[0].words)
        ports = (replace(ports[0], accept=max(1, pace)), *ports[1:])
    return Actor(layer.name, ports, words, words if by_input else max(words, made.cycles), max(1, made.depth))


def _port(layer: Layer, made: Price, words: int, at: int, feeds: list[str], streams: Mapping[str, Stream]) -> Port:
    """How a layer reads one of its inputs."""
    outputs = made.out.words
    axes = _spatial(layer, words, outputs) if at == 0 else None
    if axes is not None:
        return buffered(axes)
    if layer.kind in ("matmul", "attention") and at > 0:
        return buffered((whole(words, outputs),), capacity=2 * words)  # held twice: one is filled, one is read
    if layer.op in ("group_norm", "instance_norm"):  # statistics first, then the words again
        kept = Axis(words, tuple(range(outputs)), (words - 1,) * outputs) if words == outputs else whole(words, outputs)
        return buffered((kept,), capacity=2 * words)
    if layer.kind == "concat" and len(feeds) > 1 and sum(streams[name].words for name in feeds) == outputs:
        return buffered((part(words, outputs, sum(streams[name].words for name in feeds[:at])),))
    if words == outputs:
        return Port("direct", words)
    if words == 1:
        return Port("held", 1)
    if layer.kind in ("linear", "matmul", "attention", "reduce"):
        return buffered((whole(words, outputs),))
    return buffered((in_step(words, outputs),))


def _spatial(layer: Layer, words: int, outputs: int) -> tuple[Axis, ...] | None:
    """Windows on the axes of an image; None where a layer has none or words are not its pixels."""
    if not layer.in_shapes or len(layer.in_shapes[0]) < 3:
        return None
    sizes, outs = layer.in_shapes[0][2:], layer.out_shape[2:]
    if prod(sizes) != words or prod(outs) != outputs or len(sizes) != len(outs):
        return None
    rank = len(sizes)
    stride, padding = layer.stride or layer.kernel, layer.padding or (0,) * rank
    dilation = layer.dilation or (1,) * rank
    if layer.op.startswith("upsample_"):
        linear = "linear" in layer.op
        return tuple(enlarged(size, out, linear) for size, out in zip(sizes, outs, strict=True))
    if layer.kind == "pool" and not layer.kernel:
        return tuple(adaptive(size, out) for size, out in zip(sizes, outs, strict=True))
    if layer.kind not in ("conv", "pool") or len(layer.kernel) != rank:
        return None
    if layer.op.startswith("conv_transpose"):
        make = transposed
    elif prod(window_reach(layer)) == 1 and sizes == outs:
        return None  # pointwise
    else:
        make = window
    given = zip(sizes, outs, layer.kernel, stride, padding, dilation, strict=True)
    return tuple(make(*axis) for axis in given)
