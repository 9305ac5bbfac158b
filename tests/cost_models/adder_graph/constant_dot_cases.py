"""Constant matrices that were synthesised, and what Yosys made of them.

`python constant_dot_cases.py` synthesises those cases of which `constant_dot_yosys.csv`, beside this file, has no row
with the Verilog of today (up to an hour for all).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from hwsim.core.formats import Minifloat, minifloat
from hwsim.cost_models.adder_graph.digits import multiples
from hwsim.cost_models.adder_graph.price import area
from hwsim.cost_models.adder_graph.verilog import ConstantDot
from hwsim.cost_models.rtl.unit import Unit
from hwsim.cost_models.synthesis import FLOWS, Cells, find_yosys, synthesise

FILE = Path(__file__).with_name("constant_dot_yosys.csv")
FIELDS = ("case", "verilog", "lut", "inv", "carry4", "ff", "srl", "tool")
TEXT = ("case", "verilog", "tool")
Shape = tuple[int, int]  # outputs, inputs


@dataclass(frozen=True, slots=True)
class Synthesised:
    """A row: what one case became, `verilog` being the digest of its source."""

    case: str
    verilog: str
    lut: int
    inv: int
    carry4: int
    ff: int
    srl: int
    tool: str


def integers(shape: Shape, bits: int, density: float = 1.0, seed: int = 0) -> np.ndarray:
    """Narrow symmetric integers, all equally likely, some set to zero."""
    rng = np.random.default_rng([seed, *shape, bits, round(100 * density)])
    top = (1 << (bits - 1)) - 1
    return rng.integers(-top, top + 1, shape) * (rng.random(shape) < density)


def floats(shape: Shape, fmt: Minifloat, seed: int = 0) -> np.ndarray:
    """Codes of a minifloat, all equally likely, as multiples of its smallest step."""
    rng = np.random.default_rng([seed, *shape, fmt.exponent, fmt.mantissa])
    return multiples(rng.integers(0, 1 << fmt.bits, shape), fmt)


def pairs() -> dict[str, ConstantDot]:
    """One adder or two, of all kinds of operands."""
    found = {}
    for weights in (
        [1, 1],
        [1, 8],
        [1, -1],
        [1, -8],
        [8, -1],
        [-1, 0],
        [1, 4],
        [-4, 1],
        [3, 0],
        [7, 0],
        [16, -1],
        [-1, -1],
    ):
        for ranges in (
            ((-8, 7), (-8, 7)),
            ((0, 15), (0, 15)),
            ((-8, 7), (0, 7)),
            ((0, 7), (-16, 15)),
            ((-128, 127), (-3, 9)),
        ):
            found[f"{weights[0]} x0 + {weights[1]} x1, {ranges[0]}, {ranges[1]}"] = ConstantDot(
                (tuple(weights),), ranges
            )
    return found


def matrices() -> dict[str, ConstantDot]:
    """Layers by name: shape (inputs x outputs), weights, activations."""
    found = {}
    for bits in (3, 4, 6, 8):
        found[f"16x32 int{bits} x int{bits}"] = ConstantDot.of(integers((32, 16), bits), bits, True)
    for bits in (4, 6):
        found[f"16x32 int{bits} x uint{bits}"] = ConstantDot.of(integers((32, 16), bits), bits, False)
    for density in (0.5, 0.3, 0.1):
        name = f"32x16 int6, {density:.0%} nonzero, x"
        found[f"{name} uint6"] = ConstantDot.of(integers((16, 32), 6, density), 6, False)
        found[f"{name} int8"] = ConstantDot.of(integers((16, 32), 6, density), 8, True)
    for exponent, mantissa, acts in ((2, 1, 5), (3, 2, 6), (4, 3, 8)):
        weights = floats((16, 16), minifloat(exponent, mantissa))
        for signed in (True, False):
            name = f"16x16 e{exponent}m{mantissa} x {'' if signed else 'u'}int{acts}"
            found[name] = ConstantDot.of(weights, acts, signed)
    for shape in ((5, 16), (16, 5), (8, 8), (1, 32), (32, 1)):
        for bits in (4, 8):
            name = f"{shape[1]}x{shape[0]} int{bits} x"
            found[f"{name} int{bits}"] = ConstantDot.of(integers(shape, bits), bits, True)
            found[f"{name} uint{bits}"] = ConstantDot.of(integers(shape, bits), bits, False)
    for levels in (1, 2, 3):
        found[f"16x16 int4 x int4, register every {levels}"] = ConstantDot.of(integers((16, 16), 4), 4, True, levels)
        found[f"16x8 int6 x uint6, register every {levels}"] = ConstantDot.of(integers((8, 16), 6), 6, False, levels)
    return found


def cases() -> dict[str, ConstantDot]:
    return pairs() | matrices()


def digest(unit: Unit) -> str:
    return sha256(unit.verilog().encode()).hexdigest()[:16]


def read() -> dict[str, Synthesised]:
    """The rows of the file, by case; none where it was not made yet."""
    if not FILE.exists():
        return {}
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = [Synthesised(*(r[f] if f in TEXT else int(r[f]) for f in FIELDS)) for r in csv.DictReader(file)]  # type: ignore[arg-type]
    return {row.case: row for row in rows}


def write(rows: dict[str, Synthesised]) -> None:
    """The file, in the order of the cases."""
    with FILE.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FIELDS)
        table.writerows([getattr(rows[name], f) for f in FIELDS] for name in cases() if name in rows)


def measured(unit: Unit, case: str, cells: Cells, tool: str) -> Synthesised:
    return Synthesised(case, digest(unit), cells.lut, cells.inv, cells.carry4, cells.ff, cells.srl, tool)


def main() -> None:
    yosys, flow = find_yosys(), FLOWS["base"]
    rows = read() if FILE.exists() else {}
    stale = {name: unit for name, unit in cases().items() if name not in rows or rows[name].verilog != digest(unit)}
    small = {name: unit for name, unit in stale.items() if area(unit.graph).lut <= 500}
    for group in (small, *({name: unit} for name, unit in stale.items() if name not in small)):
        if group:
            found = synthesise(yosys, flow, list(group.values()))
            rows |= {name: measured(unit, name, found[unit.name], yosys.tool) for name, unit in group.items()}
            write(rows)


if __name__ == "__main__":
    main()
