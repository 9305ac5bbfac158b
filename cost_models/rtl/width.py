"""Between streams of different widths: one wide word as several narrow ones, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.stream import (
    StreamModel,
    index_bits,
    pack,
    respond_stream,
    stream_inputs,
    stream_outputs,
    unpack,
)
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, module


@dataclass(frozen=True, slots=True)
class StreamNarrower:
    """A word of `bits` bits as `factor` words, lowest bits first.

    Attributes
    ----------
    lanes : equal pieces of a word, each of which is cut by itself: a narrow word has one cut of every lane. Windows
        whose channels are folded have a lane a position.
    """

    family: ClassVar[str] = "narrower"
    bits: int
    factor: int
    lanes: int = 1

    def __post_init__(self) -> None:
        if self.factor < 2 or self.lanes < 1 or self.bits % (self.factor * self.lanes):
            raise InputError(
                f"{self.bits} bits in {self.lanes} lanes of {self.factor} cuts",
                where="narrower",
                hint="at least two cuts, all of the same width",
            )

    @property
    def name(self) -> str:
        return f"narrower_{self.bits}by{self.factor}_lanes{self.lanes}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def in_bits(self) -> int:
        return self.bits

    @property
    def out_bits(self) -> int:
        return self.bits // self.factor

    @property
    def side_inputs(self) -> tuple[Port, ...]:
        return ()

    @property
    def inputs(self) -> tuple[Port, ...]:
        return stream_inputs(self)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return stream_outputs(self)

    @property
    def cut_bits(self) -> int:
        return self.out_bits // self.lanes

    def verilog(self) -> str:
        lane, cut = self.bits // self.lanes, self.cut_bits
        return module(
            self,
            f"""  reg [{self.bits - 1}:0] held;
  reg [{index_bits(self.factor) - 1}:0] left;
  reg valid;
  initial begin held = 0; left = 0; valid = 0; end
  wire taken = out_ready & valid;
  assign in_ready = !valid | (taken & (left == 0));
  assign out_valid = valid;
  wire load = in_valid & in_ready;
  always @(posedge clk)
    if (load) begin
      valid <= 1;
      left <= {self.factor - 1};
    end else if (taken) begin
      if (left == 0) valid <= 0; else left <= left - 1;
    end
  genvar i;
  generate for (i = 0; i < {self.lanes}; i = i + 1) begin : lane
    assign out_data[i*{cut} +: {cut}] = held[i*{lane} +: {cut}];
    always @(posedge clk) begin
      if (load) held[i*{lane} +: {lane}] <= in_data[i*{lane} +: {lane}];
      else if (taken) held[i*{lane} +: {lane - cut}] <= held[i*{lane}+{cut} +: {lane - cut}];
    end
  end endgenerate
""",
        )

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        return ((self, 1),)

    def model(self) -> StreamModel:
        return _NarrowerModel(self)

    def process(self, words: Sequence[int]) -> list[int]:
        lane = self.factor * self.cut_bits
        found = []
        for word in words:
            lanes = [unpack(piece, self.cut_bits, self.factor) for piece in unpack(word, lane, self.lanes)]
            found += [pack([cuts[i] for cuts in lanes], self.cut_bits) for i in range(self.factor)]
        return found

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return respond_stream(self, inputs)


class _NarrowerModel:
    def __init__(self, unit: StreamNarrower) -> None:
        self.unit = unit
        self.cuts = [0] * unit.factor
        self.at = 0
        self.valid = 0

    def front(self) -> tuple[int, int]:
        return self.valid, self.cuts[self.at]

    def ready(self, out_ready: int) -> int:
        return int(not self.valid or (bool(out_ready) and self.at == len(self.cuts) - 1))

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        if in_valid and self.ready(out_ready):
            self.cuts, self.at, self.valid = self.unit.process([in_data]), 0, 1
        elif out_ready and self.valid:
            if self.at == len(self.cuts) - 1:  # the last cut stays where it is
                self.valid = 0
            else:
                self.at += 1


@dataclass(frozen=True, slots=True)
class StreamWidener:
    """`factor` words of `bits` bits as one word, the first in the lowest bits."""

    family: ClassVar[str] = "widener"
    bits: int
    factor: int

    def __post_init__(self) -> None:
        if self.bits < 1 or self.factor < 2:
            raise InputError(f"{self.factor} words of {self.bits} bits", where="widener", hint="at least two words")

    @property
    def name(self) -> str:
        return f"widener_{self.factor}x{self.bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def in_bits(self) -> int:
        return self.bits

    @property
    def out_bits(self) -> int:
        return self.bits * self.factor

    @property
    def side_inputs(self) -> tuple[Port, ...]:
        return ()

    @property
    def inputs(self) -> tuple[Port, ...]:
        return stream_inputs(self)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return stream_outputs(self)

    def verilog(self) -> str:
        return module(
            self,
            f"""  reg [{self.out_bits - 1}:0] held;
  reg [{index_bits(self.factor) - 1}:0] count;
  reg valid;
  initial begin held = 0; count = 0; valid = 0; end
  assign in_ready = !valid | out_ready;
  assign out_valid = valid;
  assign out_data = held;
  wire load = in_valid & in_ready;
  wire last = count == {self.factor - 1};
  always @(posedge clk) begin
    if (load) begin
      held <= {{in_data, held[{self.out_bits - 1}:{self.bits}]}};
      count <= last ? 0 : count + 1;
    end
    if (in_ready) valid <= load & last;
  end
""",
        )

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        return ((self, 1),)

    def model(self) -> StreamModel:
        return _WidenerModel(self)

    def process(self, words: Sequence[int]) -> list[int]:
        whole = len(words) - len(words) % self.factor
        return [pack(words[i : i + self.factor], self.bits) for i in range(0, whole, self.factor)]

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return respond_stream(self, inputs)


class _WidenerModel:
    def __init__(self, unit: StreamWidener) -> None:
        self.unit = unit
        self.recent = [0] * unit.factor
        self.count = 0
        self.valid = 0

    def front(self) -> tuple[int, int]:
        return self.valid, pack(self.recent, self.unit.bits)

    def ready(self, out_ready: int) -> int:
        return int(not self.valid or bool(out_ready))

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        if not self.ready(out_ready):
            return
        self.valid = 0
        if in_valid:
            self.recent = [*self.recent[1:], in_data]
            self.count = (self.count + 1) % self.unit.factor
            self.valid = int(self.count == 0)
