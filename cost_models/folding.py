"""Reuse factors as the user gives them: legal ones are taken, others are refused with the nearest legal ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hwsim.core.errors import InputError, nearest
from hwsim.core.workload import Layer, Workload
from hwsim.cost_models.folding_choice import legal_factor
from hwsim.cost_models.geometry import nearest_reuse, products

Reuse = int | Mapping[str, int] | Literal["auto"]


def given_reuse(workload: Workload, reuse: int | Mapping[str, int]) -> tuple[dict[str, int], tuple[str, ...]]:
    """A legal reuse for every layer that multiplies, and a note for each one that is not the one asked for.

    A factor given by layer has to be legal there; layers that a mapping leaves out are fully parallel. One factor for
    all layers has to be legal in one of them; each other layer takes its nearest legal one, as in hls4ml.

    Raises
    ------
    InputError
        For a factor that does not divide the work of its layer evenly, or is below 1, with the nearest legal ones; for
        a layer that the workload does not have or that does not multiply.
    """
    layers = {layer.name: layer for layer in workload.compute}
    if isinstance(reuse, Mapping):
        for name in reuse:
            if name not in layers:
                raise InputError(f"no layer {name!r} that multiplies", where="reuse", hint=nearest(name, layers))
        return {name: legal_factor(layer, reuse.get(name, 1)) for name, layer in layers.items()}, ()
    found = {name: _nearest(layer, reuse) for name, layer in layers.items()}
    if layers and reuse not in found.values():
        legal_factor(next(iter(layers.values())), reuse)
    moved = (
        f"{name}: reuse {reuse} does not divide the layer, {r} is built" for name, r in found.items() if r != reuse
    )
    return found, tuple(moved)


def _nearest(layer: Layer, reuse: int) -> int:
    first = products(layer)[0]
    if isinstance(reuse, bool) or not isinstance(reuse, int) or reuse < 1:
        return legal_factor(layer, reuse)  # refuses it
    return nearest_reuse(reuse, first.inputs, first.outputs)
