"""Many units in one run of Yosys, whose start takes longer than a small unit.

A module around them has one instance of each and all their ports. Units are kept as modules of their own and
everything inside a unit is flattened into it, which gives the cells that a run with the unit alone gives.
"""

from __future__ import annotations

import json
import re
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
from hwsim.cost_models.synthesis.table import Row, row_of
from hwsim.cost_models.synthesis.yosys import Flow, Yosys, YosysError

AROUND = "hwsim_batch"
UNITS_A_BATCH = 40
LIMIT_S, LIMIT_PER_UNIT_S = 300.0, 15.0  # a run that takes longer is ended, and its batch split
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_MODULE = re.compile(r"(?:\(\*[^)]*?\*\)\s*)*\bmodule\s+(\w+).*?\bendmodule\b", re.DOTALL)

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
    units : with names of their own.
    synthesiser : cells by unit name; raises YosysError or UnsupportedError where one of its units is at fault.
    """
    for batch in batches(units, size):
        rows: list[Row] = []
        refused: list[Refusal] = []
        _divide(batch, flow, tool, synthesiser, rows, refused)
        yield Outcome(tuple(rows), tuple(refused))


def batches(units: Sequence[Unit], size: int) -> Iterator[list[Unit]]:
    """Units in order, at most `size` together.

    None are together that disagree about a module, or of which one is a part of another: a unit stays a module of its
    own, so that its cells would be missing where it is a part.
    """
    batch: list[Unit] = []
    known: dict[str, str] = {}
    tops: set[str] = set()
    for unit in units:
        own = modules_of(unit.verilog())
        differs = any(known.get(name, text) != text for name, text in own.items())
        nested = unit.name in known or any(name in tops for name in own)
        if len(batch) == size or differs or nested:
            yield batch
            batch, known, tops = [], {}, set()
        batch.append(unit)
        known |= own
        tops.add(unit.name)
    if batch:
        yield batch


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
        modules = {name: text for unit in units for name, text in modules_of(unit.verilog()).items()}
        (folder / "units.v").write_text("\n".join([*modules.values(), around(units)]), encoding="utf-8")
        yosys.run(script(flow, units), folder, limit_s or LIMIT_S + LIMIT_PER_UNIT_S * len(units))
        return read_stat((folder / "stat.json").read_text(encoding="utf-8"), [unit.name for unit in units])


def script(flow: Flow, units: Sequence[Unit]) -> str:
    """The Yosys script. `-flatten` stops at modules with `keep_hierarchy`."""
    lines = ["read_verilog units.v"]
    lines += [f"setattr -mod -set keep_hierarchy 1 {unit.name}" for unit in units]
    return "\n".join(
        [*lines, f"synth_xilinx {flow.options} -flatten -top {AROUND}", "tee -q -o stat.json stat -json\n"]
    )


def around(units: Sequence[Unit]) -> str:
    """The module that holds an instance of each unit, with every port led outside."""
    ports, instances = ["input clk"], []
    for index, unit in enumerate(units):
        wired = [".clk(clk)"] if unit.clocked else []
        for direction, group in (("input", unit.inputs), ("output", unit.outputs)):
            ports += [f"{direction} [{port.bits - 1}:0] u{index}_{port.name}" for port in group]
            wired += [f".{port.name}(u{index}_{port.name})" for port in group]
        instances.append(f"  {unit.name} u{index}({', '.join(wired)});")
    return f"module {AROUND}(\n  " + ",\n  ".join(ports) + "\n);\n" + "\n".join(instances) + "\nendmodule\n"


def modules_of(verilog: str) -> dict[str, str]:
    """The text of each module by its name, without comments."""
    return {found.group(1): found.group(0) for found in _MODULE.finditer(_COMMENT.sub("", verilog))}


def read_stat(text: str, names: Sequence[str]) -> dict[str, Cells]:
    """Cells of some modules in what `stat -json` wrote, those of modules that stay whole inside them included.

    Raises
    ------
    UnsupportedError
        Where a module holds cells that are not known, or another one of `names`, which was not flattened for it.
    """
    modules = json.loads(text)["modules"]
    return {name: cells_of(_counts(modules, name, frozenset(names)), name) for name in names}


def _counts(modules: Mapping[str, Any], name: str, apart: frozenset[str]) -> Counter[str]:
    """Cells by type; modules in `apart` count as cells."""
    own = modules[f"\\{name}"]
    found: Counter[str] = Counter()
    for cell, count in (own.get("num_cells_by_type", {}) | own.get("num_submodules_by_type", {})).items():
        if cell in apart or f"\\{cell}" not in modules:
            found[cell] += count
            continue
        for inner, inside in _counts(modules, cell, apart).items():
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
