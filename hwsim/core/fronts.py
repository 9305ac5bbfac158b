"""The Pareto fronts of a study: accuracy against each cost, on each target and over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hwsim.core.design import DesignPoint, ParetoFront

EVERYWHERE = "all targets"
"""The target of a front that looks at networks, whatever they run on."""


def canonical_order(designs: Iterable[DesignPoint]) -> tuple[DesignPoint, ...]:
    """By target (parts first), then best metric, then least memory: an order that no schedule of workers changes."""
    return tuple(sorted(designs, key=lambda d: (d.part is None, d.target, -d.metric, d.memory_bits, d.id)))


OBJECTIVES_SHOWN = ("error", "lut", "latency_us", "memory_bits")


def fronts_of(designs: Iterable[DesignPoint], objectives: Sequence[str] = OBJECTIVES_SHOWN) -> tuple[ParetoFront, ...]:
    """A front for each target and cost, then memory over all targets.

    A cost in which the designs of a target do not differ makes no front, except LUTs of a part and latency of a GPU,
    which are what these targets are judged by. Designs that more likely than not exceed their part keep no other off
    its fronts; only where nothing fits do the fronts consist of them.

    Parameters
    ----------
    objectives : `error` and costs (`lut`, `ff`, `dsp`, `bram18`, `latency_us`, `memory_bits`).
    """
    ordered = canonical_order(designs)
    costs = [name for name in objectives if name not in ("error", "memory_bits")]
    fronts = []
    for target in dict.fromkeys(design.target for design in ordered):
        members = [design for design in ordered if design.target == target]
        members = [design for design in members if design.buildable] or members
        main = "lut" if members[0].part else "latency_us"
        fronts += [
            ParetoFront.of(target, ("error", cost), members)
            for cost in costs
            if getattr(members[0], cost) is not None and (cost == main or _differ(members, cost))
        ]
    if ordered and "memory_bits" in objectives:
        fronts.append(ParetoFront.of(EVERYWHERE, ("error", "memory_bits"), one_per_network(ordered)))
    return tuple(fronts)


def one_per_network(designs: Iterable[DesignPoint]) -> tuple[DesignPoint, ...]:
    """The first design of each quantized network: equal formats, recipe, seed and result."""
    first: dict[tuple[object, ...], DesignPoint] = {}
    for d in designs:
        first.setdefault((d.weights, d.acts, d.edge, d.scale, d.recipe, d.seed, d.metric, d.memory_bits), d)
    return tuple(first.values())


def _differ(designs: Sequence[DesignPoint], cost: str) -> bool:
    return len({design.objective(cost) for design in designs}) > 1
