"""Matrix-vector products from stored weights, folded: pe x simd products a cycle, after FINN's matrix-vector unit.

A vector comes as inputs / simd words of simd elements and goes as outputs / pe words of pe elements; between them the
array takes inputs outputs / (pe simd) cycles, during which the words of the vector are replayed for each fold of
outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.fold_control import FoldControl
from hwsim.cost_models.rtl.folding import PipelineRegister, ReplayBuffer
from hwsim.cost_models.rtl.formats import Coded, accumulator_width, is_signed, label, multiples, random_codes
from hwsim.cost_models.rtl.lanes import DotLanes
from hwsim.cost_models.rtl.memory import DualPortRam, WeightRom, checksum
from hwsim.cost_models.rtl.stream import (
    StreamModel,
    index_bits,
    pack,
    respond_stream,
    stream_inputs,
    stream_outputs,
    unpack,
)
from hwsim.cost_models.rtl.structure import counted, instance, structural
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, as_vectors


@dataclass(frozen=True, slots=True)
class Constants:
    """Weights and biases of a layer.

    Attributes
    ----------
    codes : of the weights, output after output.
    biases : one an output, in units of the accumulator.
    """

    codes: tuple[int, ...]
    biases: tuple[int, ...]


def random_constants(seed: int, weight: Coded, weights: int, outputs: int, bias_bits: int) -> Constants:
    """Uniform weight codes and biases."""
    rng = np.random.default_rng(seed)
    half = 1 << (bias_bits - 1)
    codes, biases = random_codes(rng, weight, weights), rng.integers(-half, half, outputs)
    return Constants(tuple(int(c) for c in codes), tuple(int(b) for b in biases))


@dataclass(frozen=True, slots=True)
class MatrixVectorArray:
    """`y = saturate(round((W x + b) 2^-shift))`, folded.

    Attributes
    ----------
    pe, simd : outputs and inputs of a cycle; they divide `out_features` and `in_features`.
    weight, act, out : formats. Sums are exact, in units of the smallest steps of `weight` and `act`.
    shift : a sum counts units of 2^-shift smallest steps of `out`.
    relu : whether negative sums become zero; unsigned targets do that without.
    bias_bits : signed bits of a bias.
    seed : of random weights and biases.
    constants : weights and biases, in place of random ones.
    loadable : whether weights are in a memory that can be written, through `weight_write`, `weight_address` and
        `weight_data`; it holds the same weights at first.
    in_dsp : whether products of integers are left to DSP blocks.
    """

    family: ClassVar[str] = "matrix_vector_array"
    pe: int
    simd: int
    in_features: int
    out_features: int
    weight: Coded
    act: Coded
    out: Coded
    shift: int
    relu: bool = False
    bias_bits: int = 8
    seed: int = 0
    constants: Constants | None = None
    loadable: bool = False
    in_dsp: bool = False

    def __post_init__(self) -> None:
        if self.out_features % self.pe or self.in_features % self.simd:
            raise InputError(
                f"pe {self.pe} and simd {self.simd} for {self.in_features} inputs and {self.out_features} outputs",
                where="array",
                hint="pe divides the outputs, simd the inputs",
            )
        if self.words * self.folds < 2:
            raise InputError(
                "a weight is used in every cycle", where="array", hint="fully unrolled layers have constant weights"
            )
        stored = self.constants
        sizes = (self.in_features * self.out_features, self.out_features)
        if stored is not None and (len(stored.codes), len(stored.biases)) != sizes:
            raise InputError(
                f"{len(stored.codes)} weights, {len(stored.biases)} biases",
                where="array",
                hint=f"{sizes[0]} weights, {sizes[1]} biases",
            )

    @property
    def name(self) -> str:
        sizes = f"{self.in_features}x{self.out_features}_pe{self.pe}_simd{self.simd}"
        shift = f"drop{self.shift}" if self.shift >= 0 else f"append{-self.shift}"
        formats = f"{label(self.weight)}_{label(self.act)}_to_{label(self.out)}"
        drawn = f"seed{self.seed}"
        if self.constants is not None:
            drawn = f"crc{checksum(self.constants.codes + self.constants.biases)}"
        kind = f"{'_relu' if self.relu else ''}{'_ram' if self.loadable else ''}{'_dsp' if self.in_dsp else ''}"
        return f"array_{sizes}_{formats}_{shift}_b{self.bias_bits}{kind}_{drawn}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def words(self) -> int:
        """Input words a vector."""
        return self.in_features // self.simd

    @property
    def folds(self) -> int:
        """Output words a vector."""
        return self.out_features // self.pe

    @property
    def cycles(self) -> int:
        """A vector: the reuse of a multiplier."""
        return self.words * self.folds

    @property
    def depth(self) -> int:
        """Cycles from taking the last input word of a fold to the edge at which its output word can be taken."""
        return self.lanes.stages + 2

    @property
    def acc_bits(self) -> int:
        return accumulator_width(self.in_features, self.weight, self.act, self.bias_bits)

    @property
    def in_bits(self) -> int:
        return self.simd * self.act.bits

    @property
    def out_bits(self) -> int:
        return self.pe * self.out.bits

    @property
    def side_inputs(self) -> tuple[Port, ...]:
        if not self.loadable:
            return ()
        address, data = index_bits(self.cycles), self.pe * self.simd * self.weight.bits
        return Port("weight_write", 1), Port("weight_address", address), Port("weight_data", data)

    @property
    def inputs(self) -> tuple[Port, ...]:
        return stream_inputs(self)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return stream_outputs(self)

    @property
    def lanes(self) -> DotLanes:
        """Its arithmetic."""
        formats = self.weight, self.act, self.bias_bits, self.acc_bits
        running, in_dsp = self.words > 1, self.in_dsp
        return DotLanes(self.pe, self.simd, True, *formats, running, self.shift, self.relu, self.out, in_dsp)

    @property
    def control(self) -> FoldControl:
        return FoldControl(self.words, self.folds, self.lanes.stages)

    def stored(self) -> tuple[Vectors, Vectors]:
        """Weight codes, shape (out_features, in_features), and biases."""
        constants = self.constants or random_constants(
            self.seed, self.weight, self.in_features * self.out_features, self.out_features, self.bias_bits
        )
        codes = np.array(constants.codes).reshape(self.out_features, self.in_features)
        return codes, np.array(constants.biases)

    def weight_words(self) -> tuple[int, ...]:
        """The weight memory: fold after fold, in each word after word, in each lane after lane."""
        codes = self.stored()[0].reshape(self.folds, self.pe, self.words, self.simd).transpose(0, 2, 1, 3)
        return tuple(pack(word, self.weight.bits) for word in codes.reshape(self.cycles, -1))

    def bias_words(self) -> tuple[int, ...]:
        """One word a fold."""
        return tuple(pack(word, self.bias_bits) for word in self.stored()[1].reshape(self.folds, self.pe))

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        own = [self.control, self._weights(), self._operands(), *([self._biases()] if self.folds > 1 else [])]
        return counted([*((unit, 1) for unit in own), *self.lanes.parts()])

    def _weights(self) -> WeightRom | DualPortRam:
        words, bits = self.weight_words(), self.pe * self.simd * self.weight.bits
        if self.loadable:
            return DualPortRam(self.cycles, bits, words)
        return WeightRom(self.cycles, bits, contents=words)

    def _biases(self) -> WeightRom:
        return WeightRom(self.folds, self.pe * self.bias_bits, contents=self.bias_words())

    def _operands(self) -> ReplayBuffer | PipelineRegister:
        """What holds the operand word of a cycle."""
        if self.folds == 1:
            return PipelineRegister(self.in_bits)
        return ReplayBuffer(self.words, self.in_bits) if self.words > 1 else PipelineRegister(self.in_bits)

    def verilog(self) -> str:
        control, lanes, weights, operands = self.control, self.lanes, self._weights(), self._operands()
        units: list[Unit] = [control, lanes, weights, operands]
        flags = [port for port in control.outputs if port.name not in ("filling", "done")]
        wires = [f"  wire [{port.bits - 1}:0] {port.name};" for port in flags]
        names = {port.name: port.name for port in (*control.inputs, *control.outputs)}
        biases = f"  wire [{self.pe * self.bias_bits - 1}:0] biases"
        if self.folds > 1:
            units.append(self._biases())
            read = {"enable": "advance", "address": "fold", "data": "biases"}
            biases += f";\n  {instance(self._biases(), 'bias_memory', read)}"
        else:
            biases += f" = {self.pe * self.bias_bits}'h{self.bias_words()[0]:x};"
        memory = {"enable": "advance", "address": "address", "data": "weights"}
        memory |= {"write": "weight_write", "write_address": "weight_address", "write_data": "weight_data"}
        held = {"enable": "advance" if self.words > 1 else "advance & filling", "write": "filling"}
        held |= {"address": "word", "d": "in_data", "q": "operands"}
        codes = {port.name: port.name for port in lanes.inputs} | {"codes": "out_data"}
        newline = "\n"
        body = f"""  reg valid;
  initial valid = 0;
  wire advance = !valid | out_ready;
  wire filling, done;
{newline.join(wires)}
  wire [{self.pe * self.simd * self.weight.bits - 1}:0] weights;
  wire [{self.in_bits - 1}:0] operands;
  assign in_ready = advance & filling;
  assign out_valid = valid;
  always @(posedge clk) if (advance) valid <= done;
  {instance(control, "control", names)}
  {instance(weights, "weight_memory", memory)}
  {instance(operands, "operand_buffer", held)}
{biases}
  {instance(lanes, "lanes", codes)}
"""
        return structural(self, body, units)

    def model(self) -> StreamModel:
        return _ArrayModel(self)

    def process(self, words: Sequence[int]) -> list[int]:
        codes, biases = self.stored()
        matrix, found = multiples(codes, self.weight), []
        for start in range(0, len(words) - self.words + 1, self.words):
            vector = [v for w in words[start : start + self.words] for v in self._elements(w)]
            acc = matrix @ multiples(np.array(vector, dtype=np.int64), self.act) + biases
            found += [self.lanes.codes(fold) for fold in acc.reshape(self.folds, self.pe)]
        return found

    def _elements(self, word: int) -> list[int]:
        return unpack(word, self.act.bits, self.simd, is_signed(self.act))

    def stimuli(self, vectors: int, seed: int) -> dict[str, Vectors]:
        """Random words, three of four cycles; where weights can be loaded, now and then a random one."""
        rng = np.random.default_rng(seed)
        words = [pack(random_codes(rng, self.act, self.simd), self.act.bits) for _ in range(vectors)]
        found = {
            "in_data": as_vectors(self.inputs[0], words),
            "in_valid": (rng.random(vectors) < 0.75).astype(np.int64),
            "out_ready": (rng.random(vectors) < 0.75).astype(np.int64),
        }
        if self.loadable:
            loaded = [
                pack(random_codes(rng, self.weight, self.pe * self.simd), self.weight.bits) for _ in range(vectors)
            ]
            found["weight_write"] = (rng.random(vectors) < 0.05).astype(np.int64)
            found["weight_address"] = rng.integers(0, self.cycles, vectors)
            found["weight_data"] = as_vectors(self.side_inputs[2], loaded)
        return found

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return respond_stream(self, inputs)


class _ArrayModel:
    """Sums grow with each step; a finished word travels `depth` - 1 cycles to the output register."""

    def __init__(self, unit: MatrixVectorArray) -> None:
        self.unit = unit
        self.memory = list(unit.weight_words())
        self.biases = unit.stored()[1].reshape(unit.folds, unit.pe)
        self.at = 0
        self.kept = [0] * unit.words
        self.acc: Vectors = self.biases[0]
        self.travelling: list[int | None] = [None] * (unit.depth - 1)
        self.valid, self.data = 0, 0

    def front(self) -> tuple[int, int]:
        return self.valid, self.data

    def ready(self, out_ready: int) -> int:
        return int((not self.valid or bool(out_ready)) and self.at < self.unit.words)

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        if not self.valid or out_ready:
            arrived = self.travelling.pop()
            self.travelling.insert(0, self._step(in_valid, in_data))
            self.valid = int(arrived is not None)
            self.data = self.data if arrived is None else arrived
        if side.get("weight_write"):
            self.memory[side["weight_address"]] = side["weight_data"]

    def _step(self, in_valid: int, in_data: int) -> int | None:
        """Take a step where one can be taken; the word of a fold that it finishes."""
        unit = self.unit
        fold, word = divmod(self.at, unit.words)
        if fold == 0:
            if not in_valid:
                return None
            self.kept[word] = in_data
        before = self.biases[fold] if word == 0 else self.acc
        self.acc = before + unit.lanes.sums(self.memory[self.at], self.kept[word])
        self.at = (self.at + 1) % unit.cycles
        return unit.lanes.codes(self.acc) if word == unit.words - 1 else None
