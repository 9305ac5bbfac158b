"""Which part of a front's plane a plot shows at first: the region where the choice is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.core.design import DesignPoint, ParetoFront
from hwsim.core.fronts import EVERYWHERE, canonical_order, one_per_network
from hwsim.reports.study import Study

LOG_FROM = 12.0
"""A cost axis is logarithmic where the largest visible cost is this many times the smallest."""


@dataclass(frozen=True, slots=True)
class View:
    """Axis ranges in data units; `hidden` designs lie outside, `capacity` is the part's where it is in sight."""

    log: bool
    x: tuple[float, float]
    y: tuple[float, float]
    hidden: int
    capacity: float | None


def members(study: Study, front: ParetoFront) -> tuple[DesignPoint, ...]:
    """The designs that a front was drawn from, in canonical order."""
    ordered = canonical_order(study.designs)
    if front.target == EVERYWHERE:
        return one_per_network(ordered)
    cost = front.objectives[1]
    return tuple(d for d in ordered if d.target == front.target and getattr(d, cost) is not None)


def view_of(study: Study, front: ParetoFront) -> View:
    """The region around the front from its best design to somewhat below its knee."""
    cost = front.objectives[1]
    designs = members(study, front)
    if not designs:
        return View(False, (0.0, 1.0), (0.0, 1.0), 0, None)
    best = max(design.metric for design in designs)
    knee = next((design.metric for design in front.designs if design.id == front.knee), best)
    lowest = min(design.metric for design in designs)
    floor = max(best - max(0.08, 2.5 * (best - knee)), lowest)
    top = max([best, study.float_metric, *(design.metric_hi for design in front.designs)])
    pad = 0.05 * (top - floor) or 0.01
    bottom = floor - pad
    visible = [design for design in designs if design.metric >= bottom]
    capacity = _capacity(study, front.target, cost)
    low, high, is_log = _cost_range(visible, [d for d in front.designs if d.metric >= bottom], cost)
    if capacity is not None:
        high = max(high, capacity * (1.1 if is_log else 1.02)) if capacity < 2.5 * high else high
        capacity = capacity if low <= capacity <= high else None
    return View(is_log, (low, high), (bottom, top + pad), len(designs) - len(visible), capacity)


def _cost_range(visible: Sequence[DesignPoint], front: Sequence[DesignPoint], cost: str) -> tuple[float, float, bool]:
    mids = [design.objective(cost)[1] for design in visible]
    ends = [end for d in front for end in d.objective(cost) if math.isfinite(end)]
    low, high = min([*mids, *ends]), max([*mids, *ends])
    if low > 0 and high / low > LOG_FROM:
        return low / 1.15, high * 1.15, True
    pad = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return max(low - pad, 0.0) if low >= 0 else low - pad, high + pad, False


def _capacity(study: Study, target: str, cost: str) -> float | None:
    part = study.part(target)
    return float(getattr(part, cost)) if part and cost in ("lut", "ff", "dsp", "bram18") else None
