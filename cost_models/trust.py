"""In words: how far the figures of this room can be trusted, with what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from hwsim.cost_models.bill import Bill
from hwsim.cost_models.residuals import residuals

NAMED_LAYERS = 4
SUMMARY = Path(__file__).parent / "data" / "layer_errors.json"

_MACS = {
    "integer": ("int_mac_su", "int_mac_ss"),
    "minifloat": ("mf_mac",),
    "minifloat x integer": ("mfint_mac",),
    "float accumulation": ("mf_fmac",),
}


def trust_statement() -> str:
    """A paragraph for reports; its figures are those of `data/layer_errors.json` and `data/residuals.json`."""
    known, layers = residuals(), layer_summary()
    ratios = "; ".join(
        f"{name} {' and '.join(f'{known[f].middle:.2f}' for f in families)}" for name, families in _MACS.items()
    )
    rows = sum(known[f].rows for families in _MACS.values() for f in families)
    dense = known["hls_dense_lut"]
    return (
        "Units are priced by fits to open synthesis (Yosys 0.70, UltraScale+) of this project's own Verilog. On "
        f"{layers['designs']:.0f} whole layers and small networks that no fit saw, LUTs were off by "
        f"{100 * layers['lut_median']:.1f} % in the middle and {100 * layers['lut_worst']:.0f} % at worst, "
        f"flip-flops by {100 * layers['ff_worst']:.0f} % at worst. None was placed: what a vendor's tool shares, "
        f"merges or adds is not in them. Other people's units of the same kind took, in the middle of {rows} "
        f"synthesised ones, so many times as many LUTs: {ratios}. Against {dense.rows} vendor C-synthesis reports of "
        "hls4ml dense layers the "
        f"initiation interval, the latency and the DSPs agree (medians {known['hls_dense_ii_cycles'].middle:.2f}, "
        f"{known['hls_dense_latency_cycles'].middle:.2f} and {known['dsp'].middle:.2f} times ours), block RAM is "
        f"{known['bram18'].middle:.2f} times, flip-flops {known['ff'].middle:.2f} times, and LUTs "
        f"{dense.middle:.0f} times ours; such reports are known to overstate LUTs, by how much is not known here "
        "(`hwsim calibrate fpga` learns factors from one's own reports). "
        "The clock is the part's assumed one; its range is the relative speed of formats on two small open families."
    )


def beyond_notes(bills: Mapping[str, Bill]) -> tuple[str, ...]:
    """What to say of layers, by name, with units beyond all that was synthesised; nothing where there are none."""
    found = [f"{name} ({', '.join(bill.outside)})" for name, bill in bills.items() if bill.outside]
    if not found:
        return ()
    more = f" and {len(found) - NAMED_LAYERS} more" if len(found) > NAMED_LAYERS else ""
    named = ", ".join(found[:NAMED_LAYERS])
    return (f"out of domain, beyond all units that were synthesised, so that intervals are guesses: {named}{more}",)


def joined_factor() -> float:
    """How much wider, on either side, a design's interval of LUTs has to be than its units say, to hold nine in ten."""
    return layer_summary()["lut_factor"]


@cache
def layer_summary() -> dict[str, float]:
    """Errors on whole layers, as `layer_errors` wrote them."""
    found: dict[str, float] = json.loads(SUMMARY.read_text())
    return found
