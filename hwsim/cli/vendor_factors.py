"""`hwsim calibrate fpga REPORT..`: factors between estimates and what a vendor's tool counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.cli.held_out import cached, percent, summary
from hwsim.cli.output import table
from hwsim.core.errors import InputError

if TYPE_CHECKING:
    from hwsim.cost_models.vendor import ReportRow
    from hwsim.cost_models.vendor.estimates import Estimate


def to_reports(
    files: Sequence[Path], documents: Sequence[Path], units: Path | None, stage: str | None, out: Path | None
) -> dict[str, Any]:
    """Match reports to estimates, derive factors, write them; the document that says so."""
    from hwsim.cost_models.vendor import fit_calibration, read_report
    from hwsim.cost_models.vendor.calibration import one_stage, scale_errors, write_calibration
    from hwsim.cost_models.vendor.estimates import match, nothing_matched, read_estimates, unit_estimates

    rows: list[tuple[str, ReportRow]] = [(str(path), row) for path in files for row in read_report(path)]
    rows = one_stage(rows, stage)
    estimates: list[Estimate] = [e for path in documents for e in read_estimates(path)]
    if units is not None and not is_table(units):
        raise InputError("not a table of synthesised units", where=str(units), hint="a table that `hwsim synth` wrote")
    estimates += unit_estimates((row for _, row in rows), units)
    found = match(rows, estimates)
    if not found.pairs:
        raise nothing_matched(found.unmatched, estimates)
    unmatched = set(found.unmatched)
    calibration = fit_calibration([row for where, row in rows if (where, row.design) not in unmatched], found.pairs)
    target = out or cached("calibration", f"{calibration.tool}-{calibration.stage}.json")
    write_calibration(target, calibration)
    for where, design in found.unmatched:
        sys.stderr.write(f"calibrate: {where}: no estimate of {design!r}, left out\n")
    errors = {w: {n: summary(v) for n, v in part.items()} for w, part in scale_errors(found.pairs).items()}
    known = calibration.as_dict()
    return {
        "rows": len(found.pairs),
        "error": errors,
        "scales": known["scales"],
        "held": known["held"],
        "unmatched": [{"file": where, "design": design} for where, design in found.unmatched],
        "tool": calibration.tool,
        "stage": calibration.stage,
        "logic_unit": calibration.logic_unit,
        "calibration": str(target),
    }


def is_table(path: Path) -> bool:
    """Whether the first line is that of a table of synthesised units."""
    from hwsim.cost_models.synthesis.table import HEADER

    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(4096).strip() == ",".join(HEADER)
    except OSError as error:
        hint = "a table that `hwsim synth` wrote, or a report of a vendor's tool"
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from None


def report_lines(document: dict[str, Any]) -> Iterator[str]:
    """The document in words."""
    yield f"{document['rows']} designs by {document['tool']} ({document['stage']}): {document['calibration']}"
    yield "reported over estimated: nine new designs in ten lie between low and high; errors in percent, of designs"
    yield "left out: median (90 % of designs below)"
    rows = []
    for name, scale in document["scales"].items():
        before, after = (percent(document["error"][when].get(name)) for when in ("before", "after"))
        factors = (f"{scale[key]:.2f}" for key in ("factor", "low", "high"))
        rows.append((name, scale["rows"], *factors, scale["outliers"], before, after))
    yield from table(("resource", "designs", "factor", "low", "high", "outliers", "before", "after"), rows)
    if document["logic_unit"] != "LUT":
        yield f"note: lut is counted in {document['logic_unit']}"
    yield f"use it: hwsim cost .. --calibration {document['calibration']}"
