"""What costs what and why: a cost in words, and as tables of its terms and layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwsim.core.cost import Cost, Interval, LayerCost

RESOURCES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18", "uram": "UltraRAM"}
FEW = 5  # terms that the sentences name


@dataclass(frozen=True, slots=True)
class TermShare:
    """LUTs of one cause in one layer, and their share of all LUTs."""

    layer: str
    term: str
    lut: float
    share: float


@dataclass(frozen=True, slots=True)
class LayerShare:
    """A layer's share of each resource of the design, and of the interval in cycles; 0 where the design has none."""

    layer: str
    kind: str
    lut: float
    ff: float
    dsp: float
    bram18: float
    interval: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a cost is what it is.

    Attributes
    ----------
    sentences : in words: the largest terms, what limits the part, what limits the interval of inferences, how wide
        the intervals are and what they rest on, and the energy where it is known.
    terms : all causes of all layers, the largest first; shares sum to 1.
    causes : LUTs by cause over all layers, the largest first.
    layers : in the order of the network, those that cost something.
    utilisation : share of the part by resource, (lo, mid, hi); empty where the part's size is not known.
    """

    sentences: tuple[str, ...]
    terms: tuple[TermShare, ...]
    causes: Mapping[str, float]
    layers: tuple[LayerShare, ...]
    utilisation: Mapping[str, tuple[float, float, float]]

    def as_dict(self) -> dict[str, Any]:
        return {
            "sentences": list(self.sentences),
            "terms": [{name: getattr(row, name) for name in TermShare.__slots__} for row in self.terms],
            "causes": dict(self.causes),
            "layers": [{name: getattr(row, name) for name in LayerShare.__slots__} for row in self.layers],
            "utilisation": {
                name: dict(zip(("lo", "mid", "hi"), ends, strict=True)) for name, ends in self.utilisation.items()
            },
        }


def explain(cost: Cost) -> Explanation:
    """The explanation of a cost, from its own figures alone."""
    terms = _terms(cost)
    causes: dict[str, float] = {}
    for row in terms:
        causes[row.term] = causes.get(row.term, 0.0) + row.lut
    causes = dict(sorted(causes.items(), key=lambda item: (-item[1], item[0])))
    used = {
        name: (value.lo / total, value.mid / total, value.hi / total)
        for name, total in cost.available.items()
        if total and (value := cost.intervals.get(name)) is not None
    }
    found = [
        _by_cause(causes),
        _largest(terms),
        *_other_resources(cost),
        _limit(cost, used),
        _bottleneck(cost),
        *_widths(cost),
        _energy(cost),
    ]
    return Explanation(tuple(text for text in found if text), terms, causes, _layers(cost), used)


def _terms(cost: Cost) -> tuple[TermShare, ...]:
    total = sum(layer.lut for layer in cost.layers) or 1.0
    rows = [
        TermShare(layer.name, term, lut, lut / total)
        for layer in cost.layers
        for term, lut in layer.terms.items()
        if lut > 0
    ]
    return tuple(sorted(rows, key=lambda row: -row.lut))  # equal ones stay in the order of the network


def _layers(cost: Cost) -> tuple[LayerShare, ...]:
    totals = {name: sum(getattr(layer, name) for layer in cost.layers) or 1.0 for name in RESOURCES}
    interval = cost.ii_cycles.mid or 1.0
    return tuple(
        LayerShare(
            layer.name,
            layer.kind,
            layer.lut / totals["lut"],
            layer.ff / totals["ff"],
            layer.dsp / totals["dsp"],
            layer.bram18 / totals["bram18"],
            layer.cycles / interval,
        )
        for layer in cost.layers
        if layer.cycles or any(getattr(layer, name) for name in RESOURCES)
    )


def _by_cause(causes: Mapping[str, float]) -> str:
    total = sum(causes.values())
    if not total:
        return ""
    top = dict(list(causes.items())[:FEW])
    named = ", ".join(f"{cause} {_percent(lut / total)}" for cause, lut in top.items())
    rest = 1 - sum(top.values()) / total
    return f"LUTs by cause: {named}{f', others {_percent(rest)}' if len(causes) > FEW else ''}."


def _largest(terms: tuple[TermShare, ...]) -> str:
    if not terms:
        return ""
    top = terms[:FEW]
    named = "; ".join(f"{row.term} of {row.layer} {_percent(row.share)}" for row in top)
    of = f" of {len(terms)}, together {_percent(sum(row.share for row in top))}" if len(terms) > FEW else ""
    return f"Largest terms{of}: {named}."


def _other_resources(cost: Cost) -> list[str]:
    found = []
    for name in ("ff", "dsp", "bram18", "uram"):
        total = sum(getattr(layer, name) for layer in cost.layers)
        if total > 0:
            top = max(cost.layers, key=lambda layer: float(getattr(layer, name)))
            share = getattr(top, name) / total
            found.append(f"{RESOURCES[name]}: {_number(total)}, most in {top.name} ({_percent(share)}).")
    return found


def _limit(cost: Cost, used: Mapping[str, tuple[float, float, float]]) -> str:
    missing = [RESOURCES[name] for name, total in cost.available.items() if not total and cost.intervals[name].mid > 0]
    if missing:
        return f"{cost.part} has no {' and no '.join(missing)}, which the design needs."
    if not used:
        return ""
    name, (low, middle, high) = max(used.items(), key=lambda item: item[1][1])
    text = f"{RESOURCES[name]} limits the part: {_percent(middle)} of {cost.available[name]:,} in {cost.part}"
    return f"{text} ({_percent(low)} to {_percent(high)}); fits: {cost.fits}."


def _bottleneck(cost: Cost) -> str:
    interval = cost.ii_cycles.mid
    busy = [layer for layer in cost.layers if layer.cycles > 0]
    if not busy:
        return ""
    slowest = max(busy, key=lambda layer: layer.cycles)
    start = f"An inference every {_number(interval)} cycles ({_number(interval / cost.clock_mhz)} us)"
    if any(layer.kind == "overlay" for layer in cost.layers):
        share = slowest.cycles / interval
        return f"{start}: the layers run one after the other; {slowest.name} takes the most, {_percent(share)}."
    return f"{start}: {_stage(slowest, interval)}"


def _stage(slowest: LayerCost, interval: float) -> str:
    folded = f" at reuse {slowest.reuse:,}" if slowest.reuse > 1 else ""
    if slowest.cycles >= 0.99 * interval:
        return f"{slowest.name} ({slowest.kind}) is busy all of them{folded}."
    return (
        f"no layer is busy that long; the arriving words set the pace. The busiest is {slowest.name} "
        f"({slowest.kind}, {slowest.cycles:,} cycles{folded})."
    )


def _widths(cost: Cost) -> list[str]:
    widths: dict[str, list[str]] = {}
    for name, value in cost.intervals.items():
        if value.lo < value.hi and value.mid:
            below, above = 1 - value.lo / value.mid, value.hi / value.mid - 1
            label = RESOURCES.get(name, "latency" if name == "latency_us" else "interval of inferences")
            widths.setdefault(_basis(name, value), []).append(f"{label} -{_percent(below)} to +{_percent(above)}")
    return [f"Width of {', '.join(found)}: {basis}." for basis, found in widths.items()]


def _basis(name: str, value: Interval) -> str:
    if name == "latency_us":
        return "the clock that such formats reach; the cycles themselves are simulated"
    stage = {"hls": "an HLS report", "synthesis": "a synthesis", "post_route": "a placed design"}.get(value.stage)
    errors = (
        f"errors against {stage}" if stage else "the formulas' own errors on units and layers that were synthesised"
    )
    if value.coverage is None:
        return f"{errors}; intervals of whole networks were not compared with outside figures"
    return f"{errors}; such intervals held {_percent(value.coverage)} of outside measurements"


def _energy(cost: Cost) -> str:
    energy = cost.energy
    if energy is None or not energy.total:
        return ""
    causes = sorted(energy.causes.items(), key=lambda item: -item[1])
    named = ", ".join(f"{cause} {_percent(value / energy.total)}" for cause, value in causes)
    return (
        f"Energy ({energy.label}, table {energy.table}): {_number(energy.total)} {energy.unit} an inference: {named}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if 0 < share < 0.0995 else 0}f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"
