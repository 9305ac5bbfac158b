"""Residual branches: a stream that goes two ways, one of them through a FIFO, and the sum where they meet."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.core.errors import InputError
from hwsim.core.formats import Int
from hwsim.core.requantize import requantize
from hwsim.cost_models.rtl.elementwise import ResidualAdd
from hwsim.cost_models.rtl.fifo import StreamFifo
from hwsim.cost_models.rtl.folding import PipelineRegister
from hwsim.cost_models.rtl.formats import label
from hwsim.cost_models.rtl.requantize import ShiftRequantizer
from hwsim.cost_models.rtl.stream import (
    StreamModel,
    StreamUnit,
    pack,
    respond_stream,
    stream_inputs,
    stream_outputs,
    unpack,
)
from hwsim.cost_models.rtl.structure import counted, instance, structural
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, as_vectors


@dataclass(frozen=True, slots=True)
class StreamAdd:
    """`out = saturate(round((a + b) 2^-shift))`, element by element, of the words of two streams.

    Attributes
    ----------
    lanes : elements of a word.
    a, b, out : integer formats.
    """

    family: ClassVar[str] = "stream_add"
    lanes: int
    a: Int
    b: Int
    out: Int
    shift: int = 0

    @property
    def name(self) -> str:
        formats = f"{label(self.a)}_{label(self.b)}_to_{label(self.out)}"
        return f"stream_add_{self.lanes}_{formats}_drop{self.shift}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        first = Port("a_data", self.lanes * self.a.bits), Port("a_valid", 1)
        return *first, Port("b_data", self.lanes * self.b.bits), Port("b_valid", 1), Port("out_ready", 1)

    @property
    def outputs(self) -> tuple[Port, ...]:
        out = Port("out_data", self.lanes * self.out.bits), Port("out_valid", 1)
        return Port("a_ready", 1), Port("b_ready", 1), *out

    @property
    def _adder(self) -> ResidualAdd:
        return ResidualAdd(_signed_bits(self.a), _signed_bits(self.b), 0)

    @property
    def _requantizer(self) -> ShiftRequantizer:
        bits = self._adder.outputs[0].bits
        return ShiftRequantizer(bits, self.shift, self.out.bits, self.out.signed, self.out.narrow)

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        register = PipelineRegister(self.lanes * self.out.bits)
        return (self._adder, self.lanes), (self._requantizer, self.lanes), (register, 1)

    def verilog(self) -> str:
        adder, requantizer, register = (unit for unit, _ in self.parts())
        total = adder.outputs[0].bits
        added = {"a": _extended("a_data", self.a), "b": _extended("b_data", self.b), "y": "total"}
        code = {"x": "total", "y": f"sums[i*{self.out.bits} +: {self.out.bits}]"}
        body = f"""  reg valid;
  initial valid = 0;
  wire advance = !valid | out_ready;
  assign a_ready = advance & b_valid;
  assign b_ready = advance & a_valid;
  assign out_valid = valid;
  wire [{self.lanes * self.out.bits - 1}:0] sums;
  wire step = advance & a_valid & b_valid;
  always @(posedge clk) if (advance) valid <= step;
  {instance(register, "sum_register", {"enable": "step", "d": "sums", "q": "out_data"})}
  genvar i;
  generate for (i = 0; i < {self.lanes}; i = i + 1) begin : lane
    wire signed [{total - 1}:0] total;
    {instance(adder, "adder", added)}
    {instance(requantizer, "requantizer", code)}
  end endgenerate
"""
        return structural(self, body, (adder, requantizer, register))

    def added(self, a: int, b: int) -> int:
        """The sum of two words."""
        first, second = (
            np.array(unpack(word, fmt.bits, self.lanes, fmt.signed), dtype=np.int64)
            for word, fmt in ((a, self.a), (b, self.b))
        )
        return pack(requantize(first + second, self.shift, self.out), self.out.bits)

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        model, rows = AddModel(self), []
        for a, a_valid, b, b_valid, out_ready in zip(*(inputs[p.name] for p in self.inputs), strict=True):
            model.clock(int(a_valid), int(a), int(b_valid), int(b), int(out_ready))
            free = int(model.free(int(out_ready)))
            rows.append((free & int(b_valid), free & int(a_valid), model.data, model.valid))
        columns = zip(*rows, strict=True)
        return {port.name: as_vectors(port, column) for port, column in zip(self.outputs, columns, strict=True)}


class AddModel:
    """State of a `StreamAdd`."""

    def __init__(self, unit: StreamAdd) -> None:
        self.unit = unit
        self.valid, self.data = 0, 0

    def free(self, out_ready: int) -> bool:
        return not self.valid or bool(out_ready)

    def clock(self, a_valid: int, a: int, b_valid: int, b: int, out_ready: int) -> None:
        if not self.free(out_ready):
            return
        self.valid = int(bool(a_valid) and bool(b_valid))
        if self.valid:
            self.data = self.unit.added(a, b)


@dataclass(frozen=True, slots=True)
class ResidualBlock:
    """`out = branch(x) + x`: every word goes to the branch and to a FIFO at once, when both can take it.

    Attributes
    ----------
    branch : gives a word for each word that it takes.
    skip : the FIFO of the other way.
    add : of the branch (a) and the FIFO (b).
    """

    family: ClassVar[str] = "residual_block"
    branch: StreamUnit
    skip: StreamFifo
    add: StreamAdd

    def __post_init__(self) -> None:
        widths = self.branch.in_bits, self.branch.out_bits, self.skip.bits
        if widths[0] != widths[2] or widths[1:] != tuple(port.bits for port in self.add.inputs[0:3:2]):
            raise InputError(
                f"words of {widths} bits into and out of the branch and in the FIFO",
                where="residual_block",
                hint="both ways carry whole pixels in the formats of the sum",
            )

    @property
    def name(self) -> str:
        parts = f"{self.branch.name} {self.add.name}"
        return f"residual_{zlib.crc32(parts.encode()):08x}_skip{self.skip.depth}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def in_bits(self) -> int:
        return self.branch.in_bits

    @property
    def out_bits(self) -> int:
        return self.add.outputs[2].bits

    @property
    def side_inputs(self) -> tuple[Port, ...]:
        return self.branch.side_inputs

    @property
    def inputs(self) -> tuple[Port, ...]:
        return stream_inputs(self)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return stream_outputs(self)

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        return counted([*self.branch.parts(), *self.skip.parts(), *self.add.parts()])

    def verilog(self) -> str:
        ways = {"branch": self.branch, "skip": self.skip}
        lines, made = [], []
        for (way, unit), other in zip(ways.items(), ("skip", "branch"), strict=True):
            lines.append(f"  wire [{unit.out_bits - 1}:0] {way}_data;\n  wire {way}_ready, {way}_valid, {way}_taken;")
            wires = {"in_data": "in_data", "in_valid": f"in_valid & {other}_ready", "in_ready": f"{way}_ready"}
            wires |= {"out_data": f"{way}_data", "out_valid": f"{way}_valid", "out_ready": f"{way}_taken"}
            wires |= {port.name: port.name for port in unit.side_inputs}
            made.append("  " + instance(unit, way, wires))
        join = {"a_data": "branch_data", "a_valid": "branch_valid", "a_ready": "branch_taken"}
        join |= {"b_data": "skip_data", "b_valid": "skip_valid", "b_ready": "skip_taken"}
        join |= {name: name for name in ("out_data", "out_valid", "out_ready")}
        made.append("  " + instance(self.add, "sum", join))
        body = "\n".join([*lines, "  assign in_ready = branch_ready & skip_ready;", *made])
        return structural(self, body, (self.branch, self.skip, self.add))

    def model(self) -> StreamModel:
        return _ResidualModel(self)

    def process(self, words: Sequence[int]) -> list[int]:
        return [self.add.added(a, b) for a, b in zip(self.branch.process(words), words, strict=False)]

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return respond_stream(self, inputs)


class _ResidualModel:
    def __init__(self, unit: ResidualBlock) -> None:
        self.branch, self.skip, self.add = unit.branch.model(), unit.skip.model(), AddModel(unit.add)

    def front(self) -> tuple[int, int]:
        return self.add.valid, self.add.data

    def _taken(self, out_ready: int) -> tuple[int, int]:
        """Whether the sum takes a word of the branch, and of the FIFO, if there is one."""
        free = self.add.free(out_ready)
        return int(free and bool(self.skip.front()[0])), int(free and bool(self.branch.front()[0]))

    def ready(self, out_ready: int) -> int:
        branch, skip = self._taken(out_ready)
        return self.branch.ready(branch) & self.skip.ready(skip)

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        branch_taken, skip_taken = self._taken(out_ready)
        (a_valid, a), (b_valid, b) = self.branch.front(), self.skip.front()
        branch_ready, skip_ready = self.branch.ready(branch_taken), self.skip.ready(skip_taken)
        self.add.clock(a_valid, a, b_valid, b, out_ready)
        self.branch.clock(in_valid & skip_ready, in_data, branch_taken, side)
        self.skip.clock(in_valid & branch_ready, in_data, skip_taken, {})


def _signed_bits(fmt: Int) -> int:
    return fmt.bits + int(not fmt.signed)


def _extended(source: str, fmt: Int) -> str:
    """Element i of a word as a signed number."""
    element = f"{source}[i*{fmt.bits} +: {fmt.bits}]"
    return element if fmt.signed else f"{{1'b0, {element}}}"
