"""The reuse factor of every layer, chosen exactly: the fastest design that fits, or the smallest that is fast enough.

One binary variable for each layer and each of its factors; each layer takes one factor, and resources add up to no more
than the part has. HiGHS solves it to a gap of zero, and what it returns is summed up again without its tolerance.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Part
from hwsim.core.errors import InfeasibleError, InputError, nearest
from hwsim.core.workload import Layer, Workload
from hwsim.cost_models.geometry import legal_reuse, nearest_reuse, products

RESOURCES = ("lut", "ff", "dsp", "bram18")
Resources = Sequence[float]  # in the order of RESOURCES
PriceOf = Callable[[Layer, int], Resources]
CyclesOf = Callable[[Layer, int], int]


@dataclass(frozen=True, slots=True)
class Option:
    """A layer at one reuse factor.

    Attributes
    ----------
    cycles : an inference.
    """

    reuse: int
    cycles: int
    resources: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FoldingChoice:
    """Reuse factors by layer, and what the design then takes.

    Attributes
    ----------
    interval_cycles : of the slowest layer that multiplies, or the floor.
    resources : of all layers, in the order of RESOURCES.
    utilisation : sum of the shares of the part's resources, weighted; no other choice that is as fast has less.
    """

    reuse: Mapping[str, int]
    interval_cycles: int
    resources: tuple[float, ...]
    utilisation: float


def layer_cycles(layer: Layer, reuse: int) -> int:
    """Cycles of a layer for one inference: positions times reuse, of the slower product where it has two."""
    first = products(layer)[0]
    slowest = max(nearest_reuse(reuse, p.inputs, p.outputs) for p in products(layer))
    return ceil(first.positions * slowest * layer.density)


def choose_folding(
    workload: Workload,
    part: Part,
    price: PriceOf,
    *,
    interval_cycles: int | None = None,
    rest: Callable[[int], Resources] | None = None,
    fixed: Mapping[str, int] | None = None,
    cycles: CyclesOf = layer_cycles,
    floor_cycles: int = 1,
    share: float = 1.0,
    weights: Resources = (1.0, 1.0, 1.0, 1.0),
) -> FoldingChoice:
    """The fastest design that fits, or the smallest one within an interval; among equally fast ones the smallest.

    Parameters
    ----------
    price : resources of a layer at a reuse factor.
    interval_cycles : the most cycles from inference to inference; None asks for the least that fits.
    rest : resources of all that has no reuse factor, by interval; they must not grow with it.
    fixed : factors that are not to be chosen.
    cycles : an inference of a layer at a reuse factor.
    floor_cycles : an interval below which the design is no faster, as the words of its input are, a cycle each.
    share : of the part that may be used.
    weights : of the utilisation of each resource in what is called smallest.

    Raises
    ------
    InputError
        For a fixed factor that does not divide its layer, with the nearest ones that do, or an unknown layer.
    InfeasibleError
        Where nothing fits: with the fastest interval that does, or the resource that is short.
    """
    if not workload.compute:
        return _without_factors(rest, floor_cycles)
    problem = _problem(workload, part, _options_of(workload, price, cycles, fixed), rest, floor_cycles, share, weights)
    intervals = problem.intervals()
    if interval_cycles is not None:
        within = [t for t in intervals if t <= interval_cycles]
        found = problem.smallest(interval_cycles) if within else None
        return found or _too_fast(problem, part, intervals, interval_cycles)
    return _fastest(problem, intervals) or _too_large(problem, part, intervals[-1])


def least_folding(
    workload: Workload,
    part: Part,
    price: PriceOf,
    *,
    rest: Callable[[int], Resources] | None = None,
    cycles: CyclesOf = layer_cycles,
    floor_cycles: int = 1,
) -> FoldingChoice:
    """The choice that comes nearest to fitting: its largest share of any of the part's resources is the least there is.

    Parameters as for `choose_folding`.
    """
    if not workload.compute:
        return _without_factors(rest, floor_cycles)
    options = _options_of(workload, price, cycles, None)
    problem = _problem(workload, part, options, rest, floor_cycles, 1.0, (1.0,) * len(RESOURCES))
    return problem.nearest(problem.intervals()[-1])


def _without_factors(rest: Callable[[int], Resources] | None, floor: int) -> FoldingChoice:
    used = rest(floor) if rest else (0.0,) * len(RESOURCES)
    return FoldingChoice({}, floor, tuple(float(x) for x in used), 0.0)


def _problem(
    workload: Workload,
    part: Part,
    options: tuple[tuple[Option, ...], ...],
    rest: Callable[[int], Resources] | None,
    floor: int,
    share: float,
    weights: Resources,
) -> _Problem:
    return _Problem(
        tuple(layer.name for layer in workload.compute),
        options,
        np.array([getattr(part, name) for name in RESOURCES], dtype=np.float64) * share,
        np.array(weights, dtype=np.float64),
        rest,
        floor,
    )


def legal_factor(layer: Layer, reuse: int) -> int:
    """The factor itself.

    Raises
    ------
    InputError
        Where it does not divide the layer's work evenly, with the nearest ones below and above that do.
    """
    first = products(layer)[0]
    legal = legal_reuse(first.inputs, first.outputs)
    if isinstance(reuse, bool) or not isinstance(reuse, int) or reuse not in legal:
        place = bisect_left(legal, reuse) if isinstance(reuse, int) else 0
        close = [str(r) for r in legal[max(0, place - 1) : place + 1]]
        raise InputError(
            f"reuse {reuse!r} does not divide {first.inputs} x {first.outputs} products evenly",
            where=f"layer {layer.name}",
            hint=f"nearest legal: {' and '.join(close)}",
        )
    return reuse


def _options_of(
    workload: Workload, price: PriceOf, cycles: CyclesOf, fixed: Mapping[str, int] | None
) -> tuple[tuple[Option, ...], ...]:
    """By layer that multiplies, its legal factors that no other one beats."""
    given = fixed or {}
    layers = {layer.name: layer for layer in workload.compute}
    for name, factor in given.items():
        if name not in layers:
            raise InputError(f"no layer {name!r} that multiplies", where="fixed", hint=nearest(name, layers))
        legal_factor(layers[name], factor)
    found = []
    for name, layer in layers.items():
        first = products(layer)[0]
        factors = (given[name],) if name in given else legal_reuse(first.inputs, first.outputs)
        made = [Option(r, cycles(layer, r), tuple(float(x) for x in price(layer, r))) for r in factors]
        found.append(tuple(undominated(made)))
    return tuple(found)


def undominated(options: Sequence[Option]) -> list[Option]:
    """Options for which no other one has as few cycles and as little of every resource; the first of equal ones."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda o: (o.cycles, o.resources)):
        if not any(all(a <= b for a, b in zip(k.resources, option.resources, strict=True)) for k in kept):
            kept.append(option)
    return kept


@dataclass(frozen=True, slots=True)
class _Problem:
    """What to choose from; options of a layer in the order of their cycles."""

    names: tuple[str, ...]
    options: tuple[tuple[Option, ...], ...]
    budget: NDArray[np.float64]
    weights: NDArray[np.float64]
    rest: Callable[[int], Resources] | None
    floor: int

    def left(self, interval: int) -> NDArray[np.float64]:
        """The budget of the layers at an interval."""
        return self.budget - (np.array(self.rest(interval), dtype=np.float64) if self.rest else 0.0)

    def intervals(self) -> list[int]:
        """Every interval at which some layer changes, from that of the fastest choice on."""
        every = sorted({max(self.floor, option.cycles) for layer in self.options for option in layer})
        return every[bisect_left(every, max(min(o.cycles for o in layer) for layer in self.options)) :]

    def nearest(self, interval: int) -> FoldingChoice:
        """The choice whose largest share of the budget is least."""
        allowed = [self.within(layer, interval) for layer in self.options]
        picked = _least_share(
            allowed, np.maximum(self.left(interval), 1.0), self.weights / np.maximum(self.budget, 1.0)
        )
        return self._choice(picked, interval)

    def smallest(self, interval: int) -> FoldingChoice | None:
        """The choice with the least weighted utilisation within an interval; None where none fits."""
        allowed = [self.within(layer, interval) for layer in self.options]
        if not all(allowed):
            return None
        left = self.left(interval)
        least = np.sum([np.min([o.resources for o in layer], axis=0) for layer in allowed], axis=0)
        if np.any(least > left):
            return None
        picked = _solve(allowed, left, self.weights / np.maximum(self.budget, 1.0))
        return self._choice(picked, interval) if picked is not None else None

    @staticmethod
    def within(layer: tuple[Option, ...], interval: int) -> list[Option]:
        """Options that are fast enough and that no other one of these beats in resources alone."""
        return undominated([Option(o.reuse, 0, o.resources) for o in layer if o.cycles <= interval])

    def _choice(self, picked: list[Option], interval: int) -> FoldingChoice:
        cycles = [{o.reuse: o.cycles for o in layer} for layer in self.options]
        slowest = max(known[o.reuse] for known, o in zip(cycles, picked, strict=True))
        used = self.budget - self.left(interval) + np.sum([o.resources for o in picked], axis=0)
        share = float(np.sum(used * self.weights / np.maximum(self.budget, 1.0)))
        reuse = {name: option.reuse for name, option in zip(self.names, picked, strict=True)}
        return FoldingChoice(reuse, max(self.floor, slowest), tuple(float(x) for x in used), share)


def _fastest(problem: _Problem, intervals: list[int]) -> FoldingChoice | None:
    """The smallest choice at the least interval at which any fits: what fits at one fits at all longer ones."""
    low, high = 0, len(intervals)
    best = None
    while low < high:
        middle = (low + high) // 2
        found = problem.smallest(intervals[middle])
        if found is not None:
            best, high = found, middle
        else:
            low = middle + 1
    return best


def _solve(
    layers: list[list[Option]], budget: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[Option] | None:
    """One option a layer with the least weighted resources within a budget; None where there is none."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    flat = [option for layer in layers for option in layer]
    owner = np.repeat(np.arange(len(layers)), [len(layer) for layer in layers])
    resources = np.array([o.resources for o in flat], dtype=np.float64)
    scale = np.maximum(budget, 1.0)
    rows: list[Any] = [
        LinearConstraint((owner[None, :] == np.arange(len(layers))[:, None]).astype(float), 1, 1),
        LinearConstraint((resources / scale).T, -np.inf, budget / scale),
    ]
    while True:
        result = milp(
            resources @ weights,
            constraints=rows,
            integrality=np.ones(len(flat)),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0},
        )
        if result.x is None:
            return None
        chosen = result.x > 0.5
        if np.all(resources[chosen].sum(axis=0) <= budget):
            return [option for option, taken in zip(flat, chosen, strict=True) if taken]
        rows.append(LinearConstraint(chosen.astype(float)[None, :], -np.inf, len(layers) - 1))  # within tolerance only


def _too_fast(problem: _Problem, part: Part, intervals: list[int], wanted: int) -> FoldingChoice:
    fastest = _fastest(problem, intervals)
    if fastest is None:
        return _too_large(problem, part, intervals[-1])
    raise InfeasibleError(
        f"no folding that fits {part.name} takes {wanted:,} cycles or fewer",
        where="folding",
        hint=f"the fastest that fits takes {fastest.interval_cycles:,}",
    )


def _too_large(problem: _Problem, part: Part, slowest: int) -> FoldingChoice:
    """Say how much of its scarcest resource the design takes that comes nearest to fitting."""
    needed = np.array(problem.nearest(slowest).resources)
    worst = int(np.argmax(needed / np.maximum(problem.budget, 1.0)))
    raise InfeasibleError(
        f"no folding fits {part.name}",
        where="folding",
        hint=f"the nearest takes {needed[worst]:,.0f} {RESOURCES[worst].upper()} of {problem.budget[worst]:,.0f}",
    )


def _least_share(layers: list[list[Option]], budget: NDArray[np.float64], weights: NDArray[np.float64]) -> list[Option]:
    """One option a layer whose largest share of a budget is least; of equal ones that with the least weighted
    resources."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    flat = [option for layer in layers for option in layer]
    owner = np.repeat(np.arange(len(layers)), [len(layer) for layer in layers])
    one_each = np.zeros((len(layers), len(flat) + 1))
    one_each[owner, np.arange(len(flat))] = 1.0
    resources = np.array([o.resources for o in flat], dtype=np.float64)
    shares = np.hstack([(resources / budget).T, -np.ones((len(budget), 1))])
    result = milp(
        np.append(np.zeros(len(flat)), 1.0),
        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(shares, -np.inf, 0)],
        integrality=np.append(np.ones(len(flat)), 0),
        bounds=Bounds(0, np.append(np.ones(len(flat)), np.inf)),
    )
    found = [option for option, taken in zip(flat, result.x[:-1] > 0.5, strict=True) if taken]
    largest = float(np.max(np.sum([o.resources for o in found], axis=0) / budget))
    return _solve(layers, budget * largest * (1 + 1e-9), weights) or found
