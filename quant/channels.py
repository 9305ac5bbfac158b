"""Which channels of a network can be rescaled together: one class for all that must share a factor.

Every row (output channel) of a convolution or linear layer, and every entry of a normalisation's affine weight, is an
element with a label. The network is run once, and beside each tensor goes a tensor of the same shape that holds
the label of every value in it. Operators that move values move labels by being run on them; those that are positively
homogeneous (f(c x) = c f(x), c > 0) hand labels on; those that combine values tie their labels; any other operator
pins the labels it reads to the factor one. So residual sums, concatenations, splits, flattened maps and
grouped convolutions need no rule of their own, and an operator unknown here is safe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from hwsim.capture.operators import op_name
from hwsim.quant.channel_labels import PINNED, Labels
from hwsim.quant.channel_rules import RULES, pin_inputs
from hwsim.quant.rewrite.graph_edits import groups_of, is_weighted


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """A convolution or linear layer: `rows` (Cout,) classes that it makes, `columns` (Cin,) classes that it reads."""

    node: Node
    rows: Tensor
    columns: Tensor

    @property
    def layer(self) -> str:
        return str(self.node.meta["layer"])

    @property
    def weight(self) -> str:
        """Name of the weight tensor; layers that share it share its name."""
        return str(self.node.args[1].target)  # type: ignore[union-attr]


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """A normalisation with an affine weight at argument `position`; `classes` has the weight's shape."""

    node: Node
    position: int
    classes: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """An operator that clips from above at `bound`: a number, or the argument position of a constant tensor.

    `classes` (C,) are those of its input's channels, and `shape` is one that lays them along the channel axis.
    """

    node: Node
    classes: Tensor
    bound: float | None
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """The channel classes of a graph.

    Attributes
    ----------
    count : number of classes; class 0 holds inputs and constants.
    pinned : reason by class, for those that must keep their scale.
    weighted, affine, clips : what makes, reads and clips them, in order of execution.
    """

    count: int
    pinned: Mapping[int, str]
    weighted: tuple[Weighted, ...]
    affine: tuple[Affine, ...]
    clips: tuple[Clip, ...]

    @property
    def free(self) -> Tensor:
        """Whether a class may be rescaled, shape (count,), bool."""
        mask = torch.ones(self.count, dtype=torch.bool)
        mask[list(self.pinned)] = False
        return mask


def find_channels(module: GraphModule, examples: tuple[Tensor, ...]) -> Channels:
    """Analyse a captured graph by one run on its examples, in time and memory about that of the run itself."""
    run = _Run(module)
    with torch.inference_mode():
        run.run(*examples)
    return _numbered(run.state)


@dataclass(slots=True)
class _Uses:
    """Readers of each tensor of the network, as (node, argument position)."""

    of: dict[str, set[tuple[Node, int]]] = field(default_factory=dict)

    @classmethod
    def in_graph(cls, module: GraphModule) -> _Uses:
        found: dict[str, set[tuple[Node, int]]] = {}
        for node in module.graph.nodes:
            if node.op == "get_attr":
                readers = found.setdefault(str(node.target), set())
                for user in node.users:
                    spots = [i for i, arg in enumerate(user.args) if arg is node]
                    readers |= {(user, i) for i in spots or [-1]}
        return cls(found)


class _Run(Interpreter):
    """Runs the graph and, beside each value, its labels."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.state = Labels()
        self.uses = _Uses.in_graph(module)
        self.labels: dict[Node, Any] = {}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        self.labels[n] = self._label(n, value)
        for used in self.user_to_last_uses.get(n, []):
            self.labels.pop(used, None)
        return value

    def _label(self, node: Node, value: Any) -> Any:
        state = self.state
        if node.op == "output":
            for source in node.all_input_nodes:
                state.pin(self.labels[source], "it leaves the network")
            return None
        if node.op == "get_attr" or (node.op == "call_function" and self._is_constant(node)):
            state.constants.add(node)
        if node.op != "call_function":
            return state.constant(value)
        if is_weighted(node):
            return self._weighted(node, value)
        labels = RULES.get(op_name(node), pin_inputs)(state, node, self.labels, self.env, value)
        if labels is None or (isinstance(labels, Tensor) and labels.shape != value.shape):
            return pin_inputs(state, node, self.labels, self.env, value)
        return labels

    def _is_constant(self, node: Node) -> bool:
        return all(n in self.state.constants or self.labels.get(n) is None for n in node.all_input_nodes)

    def _weighted(self, node: Node, value: Tensor) -> Tensor:
        """Fresh labels for the rows, tied ones for the columns; layers that share a weight share both."""
        state, weight = self.state, str(node.args[1].target)  # type: ignore[union-attr]
        axis = _channel_axis(op_name(node), value.dim())
        columns = state.along(self.labels[node.args[0]], axis)  # type: ignore[index]
        kind = (op_name(node), groups_of(node))
        shared = state.by_weight.get(weight)
        if shared is None:
            rows = state.fresh(value.shape[axis])
        elif shared.kind == kind:
            rows = shared.rows
            state.tie(columns, shared.columns, "a layer of the same weight reads a constant or an input")
        else:
            rows = state.fresh(value.shape[axis])
            state.pin([rows, columns, shared.rows, shared.columns], "another kind of layer shares its weight")
        if any(position != 1 or not is_weighted(user) for user, position in self.uses.of[weight]):
            state.pin([rows, columns], "its weight is used elsewhere")
        state.add_weighted(node, rows, columns, weight, kind)
        return state.spread(rows, axis, value.shape)


def _channel_axis(op: str, rank: int) -> int:
    return rank - 1 if op == "linear" else rank - 1 - int(op[-2])


def _numbered(state: Labels) -> Channels:
    """Labels as consecutive classes, label 0 as class 0."""
    roots = state.roots()
    found, classes = torch.unique(roots, return_inverse=True)
    assert int(found[0]) == PINNED
    pinned = {int(classes[label]): why for label, why in reversed(state.reasons.items())}

    def of(labels: Tensor) -> Tensor:
        return classes[labels]

    return Channels(
        len(found),
        pinned,
        tuple(Weighted(w.node, of(w.rows), of(w.columns)) for w in state.weighted),
        tuple(Affine(node, position, of(labels)) for node, position, labels in state.affine),
        tuple(Clip(c.node, of(c.labels), c.bound, c.shape, c.dtype) for c in state.clips),
    )
