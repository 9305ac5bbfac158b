"""What every node of a graph produces: shape, type, whole numbers, and which of them depend on the batch size.

The graph is run on zeros at two batch sizes (at one, where the network fixes it); a size that differs is open.
This replaces symbolic shapes, which a graph loaded from disk does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import GraphModule, Node

BATCHES = (2, 3)


@dataclass(frozen=True, slots=True)
class Observed:
    """The result of one node.

    Attributes
    ----------
    shape : of a tensor; None for a size that changes with the batch size. None for anything else.
    batch_axes : axes whose size is the batch size itself.
    dtype : of a tensor.
    value : the result itself where no input of the network changes it: a constant tensor or number. Else None.
    parts : of a tuple or list, what each element is.
    """

    shape: tuple[int | None, ...] | None = None
    batch_axes: frozenset[int] = frozenset()
    dtype: torch.dtype | None = None
    value: Any = None
    parts: tuple[Observed, ...] = ()


def observe(module: GraphModule, examples: tuple[Tensor, ...], fixed_batch: int | None) -> dict[Node, Observed]:
    """Run the graph and compare the shapes seen.

    Parameters
    ----------
    examples : inputs at batch 1 (or at the fixed batch size); only their shape and type matter.
    """
    batches = BATCHES if fixed_batch is None else (fixed_batch,)
    runs: list[dict[Node, Any]] = []
    fixed: dict[Node, bool] = {}
    for batch in batches:
        rows = tuple(x[:1].expand(batch, *x.shape[1:]).contiguous() for x in examples)
        recorder = _Recorder(module, fixed)
        with torch.no_grad():
            recorder.run(*(rows if fixed_batch is None else examples))
        runs.append(recorder.seen)
    return {
        node: _merge([run[node] for run in runs], batches if fixed_batch is None else (), fixed[node])
        for node in module.graph.nodes
        if node.op != "output"
    }


@dataclass(frozen=True, slots=True)
class _Sight:
    shape: tuple[int, ...]
    dtype: torch.dtype
    value: Tensor | None


class _Recorder(fx.Interpreter):
    """Notes shape and type of every result, and keeps the tensors that no input reaches."""

    def __init__(self, module: GraphModule, fixed: dict[Node, bool]) -> None:
        super().__init__(module)
        self.seen: dict[Node, Any] = {}
        self.fixed = fixed

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        self.seen[n] = _sight(result, _is_constant(n, self.fixed))
        return result


def _is_constant(node: Node, known: dict[Node, bool]) -> bool:
    if node not in known:  # readers come after what they read, so this never goes deep
        known[node] = node.op == "get_attr" or (
            node.op == "call_function" and all(_is_constant(n, known) for n in node.all_input_nodes)
        )
    return known[node]


def _sight(result: Any, keep: bool) -> Any:
    if isinstance(result, Tensor):
        return _Sight(tuple(result.shape), result.dtype, result if keep else None)
    if isinstance(result, tuple | list):
        return tuple(_sight(r, keep) for r in result)
    return result


def _merge(sights: list[Any], batches: tuple[int, ...], constant: bool) -> Observed:
    first = sights[0]
    if isinstance(first, tuple):
        return Observed(parts=tuple(_merge(list(row), batches, constant) for row in zip(*sights, strict=True)))
    if not isinstance(first, _Sight):
        return Observed(value=first if all(s == first for s in sights) else None)
    sizes = list(zip(*(s.shape for s in sights), strict=True))
    shape = tuple(size[0] if len(set(size)) == 1 else None for size in sizes)
    axes = frozenset(i for i, size in enumerate(sizes) if batches and size == batches)
    return Observed(shape, axes, first.dtype, first.value if constant else None)
