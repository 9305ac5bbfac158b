"""What limits a pipeline: the layers that set its interval, cycles that they stall, and the branches that wait."""

from __future__ import annotations

from hwsim.cost_models.dataflow import Pipeline
from hwsim.cost_models.pipeline.graph import Actor, Graph
from hwsim.cost_models.pipeline.steady import least_interval

NAMED = 3  # layers that a note lists


def time_notes(pipeline: Pipeline) -> tuple[str, ...]:
    """Notes on the interval and on the deepest FIFO where branches join."""
    graph = pipeline.graph
    if not graph.edges:
        return ()
    bounds = () if pipeline.proven else ("FIFO depths are bounds from below: the words are too many to search",)
    return (_interval_note(graph, pipeline.ii_cycles), *_join_note(graph), *bounds)


def _interval_note(graph: Graph, slowest: int) -> str:
    own = {actor.name: least_interval(actor) for actor in graph.actors}
    top = max(own.values())
    inputs = [actor.name for actor in graph.sources if own[actor.name] == top]
    limits = [actor for actor in graph.actors if own[actor.name] == top and actor.ports]
    if inputs:
        return f"input {inputs[0]} sets the interval: {slowest:,} words, one a cycle"
    names = ", ".join(actor.name for actor in limits[:NAMED])
    if len(limits) > NAMED:
        names += f" and {len(limits) - NAMED} more"
    text = f"{names} set{'s' if len(limits) == 1 else ''} the interval: {slowest:,} cycles"
    stalled = slowest - _busy(limits[0])
    if stalled:
        text += f", {stalled:,} of them waiting for words that its line buffer has no place for earlier"
    others = [cycles for cycles in own.values() if cycles < top]
    return f"{text}; the next slowest takes {max(others):,}" if others else text


def _busy(actor: Actor) -> int:
    """Cycles of an inference in which the unit works or its inputs are read."""
    return max(actor.words, actor.cycles, *(port.words * port.accept for port in actor.ports))


def _join_note(graph: Graph) -> tuple[str, ...]:
    joins = {actor.name for actor in graph.actors if len(actor.ports) > 1}
    found = [edge for edge in graph.edges if edge.target in joins and edge.depth is not None and edge.depth > 2]
    if not found:
        return ()
    deepest = max(found, key=lambda edge: edge.depth or 0)
    return (f"branches wait for each other in FIFOs: {deepest.name} holds {deepest.depth:,} words, the most",)
