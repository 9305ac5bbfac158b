"""A stream unit in Icarus Verilog: words go in whenever it is ready, and the cycle of every word is noted."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwsim.cost_models.rtl.simulation import icarus, run_icarus
from hwsim.cost_models.rtl.stream import StreamUnit
from hwsim.cost_models.rtl.structure import distinct_modules


@dataclass(frozen=True, slots=True)
class StreamRun:
    """What a simulation gave.

    Attributes
    ----------
    words : that came out; None where the simulator gives unknown bits.
    taken, given : the cycle of every word that went in, and that came out.
    """

    words: tuple[int | None, ...]
    taken: tuple[int, ...]
    given: tuple[int, ...]

    def latency(self, words_out: int) -> int:
        """Cycles from the first word in to the last word out of the first inference, both included."""
        return self.given[words_out - 1] - self.taken[0] + 1

    def interval(self, words_out: int) -> int:
        """Cycles between the ends of the last two inferences."""
        return self.given[-1] - self.given[-1 - words_out]


def run_stream(
    unit: StreamUnit,
    words: Sequence[int],
    count: int,
    valid_percent: int = 100,
    ready_percent: int = 100,
    seed: int = 1,
    limit: int = 200_000,
) -> StreamRun:
    """Simulate until `count` words have come out, or `limit` cycles.

    Parameters
    ----------
    valid_percent, ready_percent : chance of a cycle that a word stands at the input, and that one can leave.

    Raises
    ------
    MissingToolError
        Without Icarus Verilog.
    RuntimeError
        Where the Verilog does not compile or does not run: a defect of the unit.
    """
    compiler = icarus()
    with tempfile.TemporaryDirectory(prefix="hwsim-rtl-") as name:
        folder = Path(name)
        (folder / "in.hex").write_text("\n".join(f"{word:x}" for word in words) + "\n")
        bench = _bench(unit, len(words), count, (valid_percent, ready_percent), seed, limit)
        (folder / "all.v").write_text("`timescale 1ns/1ps\n" + distinct_modules([unit.verilog(), bench]))
        command = [compiler, "-g2005", "-o", "all.vvp", "-s", "bench", "all.v"]
        run_icarus(command, folder, unit.name)
        return _read((folder / "out.txt").read_text())


def _bench(unit: StreamUnit, words: int, count: int, percent: tuple[int, int], seed: int, limit: int) -> str:
    idle = "".join(f", .{port.name}({port.bits}'d0)" for port in unit.side_inputs)
    return f"""module bench;
  reg clk, in_valid, out_ready;
  reg [{unit.in_bits - 1}:0] vectors [0:{words - 1}];
  reg [{unit.in_bits - 1}:0] in_data;
  wire in_ready, out_valid;
  wire [{unit.out_bits - 1}:0] out_data;
  integer next, came, cycle, file, seed;
  {unit.name} dut(.clk(clk), .in_data(in_data), .in_valid(in_valid), .out_ready(out_ready),
    .in_ready(in_ready), .out_data(out_data), .out_valid(out_valid){idle});
  initial begin
    clk = 0; next = 0; came = 0; seed = {seed};
    $readmemh("in.hex", vectors);
    file = $fopen("out.txt", "w");
    for (cycle = 0; cycle < {limit} && came < {count}; cycle = cycle + 1) begin
      in_valid = next < {words} && $unsigned($random(seed)) % 100 < {percent[0]};
      in_data = next < {words} ? vectors[next] : 0;
      out_ready = $unsigned($random(seed)) % 100 < {percent[1]};
      #1;
      if (in_valid & in_ready) begin
        $fwrite(file, "in %0d\\n", cycle);
        next = next + 1;
      end
      if (out_valid & out_ready) begin
        $fwrite(file, "out %0d %h\\n", cycle, out_data);
        came = came + 1;
      end
      clk = 1; #1; clk = 0; #1;
    end
    $fclose(file);
  end
endmodule
"""


def _read(text: str) -> StreamRun:
    rows = [line.split() for line in text.splitlines()]
    out = [row for row in rows if row[0] == "out"]
    words = tuple(None if set(row[2]) & set("xz") else int(row[2], 16) for row in out)
    return StreamRun(words, tuple(int(row[1]) for row in rows if row[0] == "in"), tuple(int(row[1]) for row in out))
