"""Reuse factors: as the user gives them, or the fastest balanced ones whose design fits the part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from hwsim.core.errors import InputError, nearest
from hwsim.core.workload import COMPUTE, Layer, Workload
from hwsim.cost_models.geometry import legal_reuse, nearest_reuse, products

Reuse = int | Mapping[str, int] | Literal["auto"]


def given_reuse(workload: Workload, reuse: int | Mapping[str, int]) -> tuple[dict[str, int], tuple[str, ...]]:
    """A legal reuse for every layer that multiplies, and a note for each one that was not legal.

    As in hls4ml, a factor that does not divide the work evenly becomes the nearest one that does. Layers that a
    mapping leaves out are fully parallel.

    Raises
    ------
    InputError
        For a factor below 1 or a layer that the workload does not have or that does not multiply.
    """
    layers = {layer.name: layer for layer in workload.compute}
    if isinstance(reuse, Mapping):
        for name in reuse:
            if name not in layers:
                raise InputError(f"no layer {name!r} that multiplies", where="reuse", hint=nearest(name, layers))
    found, notes = {}, []
    for name, layer in layers.items():
        wanted = reuse.get(name, 1) if isinstance(reuse, Mapping) else reuse
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
            raise InputError(f"reuse {wanted!r}", where=f"layer {name}", hint="a whole number of at least 1, or auto")
        first = products(layer)[0]
        found[name] = nearest_reuse(wanted, first.inputs, first.outputs)
        if found[name] != wanted:
            notes.append(f"{name}: reuse {wanted} does not divide the layer, {found[name]} is built")
    return found, tuple(notes)


Choose = Callable[[Layer, int], int]


def balanced_reuse(workload: Workload, interval: int, choose: Choose) -> dict[str, int]:
    """For each layer the largest reuse with which it keeps up with `interval` cycles an inference, or what `choose`
    makes of it."""
    return {layer.name: choose(layer, _slowest(layer, interval)) for layer in workload if layer.kind in COMPUTE}


def auto_reuse(
    workload: Workload, fits: Callable[[Mapping[str, int]], bool], choose: Choose
) -> tuple[dict[str, int], bool]:
    """The balanced reuse of the smallest interval for which `fits` holds, and whether it was found.

    Parameters
    ----------
    choose : the better one of a layer's slowest sufficient reuse and 1, where constant weights may be cheaper.

    Notes
    -----
    Resources shrink as the interval grows but for small steps; the search halves the list of intervals and takes
    what it finds. Without any fit it is the smallest design.
    """
    targets = _intervals(workload)
    fastest = balanced_reuse(workload, targets[0], choose)
    if fits(fastest):
        return fastest, True
    low, high = 1, len(targets) - 1
    best: dict[str, int] | None = None
    while low <= high:
        middle = (low + high) // 2
        trial = balanced_reuse(workload, targets[middle], choose)
        if fits(trial):
            best, high = trial, middle - 1
        else:
            low = middle + 1
    if best is not None:
        return best, True
    return balanced_reuse(workload, targets[-1], choose), False


def _slowest(layer: Layer, interval: int) -> int:
    first = products(layer)[0]
    allowed = max(1, interval // max(1, first.positions))
    choices = legal_reuse(first.inputs, first.outputs)
    return max((r for r in choices if r <= allowed), default=1)


def _intervals(workload: Workload) -> list[int]:
    """Every interval at which some layer changes, from fully parallel to one multiplier a layer."""
    layers = [products(layer)[0] for layer in workload.compute]
    if not layers:
        return [1]
    least = max(p.positions for p in layers)
    every = {p.positions * r for p in layers for r in legal_reuse(p.inputs, p.outputs)}
    return [least, *sorted(t for t in every if t > least)]
