"""Max pooling over a stream of pixels: 2x2 windows that do not overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.compare import Kind, MaxOfTwo, MaxPool, larger
from hwsim.cost_models.rtl.folding import PipelineRegister
from hwsim.cost_models.rtl.memory import DualPortRam
from hwsim.cost_models.rtl.stream import (
    StreamModel,
    index_bits,
    pack,
    respond_stream,
    stream_inputs,
    stream_outputs,
    unpack,
)
from hwsim.cost_models.rtl.structure import instance, structural
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, as_vectors, module


@dataclass(frozen=True, slots=True)
class PoolControl:
    """Counts pixels in pairs of columns and rows; `out_valid` follows the last one of a square.

    Attributes
    ----------
    width : of the image, even, at least 4.
    """

    family: ClassVar[str] = "pool_control"
    width: int

    @property
    def name(self) -> str:
        return f"pool_control_{self.width}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("in_valid", 1), Port("out_ready", 1)

    @property
    def outputs(self) -> tuple[Port, ...]:
        flags = ("in_ready", "out_valid", "step", "odd_x", "odd_y")
        return *(Port(name, 1) for name in flags), Port("x", index_bits(self.width // 2))

    def verilog(self) -> str:
        half = self.width // 2
        body = f"""  reg [{index_bits(half) - 1}:0] pair;
  reg second, lower, valid;
  initial begin pair = 0; second = 0; lower = 0; valid = 0; end
  assign in_ready = !valid | out_ready;
  assign out_valid = valid;
  assign step = in_valid & in_ready;
  assign odd_x = second;
  assign odd_y = lower;
  assign x = pair;
  wire last = pair == {half - 1};
  always @(posedge clk) begin
    if (step) second <= !second;
    if (step & second) pair <= last ? 0 : pair + 1;
    if (step & second & last) lower <= !lower;
    if (in_ready) valid <= step & second & lower;
  end
"""
        return module(self, body)

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        count, valid, rows = 0, False, []
        for in_valid, out_ready in zip(inputs["in_valid"], inputs["out_ready"], strict=True):
            if not valid or out_ready:
                y, x = divmod(count, self.width)
                valid = bool(in_valid) and x % 2 == 1 and y % 2 == 1
                count = (count + int(in_valid)) % (2 * self.width)
            y, x = divmod(count, self.width)
            free = not valid or bool(out_ready)
            rows.append((free, valid, free and bool(in_valid), x % 2, y % 2, x // 2))
        columns = zip(*rows, strict=True)
        return {port.name: as_vectors(port, column) for port, column in zip(self.outputs, columns, strict=True)}


@dataclass(frozen=True, slots=True)
class StreamMaxPool:
    """The largest of 2x2 pixels, channel by channel: maxima of pairs, kept for half a row, against the next row's.

    Attributes
    ----------
    channels, bits : of a pixel.
    kind : of its elements: `int`, `uint` or `minifloat`, as of `MaxOfTwo`.
    width, height : of the image, both even.
    """

    family: ClassVar[str] = "stream_max_pool"
    channels: int
    bits: int
    kind: Kind
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width % 2 or self.height % 2 or self.width < 4 or self.height < 2:
            raise InputError(
                f"2x2 pooling of {self.width}x{self.height} pixels",
                where="stream_max_pool",
                hint="an even width of at least 4 and an even height",
            )

    @property
    def name(self) -> str:
        return f"stream_max_pool_{self.width}x{self.height}_{self.channels}{self.kind}{self.bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def in_bits(self) -> int:
        return self.channels * self.bits

    @property
    def out_bits(self) -> int:
        return self.in_bits

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
        word, bits = self.in_bits, self.bits
        control, compare, row = self._control(), self._compare(), self._row()
        wires = {port.name: port.name for port in (*control.inputs, *control.outputs)}
        memory = {
            "enable": "step & !odd_x",
            "address": "x",
            "write": "step & odd_x & !odd_y",
            "write_address": "x",
            "write_data": "pair",
            "data": "upper",
        }
        cut = f"[i*{bits} +: {bits}]"
        first = {"a": f"left{cut}", "b": f"in_data{cut}", "y": f"pair{cut}"}
        second = {"a": f"upper{cut}", "b": f"pair{cut}", "y": f"square{cut}"}
        body = f"""  wire step, odd_x, odd_y;
  wire [{index_bits(self.width // 2) - 1}:0] x;
  wire [{word - 1}:0] upper, pair, square;
  reg [{word - 1}:0] left, largest;
  initial begin left = 0; largest = 0; end
  assign out_data = largest;
  {instance(control, "control", wires)}
  {instance(row, "row", memory)}
  genvar i;
  generate for (i = 0; i < {self.channels}; i = i + 1) begin : channel
    {instance(compare, "across", first)}
    {instance(compare, "down", second)}
  end endgenerate
  always @(posedge clk) begin
    if (step & !odd_x) left <= in_data;
    if (step & odd_x & odd_y) largest <= square;
  end
"""
        return structural(self, body, (control, compare, row))

    def _control(self) -> PoolControl:
        return PoolControl(self.width)

    def _compare(self) -> MaxOfTwo:
        return MaxOfTwo(self.bits, self.kind)

    def _row(self) -> DualPortRam:
        return DualPortRam(self.width // 2, self.in_bits)

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        three = MaxPool(3, self.bits, self.kind)  # both comparisons of a channel, which synthesis maps as one
        return (self._control(), 1), (three, self.channels), (self._row(), 1), (PipelineRegister(self.in_bits), 2)

    def model(self) -> StreamModel:
        return _PoolModel(self)

    def process(self, words: Sequence[int]) -> list[int]:
        found = []
        for row in range(0, len(words) // self.width - 1, 2):
            for x in range(0, self.width, 2):
                corner = row * self.width + x
                found.append(self.largest([words[corner + dy * self.width + dx] for dy in (0, 1) for dx in (0, 1)]))
        return found

    def largest(self, words: Sequence[int]) -> int:
        """The largest of some pixels, channel by channel."""
        rows = [np.array(unpack(word, self.bits, self.channels, self.kind == "int")) for word in words]
        found = rows[0]
        for row in rows[1:]:
            found = larger(found, row, self.bits, self.kind)
        return pack(found, self.bits)

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return respond_stream(self, inputs)


class _PoolModel:
    """Two rows are kept whole; a result comes with the last pixel of its square."""

    def __init__(self, unit: StreamMaxPool) -> None:
        self.unit = unit
        self.rows: list[int] = []
        self.valid, self.data = 0, 0

    def front(self) -> tuple[int, int]:
        return self.valid, self.data

    def ready(self, out_ready: int) -> int:
        return int(not self.valid or bool(out_ready))

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        if not self.ready(out_ready):
            return
        self.valid = 0
        if not in_valid:
            return
        wide = self.unit.width
        self.rows.append(in_data)
        if len(self.rows) > wide and len(self.rows) % 2 == 0:
            at = len(self.rows) - wide
            square = [self.rows[i] for i in (at - 2, at - 1, at + wide - 2, at + wide - 1)]
            self.data, self.valid = self.unit.largest(square), 1
        if len(self.rows) == 2 * wide:
            self.rows = []
