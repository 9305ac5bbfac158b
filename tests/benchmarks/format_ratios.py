"""LUTs of minifloat multiply-accumulate units over integer ones of as many bits, both synthesised: table and figure.

    python tests/benchmarks/format_ratios.py [--figure docs/format_ratios.png]

Rows are the units of the shipped table (Yosys, UltraScale+, no DSPs), accumulators with the same guard bits, weights
and activations of the same number of bits. Signed activations are compared with signed integer activations, unsigned
ones (behind a ReLU) with unsigned. `encoded` adds the unit that rounds the accumulator back to the minifloat, where it
was synthesised or by its fit. The band is the published one for Versal with custom compressor trees: Damsgaard et al.,
IEEE TCAD 2025: 1.2 to 2.8 times without conversion, 1.6 to 4.0 times with it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from hwsim.cost_models.composed import price_of
from hwsim.cost_models.synthesis.experiments.integers import SUMMANDS_BITS
from hwsim.cost_models.synthesis.experiments.minifloats import pair_bits
from hwsim.cost_models.synthesis.table import SHIPPED, read_table

PLAIN_BAND, ENCODED_BAND = (1.2, 2.8), (1.6, 4.0)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One pair of formats.

    Attributes
    ----------
    exponent : the larger one of both sides.
    plain, encoded : LUTs over those of the integer unit.
    """

    weights: tuple[int, int]
    acts: tuple[int, int]
    signed: bool
    bits: tuple[int, int]
    exponent: int
    plain: float
    encoded: float


def ratios() -> list[Ratio]:
    """All minifloat pairs of the table whose integer counterpart is in it."""
    rows = [(row, json.loads(row.parameters)) for row in read_table(SHIPPED) if row.flow == "base"]
    integers: dict[tuple[int, int, bool], int] = {}
    for row, p in rows:
        if row.family == "int_mac" and p["acc_bits"] == p["w_bits"] + p["a_bits"] + SUMMANDS_BITS:
            integers[p["w_bits"], p["a_bits"], p["a_signed"]] = row.lut
    found = []
    for row, p in rows:
        if row.family != "minifloat_mac":
            continue
        w, a, signed = (p["ew"], p["mw"]), (p["ea"], p["ma"]), p["a_signed"]
        bits = (1 + sum(w), signed + sum(a))
        rival = integers.get((*bits, signed))
        if rival is None or p["acc_bits"] != pair_bits(w, a, signed) + SUMMANDS_BITS or min(p["ew"], p["ea"]) < 2:
            continue
        encoded = row.lut + _encoder(p)
        found.append(Ratio(w, a, signed, bits, max(p["ew"], p["ea"]), row.lut / rival, encoded / rival))
    return found


def _encoder(p: Mapping[str, Any]) -> float:
    """LUTs of the unit that rounds the accumulator to the activations' format, its range in the middle."""
    span = p["ma"] + (1 << p["ea"]) - 1
    fields = {"in_bits": p["acc_bits"], "drop": max(p["acc_bits"] - span, 1) // 2, "e": p["ea"], "m": p["ma"]}
    return price_of("minifloat_encode", fields | {"signed": p["a_signed"]}).counts.lut


def table(found: list[Ratio]) -> list[tuple[str, str, int, str, str, int, int]]:
    """By largest exponent and sign: pairs, median (least to most) without and with conversion, pairs in the bands."""
    lines = []
    for signed in (True, False):
        for exponent in (2, 3, 4, 5):
            some = [r for r in found if r.signed == signed and r.exponent == exponent]
            if some:
                plain, encoded = [r.plain for r in some], [r.encoded for r in some]
                inside = [
                    sum(lo <= v <= hi for v in values)
                    for values, (lo, hi) in ((plain, PLAIN_BAND), (encoded, ENCODED_BAND))
                ]
                name = "signed" if signed else "unsigned"
                lines.append((f"E{exponent}", name, len(some), _range(plain), _range(encoded), *inside))
    return lines


def _range(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def draw(found: list[Ratio], path: Path) -> None:
    """Ratio by bits of both sides together, one panel without and one with conversion."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    colours = {2: "#0b6e99", 3: "#3a9d5d", 4: "#d98a1f", 5: "#b3402a"}
    for axes, (lo, hi), field, title in (
        (panels[0], PLAIN_BAND, "plain", "accumulator kept in fixed point"),
        (panels[1], ENCODED_BAND, "encoded", "and rounded back to the minifloat"),
    ):
        axes.axhspan(lo, hi, color="#e8e8e8", zorder=0)
        axes.text(25.5, lo * 1.03, f"published: {lo} to {hi}", ha="right", va="bottom", fontsize=8, color="#555555")
        axes.axhline(1, color="black", linewidth=0.8)
        for r in sorted(found, key=lambda r: r.exponent):
            face = colours[r.exponent] if r.signed else "none"
            shift = 0.12 * (r.exponent - 3.5)
            axes.plot(sum(r.bits) + shift, getattr(r, field), "o", ms=4, mfc=face, mec=colours[r.exponent], mew=0.9)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("bits of weight and activation together")
        axes.set_xlim(4, 26)
        axes.set_xticks(range(4, 27, 4))
        axes.set_yscale("log", base=2)
        axes.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("LUTs over an integer MAC of as many bits")
    handles = [
        axes.plot([], [], "o", ms=5, mfc=c, mec=c, label=f"largest exponent {e} bits")[0] for e, c in colours.items()
    ]
    handles += [
        axes.plot([], [], "o", ms=5, mfc=f, mec="#444444", label=f"{n} activations")[0]
        for f, n in (("#444444", "signed"), ("none", "unsigned"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    found = ratios()
    print("exponent  activations  pairs  LUTs over integers    with conversion       in the bands")
    for exponent, signed, count, plain, encoded, inside, inside_encoded in table(found):
        print(f"{exponent:<8}  {signed:<11}  {count:>5}  {plain:<20}  {encoded:<20}  {inside} and {inside_encoded}")
    cheaper = [r for r in found if r.plain < 1]
    print(f"{len(cheaper)} of {len(found)} pairs take fewer LUTs than integers")
    if arguments.figure:
        draw(found, arguments.figure)


if __name__ == "__main__":
    main()
