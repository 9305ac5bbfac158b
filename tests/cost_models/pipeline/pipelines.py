"""Pipelines for tests: a few by hand, and any number drawn from a seed."""

from __future__ import annotations

import random
from itertools import pairwise

from hwsim.cost_models.pipeline import Actor, Edge, Graph, Port
from hwsim.cost_models.pipeline.graph import buffered, sink, source
from hwsim.cost_models.pipeline.windows import enlarged, whole, window


def stage(name: str, words: int, interval: int = 1, depth: int = 1, ports: int = 1) -> Actor:
    """An actor that takes and makes a word at a time."""
    return Actor(name, tuple(Port("direct", words) for _ in range(ports)), words, words * interval, depth)


def chain(words: int, intervals: tuple[int, ...], depth: int = 2) -> Graph:
    """A source, a stage for each interval, a sink."""
    stages = [stage(f"stage{i}", words, interval) for i, interval in enumerate(intervals)]
    return joined([source("x", words), *stages, sink("out", words)], depth)


def joined(actors: list[Actor], depth: int | None) -> Graph:
    """Actors one behind the other."""
    edges = [Edge(a.name, b.name, 0, 1, depth) for a, b in pairwise(actors)]
    return Graph(tuple(actors), tuple(edges))


def convolution(name: str, size: int, kernel: int = 3, stride: int = 1, interval: int = 1, depth: int = 3) -> Actor:
    """A square window over a square image, padded as usual."""
    padding = (kernel - 1) // 2
    out = (size + 2 * padding - kernel) // stride + 1
    axis = window(size, out, kernel, stride, padding)
    return Actor(name, (buffered((axis, axis)),), out * out, out * out * interval, depth)


def residual(size: int, skip: int | None, interval: int = 1, other: int | None = 2) -> Graph:
    """stem - two convolutions - sum with the stem, the FIFO around them `skip` deep."""
    words = size * size
    actors = (
        source("x", words),
        stage("stem", words),
        convolution("conv1", size, interval=interval),
        convolution("conv2", size, interval=interval, depth=4),
        stage("sum", words, ports=2),
        sink("out", words),
    )
    edges = (
        Edge("x", "stem", 0, 1, other),
        Edge("stem", "conv1", 0, 1, other),
        Edge("conv1", "conv2", 0, 1, other),
        Edge("conv2", "sum", 0, 1, other),
        Edge("stem", "sum", 1, 1, skip),
        Edge("sum", "out", 0, 1, other),
    )
    return Graph(actors, edges)


def drawn(seed: int) -> Graph:
    """A random pipeline: stages, windows, joins, whole tensors, upsampling, held words, and forks of all of them."""
    rng = random.Random(seed)
    height, width = rng.randint(1, 7), rng.randint(1, 7)
    shapes = {"x": (height, width)}
    actors, edges = [source("x", height * width)], []
    for i in range(rng.randint(1, 6)):
        made = _drawn_actor(rng, f"a{i}", shapes)
        if made is None:
            continue
        actor, inputs, shape = made
        actors.append(actor)
        edges += [Edge(name, actor.name, port, 1, *_fifo(rng)) for port, name in enumerate(inputs)]
        shapes[actor.name] = shape
    read = {edge.source for edge in edges}
    for name, (height, width) in shapes.items():
        if name not in read:
            actors.append(sink(f"{name} out", height * width))
            edges.append(Edge(name, f"{name} out", 0, 1, *_fifo(rng)))
    return Graph(tuple(actors), tuple(edges))


def _fifo(rng: random.Random) -> tuple[int, int]:
    return rng.choice((1, 2, 2, 3, 4, 8)), rng.choice((1, 1, 2))


def _drawn_actor(
    rng: random.Random, name: str, shapes: dict[str, tuple[int, int]]
) -> tuple[Actor, list[str], tuple[int, int]] | None:
    first = rng.choice(list(shapes))
    height, width = shape = shapes[first]
    inputs, words = [first], height * width
    kind = rng.choice(("direct", "window", "join", "whole", "enlarged", "held"))
    if kind == "window":
        kernel, stride, dilation = rng.randint(1, 3), rng.randint(1, 2), rng.randint(1, 2)
        padding = rng.randint(0, kernel - 1)
        shape = tuple((n + 2 * padding - (kernel - 1) * dilation - 1) // stride + 1 for n in (height, width))
        if min(shape) < 1:
            return None
        axes = tuple(
            window(n, out, kernel, stride, padding, dilation) for n, out in zip((height, width), shape, strict=True)
        )
        if any(last < first for axis in axes for first, last in zip(axis.first, axis.last, strict=True)):
            return None  # a window in the padding alone
        ports = (buffered(axes, spare=rng.randint(0, 3), accept=rng.choice((1, 1, 2))),)
    elif kind == "whole":
        ports, shape = (buffered((whole(words),), spare=rng.randint(0, 2)),), (1, 1)
    elif kind == "enlarged":
        shape = (2 * height, 2 * width)
        axes = (enlarged(height, 2 * height, False), enlarged(width, 2 * width, False))
        ports = (buffered(axes, spare=rng.randint(0, 2)),)
    elif kind == "join":
        inputs = [first, *rng.choices([t for t in shapes if shapes[t] == shape], k=rng.randint(1, 2))]
        ports = tuple(Port("direct", words) for _ in inputs)
    elif kind == "held":
        single = [t for t in shapes if shapes[t] == (1, 1)]
        if not single:
            return None
        inputs, ports = [first, rng.choice(single)], (Port("direct", words), Port("held", 1))
    else:
        ports = (Port("direct", words),)
    outputs = shape[0] * shape[1]
    even = rng.random() < 0.8
    cycles = outputs * rng.choice((1, 1, 2, 3, 5)) if even else outputs + rng.randint(0, 3 * outputs)
    return Actor(name, ports, outputs, cycles, rng.choice((0, 1, 1, 2, 4))), inputs, shape
