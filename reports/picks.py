"""The designs that a reader asks for by name: most accurate that fits, cheapest that is good enough, knee, duel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hwsim.core.cost import Interval
from hwsim.core.design import DesignPoint, ParetoFront
from hwsim.core.devices import Part
from hwsim.reports.study import Study
from hwsim.reports.view import members
from hwsim.reports.words import NBSP, cost_words, memory_words, percent, quantity

WITHIN = 0.01
"""Good enough: at most this much below the float metric."""


@dataclass(frozen=True, slots=True)
class Picks:
    """The named designs of one front.

    Attributes
    ----------
    best : most accurate of those that fit; of those that may where none surely does; None where nothing does.
    is_sure : whether `best` fits for certain (always on a GPU).
    frugal : cheapest of the same with a metric at most `WITHIN` below the float metric.
    knee : of the front; None where it does not fit.
    integer, minifloat : most accurate of each family at a cost of at most `budget`.
    budget : the knee's cost, raised to the cheapest design of either family where that is dearer.
    nearest, overshoot : where nothing fits, the design that needs least beyond the part, and how many times the part.
    share : the part of the resource that `best` takes, where the capacity is known.
    """

    target: str
    cost: str
    best: DesignPoint | None
    is_sure: bool
    frugal: DesignPoint | None
    knee: DesignPoint | None
    integer: DesignPoint | None
    minifloat: DesignPoint | None
    budget: float
    nearest: DesignPoint | None
    overshoot: float | None
    share: float | None

    @property
    def budget_words(self) -> str:
        if self.cost == "memory_bits":
            return memory_words(self.budget)
        return f"{quantity(self.budget)}{NBSP}{'µs' if self.cost == 'latency_us' else self.cost.upper()}"


def pick(study: Study, front: ParetoFront) -> Picks:
    """The named designs of a two-objective front of error against a cost."""
    cost = front.objectives[1]
    designs = members(study, front)
    everywhere = all(design.target != front.target for design in designs)
    sure = [d for d in designs if everywhere or d.fits in ("yes", None)]
    pool = sure or [d for d in designs if d.fits == "uncertain"]
    good = [d for d in pool if d.metric >= study.float_metric - WITHIN - 1e-9]
    best = _most_accurate(pool, cost)
    knee = next((d for d in front.designs if d.id == front.knee and (everywhere or d.buildable)), None)
    integer, minifloat, budget = _duel(pool, knee, cost)
    part = study.part(front.target)
    nearest = None if pool else min(designs, key=lambda d: (_times(d, part, cost), -d.metric, d.id), default=None)
    return Picks(
        front.target,
        cost,
        best,
        bool(sure),
        min(good, key=lambda d: (d.objective(cost)[1], -d.metric, d.id), default=None),
        knee,
        integer,
        minifloat,
        budget,
        nearest,
        _times(nearest, part, cost) if nearest and part else None,
        best.objective(cost)[1] / float(getattr(part, cost)) if best and part and hasattr(part, cost) else None,
    )


def summary(design: DesignPoint, cost: str) -> str:
    """Metric and cost of a pick for the table, without intervals."""
    return f"{percent(design.metric)} · {cost_words(design, cost).split(' (')[0]}"


def _most_accurate(designs: Iterable[DesignPoint], cost: str) -> DesignPoint | None:
    return min(designs, key=lambda d: (-d.metric, d.objective(cost)[1], d.memory_bits, d.id), default=None)


def _duel(
    pool: list[DesignPoint], knee: DesignPoint | None, cost: str
) -> tuple[DesignPoint | None, DesignPoint | None, float]:
    families = [[d for d in pool if d.family == name] for name in ("integer", "minifloat")]
    if not all(families) or knee is None:
        return None, None, 0.0
    cheapest = [min(d.objective(cost)[1] for d in family) for family in families]
    budget = max(knee.objective(cost)[1], *cheapest)
    integer, minifloat = (
        _most_accurate([d for d in family if d.objective(cost)[1] <= budget], cost) for family in families
    )
    return integer, minifloat, budget


def _times(design: DesignPoint | None, part: Part | None, cost: str) -> float:
    """The largest share of any resource of the part; without a part, the cost itself."""
    if design is None:
        return 0.0
    if part is None:
        return design.objective(cost)[1]
    shares = []
    for name in ("lut", "ff", "dsp", "bram18"):
        value: Interval | None = getattr(design, name)
        if value is not None:
            shares.append(value.mid / max(float(getattr(part, name)), 1.0))
    return max(shares, default=0.0)
