"""Depthwise products from stored weights: every channel has a dot product of its own, pe channels a cycle.

A word holds `taps` x pe elements, tap after tap and in each channel after channel, as a window cut by channels gives
them; channels / pe words are a position. Each word gives one word of pe outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.array import Constants, random_constants
from hwsim.cost_models.rtl.fold_control import FoldControl
from hwsim.cost_models.rtl.folding import PipelineRegister
from hwsim.cost_models.rtl.formats import Coded, accumulator_width, is_signed, label, multiples
from hwsim.cost_models.rtl.lanes import DotLanes
from hwsim.cost_models.rtl.memory import WeightRom, checksum
from hwsim.cost_models.rtl.stream import StreamModel, pack, respond_stream, stream_inputs, stream_outputs, unpack
from hwsim.cost_models.rtl.structure import counted, instance, structural
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors


@dataclass(frozen=True, slots=True)
class DepthwiseArray:
    """`y_c = saturate(round((sum over taps of w_ct x_ct + b_c) 2^-shift))`, pe channels a cycle.

    Attributes
    ----------
    pe : channels of a cycle; it divides `channels`, and is smaller.
    taps : products of a dot product, all in one cycle, at least two.
    weight, act, out, shift, relu, bias_bits, seed, constants : as of `MatrixVectorArray`.
    """

    family: ClassVar[str] = "depthwise_array"
    pe: int
    channels: int
    taps: int
    weight: Coded
    act: Coded
    out: Coded
    shift: int
    relu: bool = False
    bias_bits: int = 8
    seed: int = 0
    constants: Constants | None = None

    def __post_init__(self) -> None:
        if self.channels % self.pe or self.channels == self.pe or self.taps < 2:
            raise InputError(
                f"pe {self.pe} for {self.channels} channels of {self.taps} taps",
                where="depthwise_array",
                hint="pe divides the channels and is smaller; at least two taps",
            )

    @property
    def name(self) -> str:
        shift = f"drop{self.shift}" if self.shift >= 0 else f"append{-self.shift}"
        formats = f"{label(self.weight)}_{label(self.act)}_to_{label(self.out)}"
        drawn = f"seed{self.seed}"
        if self.constants is not None:
            drawn = f"crc{checksum(self.constants.codes + self.constants.biases)}"
        sizes = f"{self.channels}x{self.taps}_pe{self.pe}"
        return f"depthwise_{sizes}_{formats}_{shift}_b{self.bias_bits}{'_relu' if self.relu else ''}_{drawn}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def folds(self) -> int:
        """Words a position."""
        return self.channels // self.pe

    @property
    def cycles(self) -> int:
        """A position: the reuse of a multiplier."""
        return self.folds

    @property
    def depth(self) -> int:
        """Cycles from taking an input word to the edge at which its output word can be taken."""
        return self.lanes.stages + 2

    @property
    def in_bits(self) -> int:
        return self.taps * self.pe * self.act.bits

    @property
    def out_bits(self) -> int:
        return self.pe * self.out.bits

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
    def lanes(self) -> DotLanes:
        """Its arithmetic."""
        acc_bits = accumulator_width(self.taps, self.weight, self.act, self.bias_bits)
        formats = self.weight, self.act, self.bias_bits, acc_bits
        return DotLanes(self.pe, self.taps, False, *formats, False, self.shift, self.relu, self.out)

    @property
    def control(self) -> FoldControl:
        return FoldControl(1, self.folds, self.lanes.stages, replay=False)

    def stored(self) -> tuple[Vectors, Vectors]:
        """Weight codes, shape (channels, taps), and biases."""
        constants = self.constants or random_constants(
            self.seed, self.weight, self.channels * self.taps, self.channels, self.bias_bits
        )
        return np.array(constants.codes).reshape(self.channels, self.taps), np.array(constants.biases)

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        own = self.control, self._weights(), self._biases(), PipelineRegister(self.in_bits)
        return counted([*((unit, 1) for unit in own), *self.lanes.parts()])

    def _weights(self) -> WeightRom:
        words = self.stored()[0].reshape(self.folds, -1)
        contents = tuple(pack(word, self.weight.bits) for word in words)
        return WeightRom(self.folds, self.pe * self.taps * self.weight.bits, contents=contents)

    def _biases(self) -> WeightRom:
        words = self.stored()[1].reshape(self.folds, self.pe)
        contents = tuple(pack(word, self.bias_bits) for word in words)
        return WeightRom(self.folds, self.pe * self.bias_bits, contents=contents)

    def verilog(self) -> str:
        control, lanes, weights, biases = self.control, self.lanes, self._weights(), self._biases()
        register, a = PipelineRegister(self.in_bits), self.act.bits
        flags = [port for port in control.outputs if port.name not in ("filling", "done")]
        wires = "\n".join(f"  wire [{port.bits - 1}:0] {port.name};" for port in flags)
        names = {port.name: port.name for port in (*control.inputs, *control.outputs)}
        codes = {port.name: port.name for port in lanes.inputs} | {"codes": "out_data"}
        weight_read = {"enable": "advance", "address": "address", "data": "weights"}
        bias_read = {"enable": "advance", "address": "fold", "data": "biases"}
        body = f"""  reg valid;
  initial valid = 0;
  wire advance = !valid | out_ready;
  wire filling, done;
{wires}
  wire [{weights.bits - 1}:0] weights;
  wire [{biases.bits - 1}:0] biases;
  wire [{self.in_bits - 1}:0] taken, operands;
  assign in_ready = advance;
  assign out_valid = valid;
  always @(posedge clk) if (advance) valid <= done;
  {instance(control, "control", names)}
  {instance(weights, "weight_memory", weight_read)}
  {instance(biases, "bias_memory", bias_read)}
  {instance(register, "operand_register", {"enable": "advance", "d": "in_data", "q": "taken"})}
  {instance(lanes, "lanes", codes)}
  genvar i, j;
  generate for (i = 0; i < {self.pe}; i = i + 1) begin : channel
    for (j = 0; j < {self.taps}; j = j + 1) begin : tap
      assign operands[(i*{self.taps}+j)*{a} +: {a}] = taken[(j*{self.pe}+i)*{a} +: {a}];
    end
  end endgenerate
"""
        return structural(self, body, (control, weights, biases, register, lanes))

    def model(self) -> StreamModel:
        return _DepthwiseModel(self)

    def output_word(self, fold: int, word: int) -> int:
        """The output word of a fold of channels, in numpy."""
        codes, biases = (rows.reshape(self.folds, self.pe, -1)[fold] for rows in self.stored())
        taps = unpack(word, self.act.bits, self.taps * self.pe, is_signed(self.act))
        x = multiples(np.array(taps, dtype=np.int64), self.act).reshape(self.taps, self.pe)
        acc = (multiples(codes, self.weight) * x.T).sum(axis=1) + biases[:, 0]
        return self.lanes.codes(acc)

    def process(self, words: Sequence[int]) -> list[int]:
        return [self.output_word(i % self.folds, word) for i, word in enumerate(words)]

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return respond_stream(self, inputs)


class _DepthwiseModel:
    """A word travels `depth` - 1 cycles to the output register."""

    def __init__(self, unit: DepthwiseArray) -> None:
        self.unit = unit
        self.fold = 0
        self.travelling: list[int | None] = [None] * (unit.depth - 1)
        self.valid, self.data = 0, 0

    def front(self) -> tuple[int, int]:
        return self.valid, self.data

    def ready(self, out_ready: int) -> int:
        return int(not self.valid or bool(out_ready))

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        if not self.ready(out_ready):
            return
        arrived = self.travelling.pop()
        self.travelling.insert(0, self.unit.output_word(self.fold, in_data) if in_valid else None)
        self.fold = (self.fold + int(bool(in_valid))) % self.unit.folds
        self.valid = int(arrived is not None)
        self.data = self.data if arrived is None else arrived
