"""What an HLS project computes: stages in order, each with the exact type of its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.hls.fixed import FixedType, Grid

Operation = Literal[
    "input",
    "conv",
    "depthwise",
    "dense",
    "shift",  # per-channel powers of two of a weight scale, applied to the accumulator
    "relu",
    "clamp",
    "cast",  # requantization that no other stage can take over
    "add",
    "concat",
    "max_pool",
    "average_pool",
    "global_average",
    "pad",
    "upsample",
    "flatten",
]
MULTIPLIES: frozenset[str] = frozenset({"conv", "depthwise", "dense"})


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Weights of a stage as hardware stores them.

    Attributes
    ----------
    values : in hls4ml's order: (kernel..., in, out) of convolutions, (kernel..., channels, 1) of depthwise ones,
        (in, out) of dense layers.
    type : as wide as the weight's format, no wider.
    bias : in units of the accumulator before its shift, or None.
    """

    values: NDArray[np.float64]
    type: FixedType
    bias: NDArray[np.float64] | None
    bias_type: FixedType | None


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One hardware layer.

    Attributes
    ----------
    name : identifier in the sources.
    layer : the network's layer it belongs to.
    tensor : the network's tensor that it produces (a fused ReLU's, where there is one); None for intermediate results.
    inputs : names of stages.
    shape : of the result: channels last, no batch.
    order : flat position in the torch tensor of each element of the result; a view does not change it.
    grid : values of the result; `type` holds them all, or rounds and saturates to them.
    accumulator : type of sums inside, for stages that have some.
    geometry : kernel, stride, pads (low, high an axis), factors: whatever the operation needs.
    shifts : left shift of each channel (`shift`).
    bounds : lower and upper (`clamp`).
    """

    name: str
    layer: str
    tensor: str | None
    operation: Operation
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    order: NDArray[np.int64]
    grid: Grid
    type: FixedType
    accumulator: FixedType | None = None
    geometry: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    weights: Weights | None = None
    shifts: tuple[int, ...] = ()
    bounds: tuple[float, float] | None = None

    @property
    def multipliers(self) -> tuple[int, int]:
        """Inputs and outputs of the dot product that is unrolled by a reuse factor of 1."""
        assert self.weights is not None
        *inner, last = self.weights.values.shape
        return int(np.prod(inner)), last


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """An exportable network.

    Attributes
    ----------
    stages : in order of execution; the first is the input, the last the output.
    input_shape, output_shape : as torch has them, without batch.
    notes : what a reader of the project must know.
    """

    name: str
    stages: tuple[Stage, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def output(self) -> Stage:
        return self.stages[-1]

    def readers(self, name: str) -> tuple[Stage, ...]:
        """Stages that read a stage, once for each time they do."""
        return tuple(stage for stage in self.stages for source in stage.inputs if source == name)


def channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C, ...) as (..., C)."""
    return (*shape[1:], *shape[:1])


def channels_last_order(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Flat position in (C, ...) of each element of the tensor stored channels last."""
    return np.moveaxis(np.arange(int(np.prod(shape))).reshape(shape), 0, -1).ravel()
