"""Resource counts that a vendor's tool printed, whatever the tool: one row a design.

`read_report` knows Vivado's `report_utilization` (flat and hierarchical), the C-synthesis reports of Vivado HLS and
Vitis HLS (XML and text), the fitter summary of Quartus, and a plain table with the columns of `plain_table`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.core.cost import Stage
from hwsim.core.errors import InputError

RESOURCES = ("lut", "ff", "dsp", "bram18")


@dataclass(frozen=True, slots=True)
class ReportRow:
    """What one design takes; None where the report does not say.

    Attributes
    ----------
    design : top module, or the path of an instance below it.
    lut : LUTs as logic and as memory; ALMs where `logic_unit` says so.
    ff : registers.
    dsp : DSP blocks.
    bram18 : block RAMs of 18 Kb, a 36 Kb block as two; M10K or M20K blocks of Quartus as they are.
    clock_mhz : of the estimated clock period, or as the table says.
    stage : what the figures are counts of.
    tool : `vivado`, `hls`, `quartus` or `table`.
    """

    design: str
    lut: float | None
    ff: float | None
    dsp: float | None
    bram18: float | None
    clock_mhz: float | None
    stage: Stage
    tool: str
    logic_unit: str = "LUT"

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ReportRow.__slots__}


def read_report(path: Path) -> tuple[ReportRow, ...]:
    """The rows of a report, its kind told from its content.

    Raises
    ------
    InputError
        Where the file is none of the kinds known.
    """
    from hwsim.cost_models.vendor.hls_report import csynth_text, csynth_xml
    from hwsim.cost_models.vendor.plain_table import plain_table
    from hwsim.cost_models.vendor.quartus_report import fit_summary
    from hwsim.cost_models.vendor.vivado_report import hierarchy, utilization

    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError("cannot be read", where=str(path), hint=str(error)) from None
    where = str(path)
    if "<AreaEstimates>" in text:
        return (csynth_xml(text, where),)
    if "Utilization Estimates" in text and "HLS" in text:
        return (csynth_text(text, where),)
    if "Total LUTs" in text and "Instance" in text:
        return hierarchy(text, where)
    if "Site Type" in text:
        return (utilization(text, where),)
    if "Fitter Status" in text:
        return (fit_summary(text, where),)
    if path.suffix.lower() == ".csv":
        return plain_table(text, where)
    raise InputError(
        "not a report that is known",
        where=where,
        hint="known: Vivado report_utilization, HLS csynth.xml or csynth.rpt, Quartus fit.summary, a .csv",
    )


def number(text: str, where: str) -> float:
    """`1,234`, `0.5` or `<0.01` (which counts as 0) as a number.

    Raises
    ------
    InputError
        For anything else, and for what is negative or not finite.
    """
    cleaned = text.replace(",", "").strip()
    if cleaned.startswith("<"):
        return 0.0
    try:
        found = float(cleaned)
    except ValueError:
        raise InputError(f"{text.strip()!r} is not a number", where=where, hint="allowed: 0 and up") from None
    if not 0 <= found < float("inf"):
        raise InputError(f"{text.strip()} is not a count", where=where, hint="allowed: 0 and up")
    return found
