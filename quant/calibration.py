"""One pass of calibration data through the float network, shared by every format that is tried on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node

from hwsim.capture.graph import Network
from hwsim.core.codes import WeightCodes
from hwsim.core.errors import InputError
from hwsim.core.scaled import Scaled
from hwsim.core.workload import COMPUTE
from hwsim.quant.observers import Method, Observer, Scale

REFERENCE_ROWS = 64  # rows kept for signal-to-noise figures


@dataclass(frozen=True, slots=True, eq=False)
class NearestWeight:
    """A weight rounded to nearest under some format and scale method, as designs share it.

    Attributes
    ----------
    values : real values in the layout of the operator.
    """

    codes: WeightCodes
    values: Tensor
    scale: Tensor
    zero_point: Tensor | None


@dataclass(slots=True)
class Calibration:
    """What calibration saw.

    Attributes
    ----------
    network : the float network, batch normalisation folded.
    observers : by tensor (producing layer or network input), for every tensor that a compute layer reads.
    reference : float outputs of each compute layer for the first rows.
    sample : the calibration rows that `reference` belongs to.
    x : all calibration rows.
    weights, scales : what designs made of it share: weights rounded to nearest, scales of tensors.
    """

    network: Network
    observers: Mapping[str, Observer]
    reference: Mapping[str, Tensor]
    sample: Tensor
    x: Tensor
    weights: dict[tuple[str, str, str], NearestWeight] = field(default_factory=dict)
    scales: dict[tuple[str, str, Method], Scale] = field(default_factory=dict)

    @property
    def non_negative(self) -> frozenset[str]:
        return frozenset(name for name, seen in self.observers.items() if seen.non_negative)

    def act_scale(self, name: str, spec: Scaled, method: Method) -> Scale:
        """Scale and zero point of a tensor, computed once for all designs that want the same."""
        key = (name, str(spec), method)
        if key not in self.scales:
            self.scales[key] = self.observers[name].scale(spec, method)
        return self.scales[key]


class Watch(Interpreter):
    """Runs a network and hands the tensors of some layers to a callback."""

    def __init__(self, network: Network, names: frozenset[str], callback: Callable[[str, Tensor], None]) -> None:
        super().__init__(network.module)
        self._names = names
        self._callback = callback

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        name = n.meta.get("layer")
        if name in self._names and isinstance(result, Tensor):
            self._callback(name, result)
        return result


def calibrate(
    network: Network, x: Tensor, *, batch: int = 128, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Calibration:
    """Observe every tensor that a compute layer reads.

    Parameters
    ----------
    network : float, batch normalisation folded.
    x : calibration inputs, shape (rows, ...).

    Raises
    ------
    InputError
        For an empty set, NaN or infinite values in data or activations (the layer is named), a wrong shape.
    """
    check_inputs(network, x, "calibration data")
    workload = network.workload
    axes: dict[str, int] = {}
    for layer in workload:
        if layer.kind in COMPUTE:
            for name in layer.inputs[: {"attention": 3, "matmul": 2}.get(layer.kind, 1)]:
                axes.setdefault(workload.origin(name), 1 if layer.kind == "conv" else -1)
    observers = {name: Observer(axis=axis, seed=seed, name=name) for name, axis in axes.items()}
    step = network.fixed_batch or batch
    with torch.inference_mode():
        watch = Watch(network, frozenset(observers), lambda name, value: observers[name].update(value))
        for start in range(0, len(x) - len(x) % step if network.fixed_batch else len(x), step):
            watch.run(x[start : start + step])
            if progress:
                progress(min(start + step, len(x)), len(x))
    sample = x[: network.fixed_batch or REFERENCE_ROWS]
    return Calibration(network, observers, layer_outputs(network, sample), sample, x)


def layer_outputs(network: Network, x: Tensor) -> dict[str, Tensor]:
    """Outputs of all compute layers for `x`."""
    found: dict[str, Tensor] = {}
    names = frozenset(layer.name for layer in network.workload.compute)
    with torch.inference_mode():
        Watch(network, names, lambda name, value: found.__setitem__(name, value.clone())).run(x)
    return found


def check_inputs(network: Network, x: Tensor, what: str) -> None:
    """Refuse what would fail later with a worse message."""
    if len(x) == 0:
        raise InputError("no rows", where=what, hint="at least one row is wanted; 1,024 are usual")
    wanted = network.workload.input_shapes[0][1:]
    if tuple(x.shape[1:]) != tuple(wanted):
        raise InputError(
            f"rows of shape {tuple(x.shape[1:])}, the network takes {tuple(wanted)}",
            where=what,
            hint="use --resize, or capture the model with the right --input-shape",
        )
    if x.is_floating_point() and not torch.isfinite(x).all():
        raise InputError("NaN or infinite values", where=what, hint="clean the data first")
