"""The data behind the page, packed: columns instead of rows, each text once, each column of a layer table once."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hwsim.core.cost import Interval
from hwsim.core.design import INTERVALS, DesignPoint, ParetoFront
from hwsim.core.fronts import EVERYWHERE, canonical_order
from hwsim.reports.commands import next_command
from hwsim.reports.figures import plane_title
from hwsim.reports.study import Study
from hwsim.reports.style import COSTS, FAMILIES, family_style
from hwsim.reports.view import members, view_of
from hwsim.reports.words import float_ends, pair_names, quantity

DATA_LIMIT = 6_000_000
"""Bytes of embedded data above which designs far from every front lose their per-layer tables."""

_TEXTS = ("weights", "acts", "edge", "scale", "recipe", "setting", "note")


class Pool:
    """Texts in order of first appearance; `of` gives a text's number."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self._place: dict[str, int] = {}

    def of(self, text: str) -> int:
        if text not in self._place:
            self._place[text] = len(self.items)
            self.items.append(text)
        return self._place[text]


def page_data(study: Study, limit: int = DATA_LIMIT) -> str:
    """The embedded JSON, safe inside a `script` element; at most about `limit` bytes while designs alone allow it."""
    designs = canonical_order(study.designs)
    number = {design.id: i for i, design in enumerate(designs)}
    texts = Pool()
    data: dict[str, Any] = {
        "meta": _meta(study),
        "families": [asdict(family) for family in FAMILIES],
        "designs": _columns(study, designs, texts),
        "panels": _panels(study, number),
        "texts": texts.items,
    }
    used = len(embed(data))
    return embed(data | {"layers": _layer_tables(study, designs, number, limit - used)})


def embed(data: Any) -> str:
    """JSON in ASCII without `<`, `>` and `&`, so that no text in it can end the element or open a comment."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _meta(study: Study) -> dict[str, Any]:
    low, high = float_ends(study)
    return {
        "metric": study.metric_name,
        "float": [low, study.float_metric, high],
        "titles": {target: study.title(target) for target in sorted({d.target for d in study.designs})},
        "costs": COSTS,
        "run": study.run_dir,
    }


def _columns(study: Study, designs: Sequence[DesignPoint], texts: Pool) -> dict[str, Any]:
    names = [family.name for family in FAMILIES]
    pairs = pair_names(designs)
    data: dict[str, Any] = {name: [texts.of(getattr(d, name)) for d in designs] for name in _TEXTS}
    data["pair"] = [texts.of(pairs[d.id]) for d in designs]
    data["target"] = [texts.of(d.target) for d in designs]
    data["command"] = [texts.of(next_command(study, d, placeholder="{id}")) for d in designs]
    data["family"] = [names.index(family_style(d.family).name) for d in designs]
    data["fits"] = ["" if d.fits is None else d.fits[0] for d in designs]
    for name in ("id", "seed", "memory_bits"):
        data[name] = [getattr(d, name) for d in designs]
    for name in ("metric", "metric_lo", "metric_hi"):
        data[name] = [json_number(getattr(d, name), 6) for d in designs]
    for name in INTERVALS:
        values: list[Interval | None] = [getattr(d, name) for d in designs]
        data[name] = [None if v is None else json_number(v.mid) for v in values]
        ends = [None if v is None or v.lo == v.hi else [json_number(v.lo), json_number(v.hi)] for v in values]
        if any(end is not None for end in ends):
            data[f"{name}_ends"] = ends
        data[f"{name}_basis"] = [None if v is None else texts.of(basis(v)) for v in values]
    return data


def basis(value: Interval) -> str:
    """What an interval predicts and how it fared: `synthesis, held 91 % of outside measurements`."""
    stage = value.stage.replace("_", " ").replace("post route", "placed and routed")
    if value.coverage is None:
        return f"{stage}, uncalibrated"
    return f"{stage}, such intervals held {100 * value.coverage:.0f} % of outside measurements"


def _panels(study: Study, number: Mapping[str, int]) -> list[dict[str, Any]]:
    """A panel a kind of front (cost, and whether of parts, devices or everything), a view a target."""
    panels: dict[tuple[str, str], dict[str, Any]] = {}
    parts = {design.part for design in study.designs}
    for front in study.fronts:
        cost = front.objectives[1] if len(front.objectives) == 2 and front.objectives[0] == "error" else ""
        if cost not in COSTS:
            continue
        kind = "all" if front.target == EVERYWHERE else "part" if front.target in parts else "device"
        panel = panels.setdefault(
            (cost, kind), {"cost": cost, "kind": kind, "title": plane_title(study, front), "views": []}
        )
        panel["views"].append(_view(study, front, number))
    order = {"part": 0, "all": 1, "device": 2}
    return sorted(panels.values(), key=lambda p: order[p["kind"]])


def _view(study: Study, front: ParetoFront, number: Mapping[str, int]) -> dict[str, Any]:
    view = view_of(study, front)
    return {
        "target": front.target,
        "members": [number[d.id] for d in members(study, front)] if front.target == EVERYWHERE else None,
        "front": [number[d.id] for d in front.designs],
        "contenders": sorted(number[d.id] for d in front.contenders),
        "knee": number.get(front.knee or ""),
        "log": view.log,
        "x": [json_number(x, 6) for x in view.x],
        "y": [json_number(y, 6) for y in view.y],
        "capacity": view.capacity,
    }


def _layer_tables(
    study: Study, designs: Sequence[DesignPoint], number: Mapping[str, int], limit: int
) -> dict[str, Any]:
    """Per-layer tables as lists of column numbers; designs nearest to a front come first while there is room."""
    near: dict[int, None] = {}
    for group in ([f.designs for f in study.fronts], [f.contenders for f in study.fronts]):
        near.update((number[d.id], None) for group_designs in group for d in group_designs)
    near.update((i, None) for i in sorted(range(len(designs)), key=lambda i: (-designs[i].metric, i)))
    columns, names = Pool(), Pool()
    tables: list[list[int] | None] = [None] * len(designs)
    used = 4 * len(designs)
    for i in near:
        before = len(columns.items)
        table = [
            part for name, cells in _layer_columns(designs[i].layers) for part in (names.of(name), columns.of(cells))
        ]
        used += sum(len(text) + 1 for text in columns.items[before:]) + 6 * len(table)
        if used > limit:
            break
        tables[i] = table
    return {"names": names.items, "columns": [json.loads(text) for text in columns.items], "tables": tables}


def _layer_columns(layers: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    names = dict.fromkeys(key for layer in layers for key in layer)
    for name in names:
        yield name, json.dumps([_cell(layer.get(name)) for layer in layers], separators=(",", ":"))


def _cell(value: Any) -> str | float | int | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " × ".join(_plain(item) for item in value)
    return json_number(value)


def _plain(value: Any) -> str:
    return quantity(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def json_number(value: float, digits: int = 4) -> float | int | str | None:
    """Rounded to significant digits; whole numbers without a point; infinities as text, since JSON has none."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    rounded = float(f"{value:.{digits}g}") if abs(value) < 10**digits or value % 1 else float(round(value))
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
