"""In words: how far the figures of this room can be trusted, with what was measured."""

from __future__ import annotations

from hwsim.cost_models.residuals import residuals

_MACS = {
    "integer": ("int_mac_su", "int_mac_ss"),
    "minifloat": ("mf_mac",),
    "minifloat x integer": ("mfint_mac",),
    "float accumulation": ("mf_fmac",),
}


def trust_statement() -> str:
    """A paragraph for reports; its figures are those of `data/residuals.json`."""
    known = residuals()
    errors = "; ".join(
        f"{name} {' and '.join(f'{100 * known[f].median_abs_error:.0f} %' for f in families)}"
        for name, families in _MACS.items()
    )
    covered = [known[f].coverage for families in _MACS.values() for f in families]
    rates = [rate for rate in covered if rate is not None]
    rows = sum(known[f].rows for families in _MACS.values() for f in families)
    dense = known["hls_dense_lut"]
    return (
        "Formulas, not fitted to synthesis. Median error in LUTs against open synthesis of single "
        f"multiply-accumulate units ({rows} units, Yosys 0.70, UltraScale+): {errors}. LUT intervals are these "
        f"errors; on units left out they held {100 * min(rates):.0f} to {100 * max(rates):.0f} %, and on whole "
        "networks they were never compared with a placed design: control, routing and what a vendor's tool shares or "
        f"merges are not in them. Against {dense.rows} vendor C-synthesis reports of hls4ml dense layers the "
        f"initiation interval, the latency and the DSPs agree (medians {known['hls_dense_ii_cycles'].middle:.2f}, "
        f"{known['hls_dense_latency_cycles'].middle:.2f} and {known['dsp'].middle:.2f} times ours), block RAM is "
        f"{known['bram18'].middle:.2f} times, flip-flops {known['ff'].middle:.2f} times, and LUTs "
        f"{dense.middle:.0f} times ours; such reports are known to overstate LUTs, by how much is not known here. "
        "The clock is the part's assumed one; its range is the relative speed of formats on two small open families."
    )
