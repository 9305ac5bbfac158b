"""Many units in one run of Yosys, whose start takes longer than a small unit.

A module around them has one instance of each and all their ports. Units are kept as modules of their own, under names
of their own (`names`), and everything inside a unit is flattened into it, which gives the cells that a run with the
unit alone gives, but for what `names` says.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.core.errors import UnsupportedError
from hwsim.cost_models.rtl.unit import Unit
from hwsim.cost_models.synthesis.cells import Cells, cells_of
from hwsim.cost_models.synthesis.names import own_names, prefix_of
from hwsim.cost_models.synthesis.table import Row, row_of
from hwsim.cost_models.synthesis.yosys import Flow, Yosys, YosysError

AROUND = "hwsim_batch"
UNITS_A_BATCH = 40
LIMIT_S, LIMIT_PER_UNIT_S = 300.0, 15.0  # a run that takes longer is ended, and its batch split

Synthesiser = Callable[[Sequence[Unit]], dict[str, Cells]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A unit that cannot be synthesised, and why."""

    unit: str
    family: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one batch gave."""

    rows: tuple[Row, ...]
    refused: tuple[Refusal, ...]


def run_batches(
    units: Sequence[Unit], flow: Flow, tool: str, synthesiser: Synthesiser, size: int = UNITS_A_BATCH
) -> Iterator[Outcome]:
    """Synthesise units batch by batch; what a batch gave can be kept before the next one starts.

    Parameters
    ----------
    units : no two with the same name.
    synthesiser : cells by unit name; raises YosysError or UnsupportedError where one of its units is at fault.
    """
    for first in range(0, len(units), size):
        rows: list[Row] = []
        refused: list[Refusal] = []
        _divide(units[first : first + size], flow, tool, synthesiser, rows, refused)
        yield Outcome(tuple(rows), tuple(refused))


def synthesise(yosys: Yosys, flow: Flow, units: Sequence[Unit], limit_s: float | None = None) -> dict[str, Cells]:
    """Cells of each unit by name, from one run, which is ended after `limit_s` or what small units need.

    Raises
    ------
    YosysError
        Where Yosys stops.
    UnsupportedError
        Where a unit is mapped to cells that are not known.
    """
    with tempfile.TemporaryDirectory(prefix="hwsim-synth-") as name:
        folder = Path(name)
        for unit in units:
            own = own_names(unit.verilog(), prefix_of(unit))
            (folder / f"{prefix_of(unit)}.v").write_text(own, encoding="utf-8")  # lines are in names too
        (folder / f"{AROUND}.v").write_text(around(units), encoding="utf-8")
        yosys.run(script(flow, units), folder, limit_s or LIMIT_S + LIMIT_PER_UNIT_S * len(units))
        return read_stat((folder / "stat.json").read_text(encoding="utf-8"), units)


def script(flow: Flow, units: Sequence[Unit]) -> str:
    """The Yosys script. `-flatten` stops at modules with `keep_hierarchy`."""
    lines = [f"read_verilog {prefix_of(unit)}.v" for unit in units] + [f"read_verilog {AROUND}.v"]
    lines += [f"setattr -mod -set keep_hierarchy 1 {prefix_of(unit)}{unit.name}" for unit in units]
    return "\n".join(
        [*lines, f"synth_xilinx {flow.options} -flatten -top {AROUND}", "tee -q -o stat.json stat -json\n"]
    )


def around(units: Sequence[Unit]) -> str:
    """The module that holds an instance of each unit, with every port led outside."""
    ports, instances = ["input clk"], []
    for index, unit in enumerate(units):
        prefix = prefix_of(unit)
        wired = [f".{prefix}clk(clk)"] if unit.clocked else []
        for direction, group in (("input", unit.inputs), ("output", unit.outputs)):
            ports += [f"{direction} [{port.bits - 1}:0] u{index}_{port.name}" for port in group]
            wired += [f".{prefix}{port.name}(u{index}_{port.name})" for port in group]
        instances.append(f"  {prefix}{unit.name} u{index}({', '.join(wired)});")
    return f"module {AROUND}(\n  " + ",\n  ".join(ports) + "\n);\n" + "\n".join(instances) + "\nendmodule\n"


def read_stat(text: str, units: Sequence[Unit]) -> dict[str, Cells]:
    """Cells of units by their names in what `stat -json` wrote, those of modules that stay whole inside them included.

    Raises
    ------
    UnsupportedError
        Where a unit holds cells that are not known.
    """
    modules = json.loads(text)["modules"]
    return {unit.name: cells_of(_counts(modules, f"{prefix_of(unit)}{unit.name}"), unit.name) for unit in units}


def _counts(modules: Mapping[str, Any], name: str) -> Counter[str]:
    """Cells by type."""
    own = modules[f"\\{name}"]
    found: Counter[str] = Counter()
    for cell, count in (own.get("num_cells_by_type", {}) | own.get("num_submodules_by_type", {})).items():
        if f"\\{cell}" not in modules:
            found[cell] += count
            continue
        for inner, inside in _counts(modules, cell).items():
            found[inner] += count * inside
    return found


def _divide(
    batch: Sequence[Unit],
    flow: Flow,
    tool: str,
    synthesiser: Synthesiser,
    rows: list[Row],
    refused: list[Refusal],
) -> None:
    """Synthesise a batch; where that fails, its halves, down to the units at fault."""
    start = time.perf_counter()
    try:
        found = synthesiser(batch)
    except (YosysError, UnsupportedError) as error:
        if len(batch) == 1:
            refused.append(Refusal(batch[0].name, batch[0].family, str(error)))
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            _divide(half, flow, tool, synthesiser, rows, refused)
        return
    seconds = (time.perf_counter() - start) / len(batch)
    rows += [row_of(unit, flow, tool, found[unit.name], seconds) for unit in batch]
