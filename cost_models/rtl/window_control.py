"""The control of a sliding window: positions of a padded image, and which of them complete a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hwsim.cost_models.rtl.stream import index_bits
from hwsim.cost_models.rtl.unit import Port, Vectors, as_vectors, module


@dataclass(frozen=True, slots=True)
class WindowControl:
    """Counts the positions of a padded image and marks those at which a window is complete.

    A step is taken where the window before it has gone and, within the image, a pixel is there. `x` and `next_x` are
    the columns of this position and of the one after it.

    Attributes
    ----------
    width, height, kernel, stride, padding : as of `SlidingWindow`.
    """

    family: ClassVar[str] = "window_control"
    width: int
    height: int
    kernel: int
    stride: int
    padding: int

    @property
    def name(self) -> str:
        return f"window_control_{self.width}x{self.height}_k{self.kernel}_s{self.stride}_p{self.padding}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("in_valid", 1), Port("out_ready", 1)

    @property
    def outputs(self) -> tuple[Port, ...]:
        column = index_bits(self.width + 2 * self.padding)
        flags = Port("in_ready", 1), Port("out_valid", 1), Port("step", 1), Port("border", 1)
        return *flags, Port("x", column), Port("next_x", column)

    def verilog(self) -> str:
        k, wide, high = self.kernel, self.width + 2 * self.padding, self.height + 2 * self.padding
        skip = index_bits(max(k, self.stride))
        body = f"""  reg [{index_bits(wide) - 1}:0] at_x;
  reg [{index_bits(high) - 1}:0] at_y;
  reg [{skip - 1}:0] skip_x, skip_y;
  reg valid;
  initial begin at_x = 0; at_y = 0; skip_x = {k - 1}; skip_y = {k - 1}; valid = 0; end
  wire advance = !valid | out_ready;
  wire last_x = at_x == {wide - 1};
  wire last_y = at_y == {high - 1};
  assign border = {self._border()};
  assign step = advance & (border | in_valid);
  assign x = at_x;
  assign next_x = last_x ? 0 : at_x + 1;
  assign in_ready = advance & !border;
  assign out_valid = valid;
  always @(posedge clk) begin
    if (step) begin
      at_x <= next_x;
      skip_x <= last_x ? {k - 1} : skip_x == 0 ? {self.stride - 1} : skip_x - 1;
      if (last_x) begin
        at_y <= last_y ? 0 : at_y + 1;
        skip_y <= last_y ? {k - 1} : skip_y == 0 ? {self.stride - 1} : skip_y - 1;
      end
    end
    if (advance) valid <= step & (skip_x == 0) & (skip_y == 0);
  end
"""
        return module(self, body)

    def _border(self) -> str:
        """Whether the position is in the padding, in Verilog."""
        if self.padding == 0:
            return "1'b0"
        p = self.padding
        return f"(at_x < {p}) | (at_x >= {self.width + p}) | (at_y < {p}) | (at_y >= {self.height + p})"

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        wide = self.width + 2 * self.padding
        walk = Walk(self)
        rows = []
        for in_valid, out_ready in zip(inputs["in_valid"], inputs["out_ready"], strict=True):
            walk.clock(bool(in_valid), bool(out_ready))
            free, inside, x = not walk.valid or bool(out_ready), walk.inside(), walk.at % wide
            step = free and (bool(in_valid) or not inside)
            rows.append((free and inside, walk.valid, step, not inside, x, (x + 1) % wide))
        columns = zip(*rows, strict=True)
        return {port.name: as_vectors(port, column) for port, column in zip(self.outputs, columns, strict=True)}


class Walk:
    """Position in a padded image, and whether the window that ends before it is complete and not yet taken."""

    def __init__(self, unit: WindowControl) -> None:
        self.unit = unit
        self.valid = False
        self.at = 0

    def inside(self) -> bool:
        y, x = divmod(self.at, self.unit.width + 2 * self.unit.padding)
        y, x = y - self.unit.padding, x - self.unit.padding
        return 0 <= y < self.unit.height and 0 <= x < self.unit.width

    def clock(self, in_valid: bool, out_ready: bool) -> bool:
        """One clock edge; whether a step was taken."""
        if self.valid and not out_ready:
            return False
        self.valid = False
        if self.inside() and not in_valid:
            return False
        unit = self.unit
        wide, high = unit.width + 2 * unit.padding, unit.height + 2 * unit.padding
        y, x = (v - unit.kernel + 1 for v in divmod(self.at, wide))
        self.valid = y >= 0 and x >= 0 and y % unit.stride == 0 and x % unit.stride == 0
        self.at = (self.at + 1) % (wide * high)
        return True
