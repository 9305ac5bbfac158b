"""Where the resources of a design go: by layer and cause, on parts, in LUTs or DSPs, and by number format.

The figures are HTML tables whose cells hold bars, so that they read at any width, in print and aloud.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log
from typing import Any

from hwsim.core.cost import Cost
from hwsim.core.design import DesignPoint
from hwsim.core.devices import Part
from hwsim.core.fronts import EVERYWHERE
from hwsim.reports.study import Study
from hwsim.reports.style import CAUSE_COLOURS, OTHER_CAUSES, shade
from hwsim.reports.words import NBSP, pair_names, quantity, share_words

RESOURCES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18"}
POLICIES = {"never": "all products in LUTs", "auto": "wide products in DSPs", "pack": "several products a DSP"}
SCALE_ENDS = 1.5  # utilisation bars end at this share of the part


@dataclass(frozen=True, slots=True)
class MacCosts:
    """LUTs of one multiply-accumulate by format.

    Attributes
    ----------
    lut : a row for each format of the weights, in it a value for each format of the activations; None where a pair
        has no formula.
    k : products that one accumulator sums.
    """

    weights: tuple[str, ...]
    acts: tuple[str, ...]
    lut: tuple[tuple[float | None, ...], ...]
    k: int
    part: str


@dataclass(frozen=True, slots=True)
class Resources:
    """One design, and what it is compared with.

    Attributes
    ----------
    name : heading of the page.
    cost : of the design.
    policies : the same design by DSP policy (`never`, `auto`, `pack`), where that choice exists.
    parts : parts whose utilisation is shown, the design's own first.
    """

    name: str
    cost: Cost
    policies: Mapping[str, Cost]
    parts: tuple[Part, ...] = ()
    macs: MacCosts | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a bar; `width` in percent of the room."""

    name: str
    colour: str
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a table with a bar: its words are the text alternative of the picture."""

    name: str
    value: str
    segments: tuple[Segment, ...]
    words: str


def layer_bars(layers: Sequence[tuple[str, Mapping[str, float]]]) -> tuple[list[Bar], list[tuple[str, str, str]]]:
    """A bar of LUTs for each layer, divided by cause, and the legend: (cause, colour, share of all)."""
    totals: dict[str, float] = {}
    for _, terms in layers:
        for cause, lut in terms.items():
            totals[cause] = totals.get(cause, 0.0) + lut
    ordered = sorted(totals, key=lambda cause: (-totals[cause], cause))
    colours = dict(zip(ordered, CAUSE_COLOURS, strict=False))
    rest = len(ordered) > len(CAUSE_COLOURS)
    most = max((sum(terms.values()) for _, terms in layers), default=0.0) or 1.0
    whole = sum(totals.values()) or 1.0
    bars = [_layer_bar(name, terms, colours, most, whole) for name, terms in layers if sum(terms.values()) > 0]
    legend = [(cause, colour, share_text(totals[cause] / whole)) for cause, colour in colours.items()]
    if rest:
        others = sum(lut for cause, lut in totals.items() if cause not in colours)
        legend.append(("others", OTHER_CAUSES, share_text(others / whole)))
    return bars, legend


def _layer_bar(name: str, terms: Mapping[str, float], colours: Mapping[str, str], most: float, whole: float) -> Bar:
    lut = sum(terms.values())
    named = {cause: terms[cause] for cause in colours if terms.get(cause, 0.0) > 0}
    others = sum(value for cause, value in terms.items() if cause not in colours)
    if others > 0:
        named["others"] = others
    segments = tuple(
        Segment(cause, colours.get(cause, OTHER_CAUSES), round(100 * value / most, 2)) for cause, value in named.items()
    )
    words = ", ".join(f"{cause} {quantity(value)}" for cause, value in named.items())
    return Bar(name, f"{quantity(lut)} ({share_text(lut / whole)})", segments, f"{name}: {words} LUT")


def use_bars(used: Mapping[str, tuple[float, float, float]]) -> list[dict[str, Any]]:
    """Utilisation by resource: middle as a bar, ends as whiskers, in percent of `SCALE_ENDS` times the part."""
    rows = []
    for name, (low, middle, high) in used.items():
        text = share_text(middle) if low == high else f"{share_text(middle)} ({share_text(low)} to {share_text(high)})"
        rows.append(
            {
                "name": RESOURCES[name],
                "text": text,
                "width": _room(middle),
                "low": _room(low),
                "span": round(_room(high) - _room(low), 2),
                "over": middle > 1,
            }
        )
    return rows


def _room(share: float) -> float:
    return round(100 * min(max(share, 0.0), SCALE_ENDS) / SCALE_ENDS, 2)


def utilisation(subject: Cost | DesignPoint, part: Part) -> dict[str, tuple[float, float, float]]:
    """Share of each resource of a part, (lo, mid, hi); a resource that the part lacks counts as infinitely full."""
    found = {}
    for name in RESOURCES:
        value, total = getattr(subject, name), getattr(part, name)
        if value is None or (not total and not value.mid):
            continue
        ends = (value.lo, value.mid, value.hi)
        found[name] = tuple(end / total if total else float("inf") for end in ends)
    return found  # type: ignore[return-value]


def trade_rows(policies: Mapping[str, Cost]) -> list[dict[str, Any]]:
    """LUTs against DSPs of one design, by DSP policy."""
    most = {name: max((getattr(c, name).mid for c in policies.values()), default=0.0) or 1.0 for name in ("lut", "dsp")}
    return [
        {
            "policy": policy,
            "what": POLICIES.get(policy, ""),
            "fits": cost.fits,
            "cells": [
                {
                    "unit": RESOURCES[name],
                    "text": quantity(getattr(cost, name).mid),
                    "width": round(100 * getattr(cost, name).mid / most[name], 2),
                }
                for name in ("lut", "dsp")
            ],
        }
        for policy, cost in policies.items()
    ]


def heat_rows(macs: MacCosts) -> list[dict[str, Any]]:
    """The map's rows: cells with their text, colour, and words that name both formats."""
    known = [lut for row in macs.lut for lut in row if lut]
    low, high = (min(known), max(known)) if known else (1.0, 1.0)
    rows = []
    for weight, values in zip(macs.weights, macs.lut, strict=True):
        cells = []
        for act, lut in zip(macs.acts, values, strict=True):
            place = 0.0 if not lut or high <= low else log(lut / low) / log(high / low)
            back, ink = shade(place) if lut else ("#ffffff", "#59636e")
            words = f"{weight} × {act}: {quantity(lut)}{NBSP}LUT" if lut else f"{weight} × {act}: no formula"
            cells.append({"text": quantity(lut) if lut else "–", "back": back, "ink": ink, "words": words})
        rows.append({"name": weight, "cells": cells})
    return rows


def study_blocks(study: Study) -> list[dict[str, Any]]:
    """The knee of each part's front of error against LUTs: its layers and its utilisation."""
    names = pair_names(study.designs)
    by_id = {design.id: design for design in study.designs}
    blocks = []
    for front in study.fronts:
        if front.objectives != ("error", "lut") or front.target == EVERYWHERE or front.knee not in by_id:
            continue
        design = by_id[front.knee]
        layers = [(str(row.get("name", "")), terms_of(row)) for row in design.layers]
        part = study.part(front.target)
        used = utilisation(design, part) if part is not None else {}
        title = f"{names[design.id]} on {study.title(front.target)}"
        blocks.append(_block(title, f"Knee of the front, {design.setting}", layers, [(part, used)] if part else []))
    return blocks


def cost_blocks(resources: Resources) -> list[dict[str, Any]]:
    """One block for the design of a resource page."""
    layers = [(layer.name, layer.terms) for layer in resources.cost.layers]
    used = [(part, utilisation(resources.cost, part)) for part in resources.parts]
    title = f"Layers on {next((p.title for p in resources.parts[:1]), resources.cost.part)}"
    return [_block(title, "", layers, used)]


def _block(
    title: str,
    setting: str,
    layers: Sequence[tuple[str, Mapping[str, float]]],
    used: Iterable[tuple[Part, Mapping[str, tuple[float, float, float]]]],
) -> dict[str, Any]:
    bars, legend = layer_bars(layers)
    pairs = list(used)
    first = pairs[0] if pairs else None
    return {
        "title": title,
        "setting": setting,
        "bars": bars,
        "legend": legend,
        "uses": use_bars(first[1]) if first else [],
        "part": first[0].title if first else "",
        "full": round(100 / SCALE_ENDS, 2),
        "others": [_part_row(*pair) for pair in pairs[1:]],
    }


def _part_row(part: Part, used: Mapping[str, tuple[float, float, float]]) -> dict[str, Any]:
    cells = [used[name][1] if name in used else None for name in RESOURCES]
    return {
        "title": part.title,
        "cells": [
            {"text": "–" if share is None else share_text(share) if isfinite(share) else "none there",
             "over": share is not None and share > 1}
            for share in cells
        ],
    }  # fmt: skip


def share_text(share: float) -> str:
    """`59 %`, `0.4 %`, `< 0.1 %`, `0 %`."""
    return f"{'< 0.1' if share else '0'}{NBSP}%" if share < 0.0005 else share_words(share)


def terms_of(row: Mapping[str, Any]) -> dict[str, float]:
    """LUTs by cause of one row of a design's layer table; an empty table where it has none."""
    terms = row.get("terms")
    if not isinstance(terms, Mapping):
        return {}
    pairs = ((str(k), float(v)) for k, v in terms.items() if isinstance(v, int | float) and isfinite(v) and v > 0)
    return dict(pairs)
