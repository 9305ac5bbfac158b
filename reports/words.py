"""Numbers as a reader wants them: three digits that mean something, with their unit and their interval."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hwsim.core.cost import Interval
from hwsim.core.design import DesignPoint
from hwsim.reports.study import Study
from hwsim.reports.style import COSTS

NBSP = "\u00a0"
"""A number and its unit stay on one line."""


def quantity(value: float, digits: int = 3) -> str:
    """`31,200`, `412`, `6.04`: thousands separated, rounded to `digits` significant digits."""
    if not math.isfinite(value):
        return "∞" if value > 0 else str(value)
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    text = f"{rounded:,.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: float) -> str:
    return f"{100 * value:.1f}{NBSP}%"


def metric_words(metric: float, lo: float, hi: float) -> str:
    """`96.1 % (93.6 to 97.7)`."""
    return percent(metric) if lo == hi else f"{percent(metric)} ({100 * lo:.1f} to {100 * hi:.1f})"


def interval_words(value: Interval, unit: str) -> str:
    """`31,200 LUT (27,000 to 36,100)`."""
    head = f"{quantity(value.mid)}{NBSP}{unit}"
    return head if value.lo == value.hi else f"{head} ({quantity(value.lo)} to {quantity(value.hi)})"


def cost_words(design: DesignPoint, cost: str) -> str:
    """One cost of a design with unit and interval."""
    value = getattr(design, cost)
    if isinstance(value, Interval):
        return interval_words(value, COSTS[cost][0])
    return memory_words(value) if cost == "memory_bits" else quantity(float(value))


def memory_words(bits: float) -> str:
    """`412 kbit`; below 10,000 bits as they are."""
    for size, unit in ((1e9, "Gbit"), (1e6, "Mbit"), (1e3, "kbit")):
        if bits >= 10 * size or (bits >= size and unit == "Gbit"):
            return f"{quantity(bits / size)}{NBSP}{unit}"
    return f"{quantity(bits)}{NBSP}bit"


def pair_names(designs: Iterable[DesignPoint]) -> dict[str, str]:
    """`int6/int5` for each design id: weights and activations without scale type, which has a field of its own, and
    without granularity where the study has but one for that format."""
    found = tuple(designs)
    weights, acts = _short(d.weights for d in found), _short(d.acts for d in found)
    return {d.id: f"{weights[d.weights]}/{acts[d.acts]}" for d in found}


def _short(texts: Iterable[str]) -> dict[str, str]:
    without_scale = {text: text.split(":")[0] for text in set(texts)}
    granular = sorted(set(without_scale.values()))
    stems = [name.split("@")[0] for name in granular]
    once = {name: stem for name, stem in zip(granular, stems, strict=True) if stems.count(stem) == 1}
    return {text: once.get(name, name) for text, name in without_scale.items()}


def join(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *head, last = list(words) or [""]
    return f"{', '.join(head)} and {last}" if head else last


def share_words(share: float) -> str:
    """`59 %`; below one percent with a digit more."""
    return f"{100 * share:.{0 if share >= 0.01 else 1}f}{NBSP}%"


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % sampling interval of a proportion seen on `n` samples (Wilson 1927, score interval)."""
    if n < 1:
        return share, share
    z = 1.959963984540054
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(share * (1 - share), 0.0) / n + z * z / (4 * n * n))
    return min(max(0.0, centre - half), share), max(min(1.0, centre + half), share)


def float_ends(study: Study) -> tuple[float, float]:
    """The sampling interval of the float metric: as the study recorded it, else that of a proportion."""
    return study.float_interval or wilson(study.float_metric, study.n_eval)
