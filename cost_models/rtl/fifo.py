"""First-in first-out buffers with a valid/ready handshake."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.memory import LUT_WORDS
from hwsim.cost_models.rtl.stream import (
    StreamModel,
    index_bits,
    respond_stream,
    stream_inputs,
    stream_outputs,
)
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, module

SHIFT_WORDS = 32  # a LUT is a shift register of 32 x 1 bit (SRLC32E: UG474, UG574)


@dataclass(frozen=True, slots=True)
class StreamFifo:
    """Holds up to `depth` words.

    Up to 32 words are shift registers with a movable tap: a word can leave one cycle after it came. Deeper ones are a
    memory with an output register, LUTs up to 64 words and block RAM beyond: two cycles.

    Attributes
    ----------
    bits : of a word.
    depth : words held, at least two.
    """

    family: ClassVar[str] = "fifo"
    bits: int
    depth: int

    def __post_init__(self) -> None:
        if self.bits < 1 or self.depth < 2:
            raise InputError(f"{self.depth} words of {self.bits} bits", where="fifo", hint="at least two words")

    @property
    def name(self) -> str:
        return f"fifo_{self.depth}x{self.bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def in_bits(self) -> int:
        return self.bits

    @property
    def out_bits(self) -> int:
        return self.bits

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
    def body(self) -> Literal["shift", "lut", "block"]:
        """What holds the words."""
        if self.depth <= SHIFT_WORDS:
            return "shift"
        return "lut" if self.depth <= LUT_WORDS else "block"

    def verilog(self) -> str:
        return module(self, self._shift_body() if self.body == "shift" else self._memory_body())

    def _shift_body(self) -> str:
        top = index_bits(self.depth) - 1
        return f"""  reg [{top}:0] oldest;
  reg valid, full;
  initial begin oldest = 0; valid = 0; full = 0; end
  assign in_ready = !full;
  assign out_valid = valid;
  wire push = in_valid & !full;
  wire pop = out_ready & valid;
  always @(posedge clk)
    if (push & !pop) begin
      if (valid) oldest <= oldest + 1;
      valid <= 1;
      full <= valid & (oldest == {self.depth - 2});
    end else if (pop & !push) begin
      if (oldest == 0) valid <= 0; else oldest <= oldest - 1;
      full <= 0;
    end
  genvar i;
  generate for (i = 0; i < {self.bits}; i = i + 1) begin : bit_
    reg [{self.depth - 1}:0] held;
    initial held = 0;
    always @(posedge clk) if (push) held <= {{held[{self.depth - 2}:0], in_data[i]}};
    assign out_data[i] = held[oldest];
  end endgenerate
"""

    def _memory_body(self) -> str:
        top, last = index_bits(self.depth) - 1, self.depth - 1
        style = "block" if self.body == "block" else "distributed"
        return f"""  (* ram_style = "{style}" *) reg [{self.bits - 1}:0] held [0:{last}];
  reg [{top}:0] write_at, read_at;
  reg [{self.depth.bit_length() - 1}:0] level;
  reg valid;
  reg [{self.bits - 1}:0] front;
  integer i;
  initial begin
    write_at = 0; read_at = 0; level = 0; valid = 0; front = 0;
    for (i = 0; i < {self.depth}; i = i + 1) held[i] = 0;
  end
  assign in_ready = level != {self.depth};
  assign out_valid = valid;
  assign out_data = front;
  wire push = in_valid & in_ready;
  wire pop = out_ready & valid;
  wire load = (out_ready | !valid) & (write_at != read_at);
  always @(posedge clk) begin
    if (push) held[write_at] <= in_data;
    if (load) front <= held[read_at];
    if (push) write_at <= write_at == {last} ? 0 : write_at + 1;
    if (load) read_at <= read_at == {last} ? 0 : read_at + 1;
    if (push != pop) level <= push ? level + 1 : level - 1;
    if (load | pop) valid <= load;
  end
"""

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        return ((self, 1),)

    def model(self) -> StreamModel:
        return _ShiftModel(self.depth) if self.body == "shift" else _MemoryModel(self.depth)

    def process(self, words: Sequence[int]) -> list[int]:
        return list(words)

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return respond_stream(self, inputs)


class _ShiftModel:
    def __init__(self, depth: int) -> None:
        self.shifted = deque([0] * depth, maxlen=depth)  # the newest first; old words stay until shifted out
        self.count = 0

    def front(self) -> tuple[int, int]:
        return int(self.count > 0), self.shifted[max(self.count - 1, 0)]

    def ready(self, out_ready: int) -> int:
        return int(self.count < len(self.shifted))

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        push, pop = in_valid and self.ready(out_ready), out_ready and self.count > 0
        if push:
            self.shifted.appendleft(in_data)
        self.count += int(bool(push)) - int(bool(pop))


class _MemoryModel:
    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.stored: deque[int] = deque()
        self.valid, self.data = 0, 0

    def front(self) -> tuple[int, int]:
        return self.valid, self.data

    def ready(self, out_ready: int) -> int:
        return int(len(self.stored) + self.valid < self.depth)

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        push = in_valid and self.ready(out_ready)
        if out_ready or not self.valid:
            self.valid = int(len(self.stored) > 0)
            if self.valid:
                self.data = self.stored.popleft()
        if push:
            self.stored.append(in_data)
