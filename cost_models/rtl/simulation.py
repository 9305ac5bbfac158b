"""RTL simulation of units against what they have to compute, with Icarus Verilog.

Vectors go to the simulator as hexadecimal memory files and its outputs come back as hexadecimal lines; both sides are
integers of any width. All units of one call are compiled together and run in one process.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.core.errors import MissingToolError
from hwsim.cost_models.rtl.structure import distinct_modules
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, as_vectors

LIMIT_S = 900.0  # of one compilation or one simulation
EXHAUSTIVE_BITS = 16  # inputs of at most so many bits together are all tried
ENUMERATED_PORTS = 6  # corners of more ports are drawn: five a port make too many combinations to list


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first vector at which Verilog and numpy differ.

    Attributes
    ----------
    count : of vectors that differ, of `vectors` in all.
    """

    unit: str
    port: str
    vector: int
    inputs: Mapping[str, int]
    expected: int
    simulated: int | None
    count: int
    vectors: int


def icarus() -> str:
    """The compiler of Icarus Verilog.

    Raises
    ------
    MissingToolError
        Where it is not installed.
    """
    found = shutil.which("iverilog")
    if found is None or shutil.which("vvp") is None:
        raise MissingToolError("iverilog is not installed", where="RTL simulation", hint="apt install iverilog")
    return found


def run_icarus(compile_command: Sequence[str], folder: Path, what: str) -> None:
    """Compile and run a simulation in a folder; the compiled program is `all.vvp`.

    Raises
    ------
    RuntimeError
        Where the Verilog does not compile, does not run, or does not end within `LIMIT_S`: a defect of `what`.
    """
    for step in (compile_command, ["vvp", "-n", "all.vvp"]):
        try:
            done = subprocess.run(step, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"Verilog of {what}: {step[0]} did not end within {LIMIT_S:.0f} s") from None
        if done.returncode:
            raise RuntimeError(f"Verilog of {what}: {(done.stderr or done.stdout)[:2000]}")


def tries_all(unit: Unit) -> bool:
    """Whether `stimuli` tries all inputs of a unit."""
    few = sum(port.bits for port in unit.inputs) <= EXHAUSTIVE_BITS
    return few and not unit.clocked and not hasattr(unit, "stimuli")


def stimuli(unit: Unit, vectors: int, seed: int = 0) -> dict[str, Vectors]:
    """Inputs to try: all combinations where a combinational unit has few input bits, else random ones and corners.

    Ports named `clear` or `load` are one at first and then one time in eight. A unit for which some inputs are not
    defined has a method `stimuli` of its own.
    """
    own = getattr(unit, "stimuli", None)
    if own is not None:
        drawn_by_unit: dict[str, Vectors] = own(vectors, seed)
        return drawn_by_unit
    rng = np.random.default_rng(seed)
    if tries_all(unit):
        rows = np.array(list(product(*(range(p.low, p.high + 1) for p in unit.inputs))), dtype=np.int64)
        return {port.name: rows[:, i] for i, port in enumerate(unit.inputs)}
    corners = [[p.low, p.high, 0, min(1, p.high), max(-1, p.low)] for p in unit.inputs]
    if len(corners) <= ENUMERATED_PORTS:
        drawn = list(product(*corners))
        rng.shuffle(drawn)
        drawn = drawn[: vectors // 4]
    else:
        picks = rng.integers(0, 5, (vectors // 4, len(corners)))
        drawn = [tuple(corner[pick] for corner, pick in zip(corners, row, strict=True)) for row in picks]
    found = {}
    for i, port in enumerate(unit.inputs):
        values = [row[i] for row in drawn] + _random(port, vectors - len(drawn), rng)
        found[port.name] = as_vectors(port, values)
        if port.name in ("clear", "load"):
            found[port.name] = (rng.random(vectors) < 1 / 8).astype(np.int64)
            found[port.name][0] = 1
    return found


def _random(port: Port, count: int, rng: np.random.Generator) -> list[int]:
    """Half of them uniform, half of a random number of bits, so that small magnitudes are tried as well."""
    shifts = [int(s) for s in rng.integers(0, port.bits, count) * rng.integers(0, 2, count)]
    return [value >> shift for value, shift in zip(_uniform(port, count, rng), shifts, strict=True)]


def _uniform(port: Port, count: int, rng: np.random.Generator) -> list[int]:
    if port.bits <= 62:
        return [int(v) for v in rng.integers(port.low, port.high, count, endpoint=True)]
    words = rng.bytes(count * ((port.bits + 7) // 8))
    size = len(words) // count
    mask = (1 << port.bits) - 1
    return [(int.from_bytes(words[i * size : (i + 1) * size], "little") & mask) + port.low for i in range(count)]


def simulate(units: Sequence[Unit], inputs: Sequence[Mapping[str, Vectors]]) -> list[dict[str, list[int | None]]]:
    """Outputs of each unit for its inputs; None where the simulator gives unknown bits.

    Raises
    ------
    MissingToolError
        Without Icarus Verilog.
    RuntimeError
        Where the Verilog does not compile: a defect of the unit.
    """
    compiler = icarus()
    with tempfile.TemporaryDirectory(prefix="hwsim-rtl-") as name:
        folder = Path(name)
        sources = []
        for index, (unit, given) in enumerate(zip(units, inputs, strict=True)):
            _write_vectors(folder / f"in{index}.hex", unit, given)
            sources += [unit.verilog(), _bench(index, unit, len(next(iter(given.values()))))]
        (folder / "all.v").write_text("`timescale 1ns/1ps\n" + distinct_modules(sources))
        tops = [word for index in range(len(units)) for word in ("-s", f"bench{index}")]
        command = [compiler, "-g2005", "-o", "all.vvp", *tops, "all.v"]
        run_icarus(command, folder, ", ".join(unit.name for unit in units))
        return [_read_outputs(folder / f"out{index}.hex", unit) for index, unit in enumerate(units)]


def mismatches(units: Sequence[Unit], vectors: int = 2000, seed: int = 0) -> tuple[list[Mismatch], int]:
    """Units whose Verilog differs from `respond`, and how many vectors were compared in all."""
    given = [stimuli(unit, vectors, seed) for unit in units]
    found, compared = [], 0
    for unit, rows, simulated in zip(units, given, simulate(units, given), strict=True):
        expected = unit.respond(rows)
        count = len(next(iter(rows.values())))
        compared += count
        for port in unit.outputs:
            wrong = [i for i in range(count) if simulated[port.name][i] != int(expected[port.name][i])]
            if wrong:
                i = wrong[0]
                found.append(
                    Mismatch(
                        unit.name,
                        port.name,
                        i,
                        {name: int(values[i]) for name, values in rows.items()},
                        int(expected[port.name][i]),
                        simulated[port.name][i],
                        len(wrong),
                        count,
                    )
                )
    return found, compared


def _write_vectors(path: Path, unit: Unit, given: Mapping[str, Vectors]) -> None:
    """One line a vector: all inputs, the first in the highest bits."""
    columns = [[int(v) & ((1 << p.bits) - 1) for v in given[p.name]] for p in unit.inputs]
    lines = []
    for row in zip(*columns, strict=True):
        word = 0
        for port, value in zip(unit.inputs, row, strict=True):
            word = (word << port.bits) | value
        lines.append(f"{word:x}")
    path.write_text("\n".join(lines) + "\n")


def _bench(index: int, unit: Unit, count: int) -> str:
    total = sum(p.bits for p in unit.inputs)
    wires = "\n".join(f"  wire [{p.bits - 1}:0] {p.name};" for p in unit.outputs)
    names = ", ".join(p.name for p in unit.inputs)
    regs = "\n".join(f"  reg [{p.bits - 1}:0] {p.name};" for p in unit.inputs)
    ports = ", ".join(f".{p.name}({p.name})" for p in (*unit.inputs, *unit.outputs))
    clock = ".clk(clk), " if unit.clocked else ""
    edge = "clk = 1; #1;" if unit.clocked else ""
    fall = "clk = 0; #1;" if unit.clocked else ""
    form = " ".join("%h" for _ in unit.outputs)
    shown = ", ".join(p.name for p in unit.outputs)
    return f"""module bench{index};
  reg clk;
  reg [{total - 1}:0] vectors [0:{count - 1}];
{regs}
{wires}
  integer i, file;
  {unit.name} dut({clock}{ports});
  initial begin
    clk = 0;
    $readmemh("in{index}.hex", vectors);
    file = $fopen("out{index}.hex", "w");
    for (i = 0; i < {count}; i = i + 1) begin
      {{{names}}} = vectors[i];
      #1; {edge}
      $fwrite(file, "{form}\\n", {shown});
      {fall}
    end
    $fclose(file);
  end
endmodule
"""


def _read_outputs(path: Path, unit: Unit) -> dict[str, list[int | None]]:
    found: dict[str, list[int | None]] = {port.name: [] for port in unit.outputs}
    for line in path.read_text().splitlines():
        for port, word in zip(unit.outputs, line.split(), strict=True):
            found[port.name].append(_value(word, port))
    return found


def _value(word: str, port: Port) -> Any:
    try:
        value = int(word, 16)
    except ValueError:  # x or z
        return None
    return value - (1 << port.bits) if port.signed and value >> (port.bits - 1) else value
