"""Sliding windows over a stream of pixels: line buffers and a square of registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.folding import PipelineRegister
from hwsim.cost_models.rtl.memory import DualPortRam
from hwsim.cost_models.rtl.stream import (
    StreamModel,
    index_bits,
    pack,
    respond_stream,
    stream_inputs,
    stream_outputs,
)
from hwsim.cost_models.rtl.structure import instance, structural
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, module
from hwsim.cost_models.rtl.window_control import Walk, WindowControl


@dataclass(frozen=True, slots=True)
class BorderMask:
    """`y = blank ? 0 : d`, combinational: pixels of the border."""

    family: ClassVar[str] = "border_mask"
    bits: int

    @property
    def name(self) -> str:
        return f"border_mask_{self.bits}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("blank", 1), Port("d", self.bits)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("y", self.bits),)

    def verilog(self) -> str:
        return module(self, f"  assign y = blank ? {self.bits}'d0 : d;")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"y": np.where(inputs["blank"] != 0, 0, inputs["d"])}


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """Windows of kernel x kernel pixels, in raster order, from pixels in raster order.

    Every position of the padded image takes a cycle, also those of the border, for which no pixel comes. A window
    stands in the registers until it is taken.

    Attributes
    ----------
    channels_bits : of a pixel with all its channels.
    width, height : of the image, without padding.
    kernel : rows and columns of a window, at least two. Pixel (y, x) of a window is element kernel y + x of its word.
    stride : between windows, along both axes.
    padding : pixels of zeros on every side.
    """

    family: ClassVar[str] = "sliding_window"
    channels_bits: int
    width: int
    height: int
    kernel: int
    stride: int
    padding: int

    def __post_init__(self) -> None:
        least = min(self.padded_width, self.padded_height)
        if self.kernel < 2 or least < self.kernel or self.channels_bits < 1 or self.stride < 1 or self.padding < 0:
            raise InputError(
                f"windows of {self.kernel}x{self.kernel} over {self.padded_width}x{self.padded_height} pixels",
                where="sliding_window",
                hint="a kernel of at least two that fits the padded image",
            )

    @property
    def name(self) -> str:
        image = f"{self.width}x{self.height}_{self.channels_bits}"
        return f"window_{image}_k{self.kernel}_s{self.stride}_p{self.padding}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def in_bits(self) -> int:
        return self.channels_bits

    @property
    def out_bits(self) -> int:
        return self.kernel * self.kernel * self.channels_bits

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
    def padded_width(self) -> int:
        return self.width + 2 * self.padding

    @property
    def padded_height(self) -> int:
        return self.height + 2 * self.padding

    @property
    def out_width(self) -> int:
        return (self.padded_width - self.kernel) // self.stride + 1

    @property
    def out_height(self) -> int:
        return (self.padded_height - self.kernel) // self.stride + 1

    @property
    def positions(self) -> int:
        """Cycles an image, where nothing waits."""
        return self.padded_width * self.padded_height

    def verilog(self) -> str:
        k, bits, wide = self.kernel, self.channels_bits, self.padded_width
        above = (k - 1) * bits
        control, lines, mask = self._control(), self._lines(), BorderMask(bits)
        shifts = "\n".join(
            f"    window[{y * k * bits} +: {k * bits}] <= "
            f"{{column[{y * bits} +: {bits}], window[{y * k * bits + bits} +: {above}]}};"
            for y in range(k)
        )
        wires = {port.name: port.name for port in (*control.inputs, *control.outputs)}
        memory = {
            "enable": "step",
            "address": "next_x",
            "write": "step",
            "write_address": "x",
            "write_data": f"column[{k * bits - 1}:{bits}]",
            "data": "above",
        }
        body = f"""  wire step, border;
  wire [{index_bits(wide) - 1}:0] x, next_x;
  wire [{above - 1}:0] above;
  wire [{bits - 1}:0] pixel;
  wire [{k * bits - 1}:0] column = {{pixel, above}};
  reg [{self.out_bits - 1}:0] window;
  initial window = 0;
  assign out_data = window;
  {instance(control, "control", wires)}
  {instance(mask, "mask", {"blank": "border", "d": "in_data", "y": "pixel"})}
  {instance(lines, "lines", memory)}
  always @(posedge clk) if (step) begin
{shifts}
  end
"""
        return structural(self, body, (control, mask, lines))

    def _control(self) -> WindowControl:
        return WindowControl(self.width, self.height, self.kernel, self.stride, self.padding)

    def _lines(self) -> DualPortRam:
        """All rows but the newest of a column of pixels, the oldest in the lowest bits."""
        return DualPortRam(self.padded_width, (self.kernel - 1) * self.channels_bits)

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        mask = ((BorderMask(self.channels_bits), 1),) if self.padding else ()
        return (self._control(), 1), *mask, (self._lines(), 1), (PipelineRegister(self.out_bits), 1)

    def model(self) -> StreamModel:
        return _WindowModel(self)

    def process(self, words: Sequence[int]) -> list[int]:
        k, size, found = self.kernel, self.width * self.height, []
        for start in range(0, len(words) - size + 1, size):
            image = [[0] * self.padded_width for _ in range(self.padded_height)]
            for i, pixel in enumerate(words[start : start + size]):
                image[i // self.width + self.padding][i % self.width + self.padding] = pixel
            for y in range(0, self.out_height * self.stride, self.stride):
                for x in range(0, self.out_width * self.stride, self.stride):
                    window = [image[y + dy][x + dx] for dy in range(k) for dx in range(k)]
                    found.append(pack(window, self.channels_bits))
        return found

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return respond_stream(self, inputs)


class _WindowModel:
    """Line buffers delay by a row each and registers by a pixel: a window is a set of past pixels."""

    def __init__(self, unit: SlidingWindow) -> None:
        self.unit = unit
        self.walk = Walk(unit._control())
        reach = (unit.kernel - 1) * (unit.padded_width + 1) + 1
        self.past = [0] * reach  # the newest last

    def front(self) -> tuple[int, int]:
        k, wide = self.unit.kernel, self.unit.padded_width
        past = [self.past[dy * wide + dx] for dy in range(k) for dx in range(k)]
        return int(self.walk.valid), pack(past, self.unit.channels_bits)

    def ready(self, out_ready: int) -> int:
        return int((not self.walk.valid or bool(out_ready)) and self.walk.inside())

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        inside = self.walk.inside()
        if self.walk.clock(bool(in_valid), bool(out_ready)):
            self.past = [*self.past[1:], in_data if inside else 0]
