"""Whole layers and small networks: predicted as the sum of their units, against Yosys.

    python -m hwsim.cost_models.layer_errors [--synthesise]

prints one line a design of `rtl.layer_designs` and renews `data/layer_errors.json`; `--synthesise` first synthesises
those that `data/layers.csv` does not have, each alone and flattened. No surface and no law was fitted to them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import median

from hwsim.cost_models.composed import Priced, composed
from hwsim.cost_models.rtl.layer_designs import LayerDesign, layer_designs
from hwsim.cost_models.synthesis.batch import synthesise
from hwsim.cost_models.synthesis.table import Row, key_of, merged, read_table, row_of, write_table
from hwsim.cost_models.synthesis.yosys import FLOWS, Flow, find_yosys
from hwsim.cost_models.trust import SUMMARY
from hwsim.stats import conformal_quantile

FILE = Path(__file__).parent / "data" / "layers.csv"
COVERAGE = 0.9
LIMIT_S = 3600.0  # of one run of Yosys


@dataclass(frozen=True, slots=True)
class LayerError:
    """One design.

    Attributes
    ----------
    predicted : the sum over its units.
    lut, ff, dsp, bram18 : synthesised; `lut` counts LUT sites of all kinds.
    """

    label: str
    predicted: Priced
    lut: int
    ff: int
    dsp: int
    bram18: int

    def share(self, resource: str) -> float:
        """Predicted over synthesised, less one; 0 where both are zero."""
        mine, theirs = getattr(self.predicted.counts, resource), getattr(self, resource)
        return 0.0 if mine == theirs else float(mine / theirs - 1) if theirs else float("inf")

    @property
    def beyond(self) -> float:
        """By which log of a ratio the synthesised LUTs lie outside what the units' intervals add up to."""
        return max(0.0, log(self.lut / self.predicted.high), log(self.predicted.low / self.lut))


def flow_of(design: LayerDesign) -> Flow:
    """DSPs only where the design leaves products to them."""
    return FLOWS["dsp" if any(unit.family == "dsp_mul" for unit, _ in design.unit.parts()) else "base"]


def synthesised(path: Path = FILE) -> None:
    """Synthesise what the table lacks; every design is kept as it ends."""
    yosys = find_yosys()
    rows = read_table(path)
    for design in layer_designs():
        flow = flow_of(design)
        key = key_of(design.unit, flow.options, yosys.tool)
        if key in {row.key for row in rows}:
            continue
        sys.stderr.write(f"synthesising {design.label}\n")
        cells = synthesise(yosys, flow, [design.unit], LIMIT_S)[design.unit.name]
        rows = merged(rows, [row_of(design.unit, flow, yosys.tool, cells, 0.0)])
        write_table(path, rows)


def layer_errors(path: Path = FILE) -> list[LayerError]:
    """All designs of the table, in the order of `layer_designs`."""
    known: dict[str, Row] = {row.key: row for row in read_table(path)}
    tools = {row.tool for row in known.values()}
    found = []
    for design in layer_designs():
        keys = [key_of(design.unit, flow_of(design).options, tool) for tool in tools]
        cells = next((known[key].cells for key in keys if key in known), None)
        if cells is not None:
            sites = cells.lut + cells.lutram + cells.srl
            predicted = composed(design.unit.parts())
            found.append(LayerError(design.label, predicted, sites, cells.ff, cells.dsp, cells.bram18))
    return found


def summary(errors: Sequence[LayerError]) -> dict[str, float]:
    """How many designs, and median and worst of |predicted / synthesised - 1| of LUTs and flip-flops.

    `lut_factor` is what the ends of the sum of units have to be divided and multiplied by to hold `COVERAGE` of new
    designs (conformal); `lut_held` the share of designs that the factor from all others holds.
    """
    lut, ff = ([abs(e.share(name)) for e in errors] for name in ("lut", "ff"))
    found = {"lut_median": median(lut), "lut_worst": max(lut), "ff_median": median(ff), "ff_worst": max(ff)}
    found["lut_factor"] = exp(conformal_quantile([e.beyond for e in errors], COVERAGE))
    found["lut_held"] = sum(held_by_others(errors)) / len(errors)
    return {"designs": len(errors), **{name: round(value, 4) for name, value in found.items()}}


def held_by_others(errors: Sequence[LayerError]) -> list[bool]:
    """Whether the interval of each design, with the factor that all other designs ask for, holds it."""
    beyond = [e.beyond for e in errors]
    return [score <= conformal_quantile(beyond[:i] + beyond[i + 1 :], COVERAGE) for i, score in enumerate(beyond)]


def main() -> None:
    parser = argparse.ArgumentParser(description="predicted and synthesised resources of whole layers")
    parser.add_argument("--synthesise", action="store_true", help="synthesise designs that the table lacks")
    if parser.parse_args().synthesise:
        synthesised()
    errors = layer_errors()
    found = summary(errors)
    print(f"{'design':48s} {'LUT':>15s} {'%':>6s} {'90 %':>4s} {'FF':>15s} {'%':>6s} {'DSP':>9s} {'BRAM18':>9s}")
    for e, held in zip(errors, held_by_others(errors), strict=True):
        c = e.predicted.counts
        print(
            f"{e.label:48s} {c.lut:7.0f}/{e.lut:7d} {100 * e.share('lut'):+6.1f} {'in' if held else 'out':>4s} "
            f"{c.ff:7.0f}/{e.ff:7d} {100 * e.share('ff'):+6.1f} {c.dsp:4.0f}/{e.dsp:4d} {c.bram18:4.0f}/{e.bram18:4d}"
        )
    print(", ".join(f"{name} {value:g}" for name, value in found.items()))
    SUMMARY.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
