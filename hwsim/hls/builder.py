"""The growing list of stages, and what each tensor of the network is in hardware."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import UnsupportedError
from hwsim.hls.fixed import EXACT_BITS, FixedType, Grid
from hwsim.hls.stages import Operation, Stage, channels_last, channels_last_order

_REQUANTIZES: frozenset[Operation] = frozenset(
    {"input", "conv", "depthwise", "dense", "shift", "relu", "clamp", "add", "concat", "average_pool", "global_average"}
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the network as hardware has it.

    Attributes
    ----------
    stage : that produces it.
    shape : in torch, without batch.
    grid : its values.
    owned : the stage was made for this tensor and nobody else reads it, so its result type may still change.
    """

    stage: str
    shape: tuple[int, ...]
    grid: Grid
    owned: bool


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How hardware keeps a tensor.

    Attributes
    ----------
    shape : channels last for maps.
    order : flat position in the torch tensor of each element.
    """

    shape: tuple[int, ...]
    order: NDArray[np.int64]

    @classmethod
    def vector(cls, order: NDArray[np.int64] | int) -> Layout:
        """A vector in the given order, or of the given length in torch's own."""
        positions = np.arange(order) if isinstance(order, int) else order
        return cls((len(positions),), positions)


class Builder:
    """Collects stages; every method that adds one returns the tensor it makes."""

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}
        self.notes: list[str] = []
        self._taken: set[str] = set()

    def add(
        self,
        layer: str,
        operation: Operation,
        inputs: tuple[Tensor, ...],
        shape: tuple[int, ...],
        grid: Grid,
        *,
        suffix: str = "",
        tensor: str | None = None,
        layout: Layout | None = None,
        **fields: Any,
    ) -> Tensor:
        """Append a stage.

        Parameters
        ----------
        suffix : of the stage's name, for intermediate results.
        tensor : that the stage makes; without a suffix it is the layer's own.
        shape : of the result in torch; stored channels last unless `layout` says otherwise.

        Raises
        ------
        UnsupportedError
            When the result needs more bits than float64 compares exactly.
        """
        for kind in (grid.type, fields.get("accumulator")):
            if kind is not None and kind.bits > EXACT_BITS:
                raise UnsupportedError(
                    f"an exact result of {kind.bits} bits",
                    hint=f"up to {EXACT_BITS} bits can be verified; use narrower formats or @tensor weight scales",
                )
        name = self._name(f"in_{layer}" if operation == "input" else layer + suffix)
        layout = layout or Layout(channels_last(shape), channels_last_order(shape))
        assert prod(layout.shape) == len(layout.order) == prod(shape)
        stage = Stage(
            name,
            layer,
            tensor or (None if suffix else layer),
            operation,
            tuple(x.stage for x in inputs),
            layout.shape,
            layout.order,
            grid,
            grid.type,
            **fields,
        )
        self.stages[name] = stage
        return Tensor(name, shape, grid, True)

    def same_layout(self, layer: str, operation: Operation, x: Tensor, grid: Grid, **fields: Any) -> Tensor:
        """Append a stage that works element by element."""
        return self.add(layer, operation, (x,), x.shape, grid, layout=self.layout(x), **fields)

    def layout(self, x: Tensor) -> Layout:
        stage = self.stages[x.stage]
        return Layout(stage.shape, stage.order)

    def requantizable(self, x: Tensor) -> bool:
        return x.owned and self.stages[x.stage].operation in _REQUANTIZES

    def quantize(self, x: Tensor, tensor: str, grid: Grid, type: FixedType) -> Tensor:
        """Round and saturate a tensor: in the stage that makes it, or in one of its own where that is shared."""
        if not self.requantizable(x):
            x = self.same_layout(tensor, "cast", x, grid, suffix="_cast")
        self.stages[x.stage] = replace(self.stages[x.stage], tensor=tensor, grid=grid, type=type)
        return Tensor(x.stage, x.shape, grid, False)

    def is_map(self, x: Tensor) -> bool:
        """Whether the hardware keeps the tensor as a map, channels last, as torch's shape says."""
        stage = self.stages[x.stage]
        return len(x.shape) in (2, 3) and stage.shape == channels_last(x.shape)

    def need_map(self, x: Tensor) -> None:
        if not self.is_map(x):
            raise UnsupportedError(
                f"reads a tensor of shape {x.shape} that hardware keeps as a vector",
                hint="supported: maps of a convolution, a pooling or the network input, not reshaped ones",
            )

    def flat(self, layer: str, x: Tensor) -> Tensor:
        """The tensor as a vector, in the hardware's order."""
        layout = self.layout(x)
        if len(layout.shape) == 1:
            return x
        flat = Layout.vector(layout.order)
        return self.add(layer, "flatten", (x,), flat.shape, x.grid, suffix="_flatten", layout=flat)

    def padded(self, layer: str, x: Tensor, pads: tuple[int, ...], suffix: str = "") -> Tensor:
        """Zeros around a map; `pads` holds (low, high) of each axis."""
        if not any(pads):
            return x
        self.need_map(x)
        size = tuple(n + pads[2 * i] + pads[2 * i + 1] for i, n in enumerate(x.shape[1:]))
        zero = Grid(x.grid.exponent, 0, 0)
        return self.add(
            layer, "pad", (x,), (x.shape[0], *size), x.grid.union(zero), suffix=suffix, geometry={"pads": pads}
        )

    def _name(self, layer: str) -> str:
        name = "".join(c if c.isalnum() and c.isascii() else "_" for c in layer)
        if not name[0].isalpha():
            name = f"l_{name}"
        candidate, count = name, 1
        while candidate.lower() in self._taken:
            candidate, count = f"{name}_{count}", count + 1
        self._taken.add(candidate.lower())
        return candidate
