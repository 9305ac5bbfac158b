"""One pass of calibration data through the float network, shared by every format that is tried on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from hwsim.quant.fast_graph import channels_last, image_weights
from hwsim.quant.observers import EVERYTHING, Lp, Method, Observer, Scale
from hwsim.quant.streaming import Keep

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
    sample : the first calibration rows, which `reference` belongs to.
    x : all calibration rows.
    observe : makes observers anew that keep what is said.
    weights, scales : what designs made of it share: weights rounded to nearest, scales of tensors.
    """

    network: Network
    observers: Mapping[str, Observer]
    sample: Tensor
    x: Tensor
    observe: Callable[[Keep], Mapping[str, Observer]]
    weights: dict[tuple[str, str, str], NearestWeight] = field(default_factory=dict)
    scales: dict[tuple[str, str, Method], Scale] = field(default_factory=dict)
    _reference: dict[str, Tensor] = field(default_factory=dict)

    @property
    def reference(self) -> Mapping[str, Tensor]:
        """Float outputs of each compute layer for `sample`."""
        if not self._reference:
            self._reference = layer_outputs(self.network, self.sample)
        return self._reference

    @property
    def non_negative(self) -> frozenset[str]:
        return frozenset(name for name, seen in self.observers.items() if seen.non_negative)

    def act_scale(self, name: str, spec: Scaled, method: Method) -> Scale:
        """Scale and zero point of a tensor, computed once for all designs that want the same."""
        key = (name, str(spec), method)
        if key not in self.scales:
            self.scales[key] = self._observer(name, spec, method).scale(spec, method)
        return self.scales[key]

    def act_scales(self, name: str, spec: Scaled, powers: Sequence[float]) -> list[Scale]:
        """Scale and zero point of a tensor for each power p of `Lp`."""
        return self._observer(name, spec, Lp()).scales(spec, powers)

    def _observer(self, name: str, spec: Scaled, method: Method) -> Observer:
        """The observer of a tensor; where it kept too little, the rows pass through the network once more."""
        kept, wanted = self.observers[name].keep, self.observers[name].needs(spec, method)
        if not kept.covers(wanted):
            self.observers = self.observe(kept | wanted)
        return self.observers[name]


class Watch(Interpreter):
    """Runs a network and hands the tensors of some layers to a callback."""

    def __init__(self, network: Network, names: frozenset[str], callback: Callable[[str, Tensor], None]) -> None:
        super().__init__(network.module)
        self._names = names
        self._callback = callback
        module = network.module
        self._weights = {name: channels_last(getattr(module, name)) for name in image_weights(module)}

    def fetch_attr(self, target: str) -> Any:
        """The network's own tensor; weights of convolutions channels last in memory."""
        return self._weights[target] if target in self._weights else super().fetch_attr(target)

    def run_node(self, n: Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        result = getattr(self, n.op)(n.target, args, kwargs)
        name = n.meta.get("layer")
        if name in self._names and isinstance(result, Tensor):
            self._callback(name, result)
        return result


def calibrate(
    network: Network,
    x: Tensor,
    *,
    keep: Keep = EVERYTHING,
    batch: int = 128,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Observe every tensor that a compute layer reads.

    Parameters
    ----------
    network : float, batch normalisation folded.
    x : calibration inputs, shape (rows, ...).
    keep : of each tensor; methods that need more have the rows pass through once more.

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

    def one_pass(size: int, keep: Keep) -> dict[str, Observer]:
        step = network.fixed_batch or size
        rows = len(x) - len(x) % step if network.fixed_batch else len(x)
        observers = {name: Observer(axis=axis, keep=keep, seed=seed, name=name) for name, axis in axes.items()}
        watch = Watch(network, frozenset(observers), lambda name, value: observers[name].update(value))
        with torch.inference_mode():
            for start in range(0, rows, step):
                watch.run(x[start : start + step])
                if progress:
                    progress(min(start + step, len(x)), len(x))
        return observers

    def observe(keep: Keep) -> dict[str, Observer]:
        observers, *others = [one_pass(size, part) for size, part in keep.passes(batch)]
        for name, observer in observers.items():
            for other in others:
                observer.adopt(other[name])
        return observers

    return Calibration(network, observe(keep), x[: network.fixed_batch or REFERENCE_ROWS], x, observe)


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
    if x.is_floating_point() and not torch.isfinite(torch.stack([x.amin(), x.amax()])).all():
        raise InputError("NaN or infinite values", where=what, hint="clean the data first")
