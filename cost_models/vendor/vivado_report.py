"""Vivado's `report_utilization`: tables between bars, flat (a site type a row) or hierarchical (an instance a row).

Layout: UG906, chapter on the utilization report, and UG835, `report_utilization`; column and row names changed with
device family and version, so rows are found by name and columns by heading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hwsim.core.cost import Stage
from hwsim.core.errors import InputError
from hwsim.cost_models.vendor.reports import ReportRow, number

_LUT_ROWS = ("CLB LUTs", "Slice LUTs")
_FF_ROWS = ("CLB Registers", "Slice Registers")
_DSP_ROWS = ("DSPs", "DSP Slices")
_BRAM_ROWS = ("Block RAM Tile",)


def utilization(text: str, where: str) -> ReportRow:
    """The whole design from the flat report."""
    used: dict[str, float] = {}
    column = None
    for cells in _tables(text):
        if cells[0] == "Site Type" and "Used" in cells:
            column = cells.index("Used")
        elif column is not None and column < len(cells):
            name = cells[0].rstrip("*").strip()
            if name not in used and re.fullmatch(r"[\d,.<]+", cells[column]):
                used[name] = number(cells[column], where)
    lut = _first(used, _LUT_ROWS)
    if lut is None:
        raise InputError("no row of LUTs", where=where, hint=f"rows looked for: {', '.join(_LUT_ROWS)}")
    tiles = _first(used, _BRAM_ROWS)
    bram18 = None if tiles is None else 2 * tiles
    ff, dsp = _first(used, _FF_ROWS), _first(used, _DSP_ROWS)
    return ReportRow(_field(text, "Design") or "top", lut, ff, dsp, bram18, None, _stage(text), "vivado")


def hierarchy(text: str, where: str) -> tuple[ReportRow, ...]:
    """One row an instance; names are paths from the top, rows of an instance's own logic end in `(own)`."""
    rows: list[ReportRow] = []
    heading: list[str] = []
    path: list[str] = []
    stage = _stage(text)
    for line in text.splitlines():
        if not line.lstrip().startswith("|"):
            continue
        raw = line.strip().strip("|").split("|")
        cells = [c.strip() for c in raw]
        if cells[0] == "Instance" and "Total LUTs" in cells:
            heading = cells
        elif heading and len(cells) == len(heading):
            values = dict(zip(heading, cells, strict=True))
            depth = (len(raw[0]) - len(raw[0].lstrip()) - 1) // 2
            own = cells[0].startswith("(")
            path = [*path[:depth], cells[0].strip("()")]
            name = "/".join(path[:-1] if own else path) + (" (own)" if own else "")
            rows.append(_instance(name, values, stage, where))
    if not rows:
        raise InputError("no instances", where=where, hint="report_utilization -hierarchical")
    return tuple(rows)


def _instance(name: str, values: Mapping[str, str], stage: Stage, where: str) -> ReportRow:
    def count(*columns: str) -> float | None:
        found = [values[c] for c in columns if c in values]
        return number(found[0], where) if found else None

    wide, narrow = count("RAMB36"), count("RAMB18")
    bram18 = None if wide is None and narrow is None else 2 * (wide or 0.0) + (narrow or 0.0)
    dsp = count("DSP Blocks", "DSP48 Blocks", "DSP Slices")
    return ReportRow(name, count("Total LUTs"), count("FFs"), dsp, bram18, None, stage, "vivado")


def _tables(text: str) -> list[list[str]]:
    lines = (line.strip() for line in text.splitlines())
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def _first(used: Mapping[str, float], names: tuple[str, ...]) -> float | None:
    return next((used[name] for name in names if name in used), None)


def _field(text: str, name: str) -> str | None:
    """A line of the head: `| Design       : top`."""
    found = re.search(rf"^\|\s*{name}\s*:\s*(\S.*?)\s*\|?\s*$", text, re.MULTILINE)
    return found.group(1) if found else None


def _stage(text: str) -> Stage:
    state = (_field(text, "Design State") or "").lower()
    return "post_route" if "rout" in state or "placed" in state else "synthesis"
