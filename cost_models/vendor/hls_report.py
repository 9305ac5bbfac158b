"""C-synthesis reports of Vivado HLS and Vitis HLS: `csynth.xml` and the text beside it.

Layout: UG1399 (Vitis HLS) and UG902 (Vivado HLS), chapters on reports. They are estimates made before logic synthesis.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hwsim.core.errors import InputError
from hwsim.cost_models.vendor.reports import ReportRow, number


def csynth_xml(text: str, where: str) -> ReportRow:
    """The top function of `*_csynth.xml`."""
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise InputError("entities are not read", where=where, hint="a csynth.xml of the tool has none")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError("not well-formed XML", where=where, hint=str(error)) from None

    def count(*tags: str) -> float | None:
        found = (root.findtext(f"./AreaEstimates/Resources/{tag}") for tag in tags)
        values = [number(value, where) for value in found if value is not None]
        return values[0] if values else None

    period = root.findtext("./PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod")
    name = root.findtext("./UserAssignments/TopModelName") or "top"
    return _row(name, count("LUT"), count("FF"), count("DSP", "DSP48E"), count("BRAM_18K"), period, where)


def csynth_text(text: str, where: str) -> ReportRow:
    """The function that a `*_csynth.rpt` is about: the line `Total` of its utilization estimates."""
    found = re.search(r"Report for '([^']+)'", text)
    heading: list[str] = []
    for line in text[text.index("Utilization Estimates") :].splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if cells[0] == "Name" and "LUT" in cells:
            heading = cells
        elif heading and cells[0] == "Total" and len(cells) == len(heading):
            values = {k: v for k, v in zip(heading, cells, strict=True) if v != "-"}
            lut, ff, dsp, old_dsp, bram18 = (
                number(values[name], where) if name in values else None
                for name in ("LUT", "FF", "DSP", "DSP48E", "BRAM_18K")
            )
            period = re.search(r"^\s*\|\s*ap_clk\s*\|[^|]*\|\s*([\d.]+)", text, re.MULTILINE)
            name = found.group(1) if found else "top"
            clock = period.group(1) if period else None
            return _row(name, lut, ff, old_dsp if dsp is None else dsp, bram18, clock, where)
    raise InputError("no line `Total`", where=where, hint="the table below `== Utilization Estimates`")


def _row(
    name: str,
    lut: float | None,
    ff: float | None,
    dsp: float | None,
    bram18: float | None,
    period_ns: str | None,
    where: str,
) -> ReportRow:
    if lut is None:
        raise InputError("no LUT count", where=where)
    period = number(period_ns, where) if period_ns else 0.0
    return ReportRow(name, lut, ff, dsp, bram18, 1e3 / period if period > 0 else None, "hls", "hls")
