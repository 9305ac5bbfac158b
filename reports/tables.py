"""The machine-readable tables of a run: `designs.csv` and `front.json`."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hwsim.core.design import DesignPoint
from hwsim.core.fronts import canonical_order
from hwsim.reports.atomic import write_atomic
from hwsim.reports.study import Study

COLUMNS = (
    *("id", "weights", "acts", "edge", "scale", "recipe", "seed", "part", "device", "setting"),
    *("metric", "metric_lo", "metric_hi", "memory_bits"),
    *("lut", "lut_lo", "lut_hi", "ff", "ff_lo", "ff_hi", "dsp", "dsp_lo", "dsp_hi"),
    *("bram18", "bram18_lo", "bram18_hi", "latency_us", "latency_us_lo", "latency_us_hi"),
    *("fits", "fill", "note"),
)
"""The columns of `designs.csv`, in order."""


def designs_csv(designs: Iterable[DesignPoint]) -> str:
    """All designs as RFC 4180 CSV (CRLF), a row each in canonical order; what a target does not have is left empty.

    Floats are written with the fewest digits that read back as the same float.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for design in canonical_order(designs):
        row = design.as_row()
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return stream.getvalue()


def front_json(study: Study) -> str:
    """The fronts by id, and each design on a front once as a row, as JSON text."""
    rows: dict[str, dict[str, Any]] = {}
    for front in study.fronts:
        for design in front.designs:
            rows.setdefault(design.id, {name: _strict(value) for name, value in design.as_row().items()})
    fronts = [
        {
            "target": front.target,
            "objectives": list(front.objectives),
            "hypervolume": front.hypervolume,
            "knee": front.knee,
            "ids": [design.id for design in front.designs],
        }
        for front in study.fronts
    ]
    return json.dumps({"fronts": fronts, "front": list(rows.values())}, indent=1, allow_nan=False) + "\n"


def write_tables(study: Study, folder: Path) -> tuple[Path, Path]:
    """Write `designs.csv` and `front.json` into a folder; each file appears whole or not at all."""
    table = write_atomic(folder / "designs.csv", designs_csv(study.designs))
    return table, write_atomic(folder / "front.json", front_json(study))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def _strict(value: Any) -> Any:
    """JSON has no infinities and no NaN: they become null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
