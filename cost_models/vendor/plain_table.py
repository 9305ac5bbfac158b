"""Counts in a plain table, for tools whose reports are not known.

Columns of the CSV file, in any order and case: `design` (any text, once each) and at least one of `lut`, `ff`, `dsp`,
`bram18` (counts; a 36 Kb block is 2 of `bram18`); optional `clock_mhz` and `stage` (`hls`, `synthesis` or
`post_route`, which is also what is taken without it). An empty cell says that the count is not known. Other columns
are ignored.
"""

from __future__ import annotations

import csv
from io import StringIO
from typing import cast

from hwsim.core.cost import Stage
from hwsim.core.errors import InputError, nearest
from hwsim.cost_models.vendor.reports import RESOURCES, ReportRow, number

_STAGES = ("hls", "synthesis", "post_route")


def plain_table(text: str, where: str) -> tuple[ReportRow, ...]:
    """All rows."""
    try:
        return _rows(csv.DictReader(StringIO(text.lstrip("\ufeff"))), where)
    except csv.Error as error:
        raise InputError(
            f"not a CSV file: {error}", where=where, hint="cells joined by commas, one design a line"
        ) from None


def _rows(reader: csv.DictReader[str], where: str) -> tuple[ReportRow, ...]:
    columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    if "design" not in columns or not set(columns) & set(RESOURCES):
        needed = f"columns: design and at least one of {', '.join(RESOURCES)}"
        raise InputError("columns are missing", where=where, hint=needed)
    found: dict[str, ReportRow] = {}
    for raw in reader:
        here = f"{where}, line {reader.line_num}"
        if None in raw:
            raise InputError("more cells than columns", where=here, hint="put a cell with commas in quotes")
        row = {str(k or "").strip().lower(): v for k, v in raw.items() if isinstance(v, str)}
        name = row.get("design", "").strip()
        if not name or name in found:
            message = "a design without a name" if not name else f"{name!r} appears twice"
            raise InputError(message, where=f"{here}, column design", hint="each design has a name of its own")
        cells = {c: row.get(c, "").strip() for c in (*RESOURCES, "clock_mhz")}
        counts = {c: number(v, f"{here}, column {c}") if v else None for c, v in cells.items()}
        stage = row.get("stage", "").strip() or "post_route"
        if stage not in _STAGES:
            raise InputError(f"stage {stage!r}", where=f"{here}, column stage", hint=nearest(stage, _STAGES))
        found[name] = ReportRow(
            name,
            counts["lut"],
            counts["ff"],
            counts["dsp"],
            counts["bram18"],
            counts["clock_mhz"],
            cast(Stage, stage),
            "table",
        )
    if not found:
        raise InputError("no designs", where=where, hint="a line for each design below the names of columns")
    return tuple(found.values())
