"""Largest magnitude of each input channel of each convolution and linear layer over calibration data."""

from __future__ import annotations

import torch
from torch import Tensor

from hwsim.capture.graph import Network
from hwsim.capture.operators import op_name
from hwsim.quant.calibration import Watch, check_inputs
from hwsim.quant.rewrite.graph_edits import is_weighted, tensor_of


def channel_ranges(network: Network, x: Tensor, batch: int = 128) -> dict[str, Tensor]:
    """Largest |value| by channel, shape (channels,), of each tensor that a convolution or linear layer reads.

    Tensors are named by their origin (`Workload.origin`), as observers are. Where readers of one origin see
    different numbers of channels (a map and its flattened form), each tensor goes by its own name.

    Parameters
    ----------
    x : calibration inputs, shape (rows, ...).

    Raises
    ------
    InputError
        For an empty set, NaN or infinite values, a wrong shape.
    """
    check_inputs(network, x, "calibration data")
    axes = _axes(network)
    found: dict[tuple[str, int], Tensor] = {}

    def update(name: str, value: Tensor) -> None:
        for axis in axes[name]:
            dims = tuple(d for d in range(value.dim()) if d != axis % value.dim())
            largest = value.abs().amax(dims)
            key = (name, axis)
            found[key] = torch.maximum(found[key], largest) if key in found else largest

    step = network.fixed_batch or batch
    with torch.inference_mode():
        watch = Watch(network, frozenset(axes), update)
        for start in range(0, len(x) - len(x) % step if network.fixed_batch else len(x), step):
            watch.run(x[start : start + step])
    return _by_origin(network, found)


def _axes(network: Network) -> dict[str, set[int]]:
    """By tensor that a weighted layer reads: the axes, from the end, on which its readers have their channels."""
    axes: dict[str, set[int]] = {}
    for node in network.module.graph.nodes:
        if is_weighted(node) and "layer" in node.args[0].meta:
            weight = tensor_of(network.module, node.args[1])
            assert weight is not None
            axis = -1 if op_name(node) == "linear" else 1 - weight.dim()
            axes.setdefault(node.args[0].meta["layer"], set()).add(axis)
    return axes


def _by_origin(network: Network, found: dict[tuple[str, int], Tensor]) -> dict[str, Tensor]:
    origins: dict[str, list[tuple[str, Tensor]]] = {}
    for (name, _), largest in found.items():
        origins.setdefault(network.workload.origin(name), []).append((name, largest))
    result: dict[str, Tensor] = {}
    for origin, seen in origins.items():
        alike = len({largest.shape for _, largest in seen}) == 1
        for name, largest in seen:
            key = origin if alike else name
            result[key] = torch.maximum(result[key], largest) if key in result else largest.clone()
    return result
