"""Pieces of a quantized graph as modules of their own: quantized, float, or with parts to learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import Graph, GraphModule, Interpreter, Node

from hwsim.quant.draft import Draft


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A stretch of the graph that can be run.

    Attributes
    ----------
    inputs, outputs : nodes of the draft's graph whose values it takes and gives.
    module : called with the inputs in order; gives a tuple of the outputs in order.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    module: GraphModule

    def __call__(self, *values: Tensor) -> tuple[Tensor, ...]:
        return self.module(*values)


class Skeleton:
    """A draft's graph at one batch size: what computes with data, and constants for everything else.

    Sizes that the graph computes from its input, and tensors that follow from the network's own constants alone, are
    taken from one run at this batch size.

    Parameters
    ----------
    batch : rows of calibration data, shape (B, ...).

    Attributes
    ----------
    nodes : that compute with data, in order of execution; the network's input is `source`.
    constants : by node, numbers and tensors.
    shapes : of the nodes that give a tensor, at this batch size.
    rows_first : whether every value that may cross a cut counts its rows along the first axis.
    """

    def __init__(self, draft: Draft, batch: Tensor) -> None:
        self.draft = draft
        values = _run(draft.module, batch)
        graph = draft.module.graph
        (self.source,) = [node for node in graph.nodes if node.op == "placeholder"]
        (self.output,) = [node for node in graph.nodes if node.op == "output"]
        weights = {draft.attribute(name) for name in draft.weights}
        fed: set[Node] = {self.source}
        self.constants: dict[Node, Any] = {}
        self.nodes: list[Node] = []
        for node in graph.nodes:
            if node.op not in ("call_function", "call_module"):
                continue
            reads = node.all_input_nodes
            quantized = any(n.op == "get_attr" and str(n.target) in weights for n in reads)
            if _holds_tensor(values[node]) and (quantized or any(n in fed for n in reads)):
                fed.add(node)
                self.nodes.append(node)
            else:
                self.constants[node] = values[node]
        self.shapes = {node: tuple(values[node].shape) for node in fed if isinstance(values[node], Tensor)}
        self.results = tuple(node for node in self.output.all_input_nodes if node in fed)
        self.rows_first = self._rows_first(batch, values)

    def _rows_first(self, batch: Tensor, values: Mapping[Node, Any]) -> bool:
        """Seen from a second run with fewer rows: the first axis follows the batch, the others stay."""
        rows = len(batch)
        if self.draft.network.fixed_batch is not None or rows < 2:
            return False
        fewer = _run(self.draft.module, batch[: rows - 1])
        for node in self.shapes:
            before, after = values[node].shape, fewer[node].shape
            if not before or before[0] != rows or after != (rows - 1, *before[1:]):
                return False
        return True

    def live_after(self, position: int) -> tuple[Node, ...]:
        """Values made up to a position of `nodes` (-1: the input alone) that a later node or the output reads."""
        place = {node: i for i, node in enumerate(self.nodes)}
        made = [self.source, *self.nodes[: position + 1]]
        return tuple(n for n in made if any(place.get(u, len(place)) > position for u in n.users if self._reads(u)))

    def _reads(self, user: Node) -> bool:
        return user is self.output or user not in self.constants

    def segment(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Node],
        *,
        floating: bool = False,
        learned: Mapping[str, nn.Module] | None = None,
    ) -> Segment:
        """A stretch of the graph as a module.

        Parameters
        ----------
        outputs : of the stretch or its inputs.
        floating : the float network's stretch: float weights and biases, no quantizers.
        learned : by name of a buffer or of a quantizer's submodule, a module that takes its place: called without
            arguments for a buffer, with the tensor for a quantizer.
        """
        return _Extraction(self, nodes, floating, learned or {}).build(outputs)


class _Extraction:
    """Copies nodes into a new graph."""

    def __init__(
        self, skeleton: Skeleton, nodes: Sequence[Node], floating: bool, learned: Mapping[str, nn.Module]
    ) -> None:
        self.skeleton, self.nodes, self.floating, self.learned = skeleton, nodes, floating, learned
        self.graph, self.root = Graph(), nn.Module()
        self.made: dict[Node, Any] = {}

    def build(self, outputs: Sequence[Node]) -> Segment:
        wanted = self._needed(outputs)
        inputs = self._inputs(wanted, outputs)
        for node in inputs:
            self.made[node] = self.graph.placeholder(node.name)
        for node in wanted:
            self.made[node] = self._copy(node)
        self.graph.output(tuple(self._value(node) for node in outputs))
        self.graph.lint()
        return Segment(tuple(inputs), tuple(outputs), GraphModule(self.root, self.graph))

    def _needed(self, outputs: Sequence[Node]) -> list[Node]:
        """The nodes that the outputs depend on."""
        inside, needed, queue = set(self.nodes), set(), list(outputs)
        while queue:
            node = queue.pop()
            if node in inside and node not in needed:
                needed.add(node)
                queue += node.all_input_nodes
        return [node for node in self.nodes if node in needed]

    def _inputs(self, wanted: Iterable[Node], outputs: Sequence[Node]) -> list[Node]:
        inside = set(wanted)
        outside: dict[Node, None] = {}
        for node in [*(n for w in wanted for n in w.all_input_nodes), *outputs]:
            if node not in inside and node.op != "get_attr" and node not in self.skeleton.constants:
                outside[node] = None
        order = {node: i for i, node in enumerate([self.skeleton.source, *self.skeleton.nodes])}
        return sorted(outside, key=order.__getitem__)

    def _copy(self, node: Node) -> Any:
        if node.op == "call_module":
            target = str(node.target)
            if self.floating:
                return self._value(node.args[0])
            module = self.learned.get(target) or self.skeleton.draft.module.get_submodule(target)
            return self.graph.call_module(self._attach(target, module), (self._value(node.args[0]),))
        args, kwargs = fx.map_arg(node.args, self._value), fx.map_arg(node.kwargs, self._value)
        return self.graph.call_function(node.target, args, kwargs)  # type: ignore[arg-type]

    def _value(self, node: Any) -> Any:
        if node in self.made:
            return self.made[node]
        if node.op == "get_attr":
            self.made[node] = self._tensor(str(node.target))
        else:
            constant = self.skeleton.constants[node]
            self.made[node] = (
                self.graph.get_attr(self._attach(node.name, constant)) if _holds_tensor(constant) else constant
            )
        return self.made[node]

    def _tensor(self, name: str) -> Node:
        draft = self.skeleton.draft
        if self.floating and name in draft.floats:
            return self.graph.get_attr(self._attach(name, draft.floats[name]))
        if not self.floating and name in self.learned:
            return self.graph.call_module(self._attach(name, self.learned[name]), ())
        return self.graph.get_attr(self._attach(name, getattr(draft.module, name)))

    def _attach(self, name: str, value: Tensor | nn.Module) -> str:
        if not hasattr(self.root, name):
            if isinstance(value, nn.Module):
                self.root.add_module(name, value)
            else:
                self.root.register_buffer(name, value, persistent=False)
        return name


def _run(module: GraphModule, batch: Tensor) -> dict[Node, Any]:
    """What each node of a graph gives for a batch."""
    values: dict[Node, Any] = {}

    class _Recorder(Interpreter):
        def run_node(self, n: Node) -> Any:
            values[n] = result = super().run_node(n)
            return result

    with torch.no_grad():
        _Recorder(module).run(batch)
    return values


def _holds_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple | list) and any(isinstance(v, Tensor) for v in value))
