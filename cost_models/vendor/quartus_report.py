"""The fitter summary of Quartus (`*.fit.summary`): `name : used / available ( share )`, one a line."""

from __future__ import annotations

from hwsim.core.errors import InputError
from hwsim.cost_models.vendor.reports import ReportRow, number

_LOGIC = {"Logic utilization (in ALMs)": "ALM", "Total logic elements": "LE"}


def fit_summary(text: str, where: str) -> ReportRow:
    """The design; its logic is in ALMs, or in logic elements on devices with 4-input LUTs."""
    fields = {}
    for line in text.splitlines():
        name, colon, value = line.partition(" : ")
        if colon:
            fields[name.strip()] = value.strip()

    def count(*names: str) -> float | None:
        found = [fields[n] for n in names if n in fields]
        return number(found[0].split("/")[0], where) if found else None

    logic = next((name for name in _LOGIC if name in fields), None)
    if logic is None:
        raise InputError("no line of logic", where=where, hint=f"lines looked for: {', '.join(_LOGIC)}")
    return ReportRow(
        fields.get("Top-level Entity Name", "top"),
        count(logic),
        count("Total registers"),
        count("Total DSP Blocks", "Embedded Multiplier 9-bit elements"),
        count("Total RAM Blocks"),
        None,
        "post_route",
        "quartus",
        _LOGIC[logic],
    )
