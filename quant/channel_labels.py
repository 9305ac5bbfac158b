"""Labels of channel elements: a union-find over them, and the reasons why some keep their scale."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

PINNED = 0  # the label of inputs and constants, whose factor is one
ZERO = -1  # the label of a padded zero, which any factor leaves alone


@dataclass(frozen=True, slots=True, eq=False)
class WeightedLabels:
    """Labels of the rows and columns of a layer's weight; `kind` says how the weight is used."""

    node: Node
    rows: Tensor
    columns: Tensor
    kind: Hashable


@dataclass(frozen=True, slots=True, eq=False)
class ClipLabels:
    """Labels of the channels that a node clips, and the shape that lays them along their axis."""

    node: Node
    labels: Tensor
    bound: float | None
    shape: tuple[int, ...]
    dtype: torch.dtype


class Labels:
    """What an analysis has found so far; label tensors are int64 and have the shape of the tensor they describe."""

    def __init__(self) -> None:
        self.parent: list[int] = [PINNED]
        self.reasons: dict[int, str] = {PINNED: "it is an input or a constant"}
        self.weighted: list[WeightedLabels] = []
        self.by_weight: dict[str, WeightedLabels] = {}
        self.affine: list[tuple[Node, int, Tensor]] = []
        self.clips: list[ClipLabels] = []
        self.constants: set[Node] = set()  # nodes that do not depend on the network's inputs
        self._by_affine: dict[str, Tensor] = {}
        self._pinned_roots: set[int] = {PINNED}

    def fresh(self, count: int) -> Tensor:
        """`count` new labels, shape (count,)."""
        start = len(self.parent)
        self.parent += range(start, start + count)
        return torch.arange(start, start + count)

    def constant(self, value: Any) -> Any:
        """Pinned labels for a value, or for each of several; None for what is no tensor."""
        if isinstance(value, Tensor):
            return torch.zeros((), dtype=torch.int64).expand(value.shape)
        if isinstance(value, tuple | list):
            return tuple(self.constant(v) for v in value)
        return None

    def root(self, label: int) -> int:
        while self.parent[label] != label:
            self.parent[label] = self.parent[self.parent[label]]
            label = self.parent[label]
        return label

    def roots(self) -> Tensor:
        return torch.tensor([self.root(label) for label in range(len(self.parent))])

    def pin(self, labels: Any, reason: str) -> None:
        """Give the factor one to every label of a tensor or of several; the first reason counts."""
        if isinstance(labels, tuple | list):
            for each in labels:
                self.pin(each, reason)
        elif isinstance(labels, Tensor):
            for label in _distinct(labels):
                root = self.root(label)
                if label > PINNED and root not in self._pinned_roots:
                    self._pinned_roots.add(root)
                    self.reasons[label] = reason

    def all_pinned(self, labels: Tensor) -> bool:
        return all(label < 0 or self.root(label) in self._pinned_roots for label in _distinct(labels))

    def tie(self, first: Tensor, second: Tensor, reason: str) -> Tensor:
        """Make two label tensors (broadcast) equal; a label that meets a constant is pinned for `reason`."""
        first, second = torch.broadcast_tensors(first, second)
        differ = (first != second) & (first != ZERO) & (second != ZERO)
        if differ.any():
            pairs = torch.unique(torch.stack([first[differ], second[differ]], 1), dim=0)
            for a, b in pairs.tolist():
                self._unite(a, b, reason)
        return torch.where(first == ZERO, second, first)

    def _unite(self, a: int, b: int, reason: str) -> None:
        if PINNED in (a, b):
            self.pin(torch.tensor([a, b]), reason)
            return
        low, high = sorted((self.root(a), self.root(b)))
        if low == high:
            return
        self.parent[high] = low
        if high in self._pinned_roots:
            self._pinned_roots.add(low)

    def over(self, labels: Tensor, dims: tuple[int, ...], keepdim: bool = False) -> Tensor:
        """One label for all values along `dims`."""
        if not dims:
            return labels
        top = labels.amax(dims, keepdim=True)
        self.tie(top, labels, "it is combined with a constant or an input")
        return top if keepdim else top.squeeze(dims)

    def along(self, labels: Tensor, axis: int) -> Tensor:
        """One label for each position of an axis, shape (size,); zeros all over count as a constant."""
        dims = tuple(d for d in range(labels.dim()) if d != axis % labels.dim())
        return self.over(labels, dims).clamp(min=PINNED)

    def spread(self, labels: Tensor, axis: int, shape: torch.Size) -> Tensor:
        """Labels (size,) of an axis for a tensor of `shape`."""
        sizes = [1] * len(shape)
        sizes[axis] = -1
        return labels.reshape(sizes).expand(shape)

    def affine_labels(self, node: Node, position: int, shape: torch.Size) -> Tensor:
        """Labels of a normalisation's weight, the same for normalisations that share it."""
        key = f"{node.args[position].target} of {node.target}"  # type: ignore[union-attr]
        if key not in self._by_affine:
            self._by_affine[key] = self.fresh(shape.numel()).reshape(shape)
        self.affine.append((node, position, self._by_affine[key]))
        return self._by_affine[key]

    def add_weighted(self, node: Node, rows: Tensor, columns: Tensor, weight: str, kind: Hashable) -> None:
        found = WeightedLabels(node, rows, columns, kind)
        self.weighted.append(found)
        self.by_weight.setdefault(weight, found)


def _distinct(labels: Tensor) -> list[int]:
    while labels.dim() and 0 in labels.stride():  # what is expanded says the same many times
        axis = labels.stride().index(0)
        labels = labels.select(axis, 0) if labels.shape[axis] else labels.flatten()
    return torch.unique(labels).tolist()
