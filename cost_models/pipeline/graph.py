"""A dataflow pipeline as values: actors that fire word by word, and the FIFOs between them.

The hardware that is meant, cycle by cycle (`rtl` writes it down in Verilog):

* A word is one transfer of a stream: a pixel of all channels, a token, or a vector.
* A FIFO of depth D registers its count. A word written in cycle t can be read from cycle t + 1 on (t + 2 with a `delay`
  of 2, which a memory with an output register has); a word read in cycle t leaves its place free from cycle t + 1 on.
  So depth 1 passes a word every other cycle, depth 2 one a cycle.
* An actor starts a word in the first cycle in which all its ports have what the word needs and its unit is free. The
  unit works for the word's interval of I cycles, start included; its result then passes `depth` registers, each of
  which moves on when the next one is empty or moves on itself, and is written into all output FIFOs in one cycle,
  when every one of them has a place. Without stalls a word started in cycle t is written in t + I - 1 + depth. A unit
  whose interval is 1 has no register of its own: it starts only when the first register takes the result at once.
* A `direct` port reads its word from the FIFO in the cycle of the start. A `held` port does so for the first word of
  an inference and keeps it. A `buffered` port reads ahead into a buffer of `capacity` words, at most one word every
  `accept` cycles; a word read in cycle t serves a start from t + 1 on, and a place is free from the cycle after the
  start of the last output that needs its word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hwsim.core.errors import InputError, nearest
from hwsim.cost_models.pipeline.windows import Axis, Needs, Words, needs

PortKind = Literal["direct", "held", "buffered"]


@dataclass(frozen=True, slots=True)
class Port:
    """An input of an actor.

    Attributes
    ----------
    words : that it reads an inference.
    axes : buffered ports only; see `windows`.
    capacity : words that a buffered port holds.
    accept : cycles from one word read to the next.
    """

    kind: PortKind
    words: int
    axes: tuple[Axis, ...] = ()
    capacity: int = 0
    accept: int = 1

    @property
    def needs(self) -> Needs:
        return needs(self.axes)


def buffered(axes: tuple[Axis, ...], spare: int = 1, capacity: int = 0, accept: int = 1) -> Port:
    """A port with a buffer of `capacity` words, or of the largest window and `spare` words.

    With no spare word, reading and starting take turns.
    """
    wanted = needs(axes)
    return Port("buffered", wanted.words, axes, capacity or wanted.span + spare, accept)


@dataclass(frozen=True, slots=True)
class Actor:
    """A stage of the pipeline. One without ports is a source; one that no edge leaves is a sink.

    Attributes
    ----------
    words : output words an inference.
    cycles : the sum of their intervals, spread as evenly as whole cycles allow.
    depth : registers behind the unit.
    """

    name: str
    ports: tuple[Port, ...]
    words: int
    cycles: int
    depth: int

    @property
    def intervals(self) -> Words:
        """Cycles that the unit is busy with each word of an inference, at least 1."""
        ends = np.arange(self.words + 1, dtype=np.int64) * max(self.cycles, self.words) // self.words
        return np.diff(ends)


@dataclass(frozen=True, slots=True)
class Edge:
    """A FIFO.

    Attributes
    ----------
    port : of the target.
    word_bits : bits of a word; they matter to the price only.
    depth : words that it holds, the one in an output register included; None holds any number.
    delay : cycles from a write to the first cycle in which the word can be read.
    """

    source: str
    target: str
    port: int = 0
    word_bits: int = 1
    depth: int | None = 2
    delay: int = 1

    @property
    def name(self) -> str:
        return f"{self.source} -> {self.target}" + (f".{self.port}" if self.port else "")


@dataclass(frozen=True, slots=True)
class Graph:
    """Actors, each after all whose words it reads, and the FIFOs between them.

    Raises
    ------
    InputError
        Where an edge names no actor or leads backwards, a port has not exactly one edge, numbers of words differ, or a
        buffer is smaller than a window.
    """

    actors: tuple[Actor, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        seen: dict[str, Actor] = {}
        fed = {(edge.target, edge.port): edge for edge in self.edges}
        if len(fed) != len(self.edges):
            raise InputError("a port with two FIFOs", where="pipeline", hint="one FIFO a port")
        for actor in self.actors:
            if actor.name in seen:
                raise InputError(f"two actors named {actor.name!r}", where="pipeline", hint="give each its own name")
            _check_actor(actor)
            for index, port in enumerate(actor.ports):
                edge = fed.pop((actor.name, index), None)
                if edge is None or edge.source not in seen:
                    source = "nothing" if edge is None else repr(edge.source)
                    hint = nearest("" if edge is None else edge.source, seen)
                    raise InputError(f"port {index} reads {source}", where=f"actor {actor.name}", hint=hint)
                _check_edge(edge, seen[edge.source], port)
            seen[actor.name] = actor
        if fed:
            (target, index), *_ = fed
            raise InputError(f"no port {index} of {target!r}", where="pipeline", hint=nearest(target, seen))

    @property
    def sources(self) -> tuple[Actor, ...]:
        return tuple(actor for actor in self.actors if not actor.ports)

    @property
    def sinks(self) -> tuple[Actor, ...]:
        read = {edge.source for edge in self.edges}
        return tuple(actor for actor in self.actors if actor.name not in read)

    def with_depths(self, depths: Mapping[str, int | None] | int | None) -> Graph:
        """The same pipeline with other FIFOs: all alike, or by name of the edge (others stay)."""
        if isinstance(depths, Mapping):
            names = [edge.name for edge in self.edges]
            for name in depths:
                if name not in names:
                    raise InputError(f"no FIFO {name!r}", where="depths", hint=nearest(name, names))
            return replace(self, edges=tuple(replace(e, depth=depths.get(e.name, e.depth)) for e in self.edges))
        return replace(self, edges=tuple(replace(edge, depth=depths) for edge in self.edges))

    def with_memories(self, above: int) -> Graph:
        """The same pipeline with a delay of 2 in FIFOs deeper than `above`, and of 1 in the others."""
        delays = (2 if edge.depth is None or edge.depth > above else 1 for edge in self.edges)
        edges = (replace(edge, delay=delay) for edge, delay in zip(self.edges, delays, strict=True))
        return replace(self, edges=tuple(edges))


def source(name: str, words: int) -> Actor:
    """A network input: a word a cycle as long as there is a place."""
    return Actor(name, (), words, words, 0)


def sink(name: str, words: int) -> Actor:
    """A network output: a word a cycle, always ready."""
    return Actor(name, (Port("direct", words),), words, words, 0)


def _check_actor(actor: Actor) -> None:
    where = f"actor {actor.name}"
    if actor.words < 1 or actor.depth < 0:
        raise InputError(
            f"{actor.words} words and {actor.depth} registers", where=where, hint="at least one word, no less than 0"
        )
    for index, port in enumerate(actor.ports):
        if port.kind == "buffered":
            count = len(port.needs.need)
            if port.capacity < port.needs.span:
                hint = f"at least {port.needs.span}"
                raise InputError(
                    f"port {index} holds {port.capacity} words, fewer than a window", where=where, hint=hint
                )
        else:
            count = actor.words * port.words if port.kind == "held" else port.words
        if count != actor.words:
            hint = (
                "a buffered port serves the positions of its axes, a direct one as many as it has words; held: 1 word"
            )
            raise InputError(f"port {index} serves {count} of {actor.words} outputs", where=where, hint=hint)


def _check_edge(edge: Edge, producer: Actor, port: Port) -> None:
    if producer.words != port.words:
        hint = "both ends of a FIFO pass as many words"
        raise InputError(f"{producer.words} words into a port of {port.words}", where=f"FIFO {edge.name}", hint=hint)
    if edge.depth is not None and edge.depth < 1:
        raise InputError(f"depth {edge.depth}", where=f"FIFO {edge.name}", hint="at least 1, or None without a bound")
    if edge.delay < 1:
        raise InputError(f"delay {edge.delay}", where=f"FIFO {edge.name}", hint="at least 1")
