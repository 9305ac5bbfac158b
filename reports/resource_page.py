"""The resource page of one design: one HTML file without scripts that works offline and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwsim.reports.atomic import write_atomic
from hwsim.reports.resources import Resources, cost_blocks, heat_rows, trade_rows
from hwsim.reports.templates import FOLDER, template
from hwsim.reports.words import NBSP, quantity


def write_resource_page(resources: Resources, path: Path) -> Path:
    """Write the page, whole or not at all; equal resources give equal bytes."""
    return write_atomic(path, render_resource_page(resources))


def render_resource_page(resources: Resources) -> str:
    """The page as text; every text is escaped."""
    from markupsafe import Markup

    cost = resources.cost
    why = cost.explain()
    return template("resource_page.html.j2", {"quantity": quantity}).render(
        name=resources.name,
        cost=cost,
        sentences=why.sentences,
        figures=[_figure(name, value) for name, value in cost.intervals.items()],
        blocks=cost_blocks(resources),
        trade=trade_rows(resources.policies),
        macs=resources.macs,
        heat=heat_rows(resources.macs) if resources.macs else [],
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
    )


def _figure(name: str, value: Any) -> dict[str, str]:
    ends = "exact" if value.lo == value.hi else f"{quantity(value.lo)} to {quantity(value.hi)}"
    label = {"latency_us": "Latency", "ii_cycles": "An inference every"}.get(name, value.unit)
    unit = {"us": f"{NBSP}µs", "cycles": f"{NBSP}cycles"}.get(value.unit, "")
    return {"name": label, "value": f"{quantity(value.mid, 4)}{unit}", "ends": ends, "stage": value.stage}
