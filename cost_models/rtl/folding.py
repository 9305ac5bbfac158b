"""What a folded matrix-vector product has beside products: registers, operand buffer, accumulators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.add import added
from hwsim.cost_models.rtl.memory import storage_of
from hwsim.cost_models.rtl.stream import index_bits, random_word
from hwsim.cost_models.rtl.unit import Port, Vectors, as_vectors, module, wrapped


@dataclass(frozen=True, slots=True)
class PipelineRegister:
    """`q <= d` where `enable` is one."""

    family: ClassVar[str] = "register"
    bits: int

    @property
    def name(self) -> str:
        return f"register_{self.bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("enable", 1), Port("d", self.bits)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("q", self.bits),)

    def verilog(self) -> str:
        return module(self, "  initial q = 0;\n  always @(posedge clk) if (enable) q <= d;", ("q",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        q, found = 0, []
        for enable, d in zip(inputs["enable"], inputs["d"], strict=True):
            q = int(d) if enable else q
            found.append(q)
        return {"q": as_vectors(self.outputs[0], found)}


@dataclass(frozen=True, slots=True)
class ReplayBuffer:
    """Passes a word on and keeps it where `write` is one, else gives the word kept; the output is a register.

    Attributes
    ----------
    words : two and up: LUTs up to 64, block RAM beyond; addresses beyond them are not defined.
    """

    family: ClassVar[str] = "replay_buffer"
    words: int
    bits: int

    def __post_init__(self) -> None:
        if self.words < 2 or self.bits < 1:
            raise InputError(
                f"{self.words} words of {self.bits} bits", where="replay_buffer", hint="at least two words"
            )

    @property
    def name(self) -> str:
        return f"replay_{self.words}x{self.bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("enable", 1), Port("write", 1), Port("address", index_bits(self.words)), Port("d", self.bits)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("q", self.bits),)

    def verilog(self) -> str:
        style = "block" if storage_of(self.words) == "block" else "distributed"
        body = f"""  (* ram_style = "{style}" *) reg [{self.bits - 1}:0] kept [0:{self.words - 1}];
  integer i;
  initial begin
    q = 0;
    for (i = 0; i < {self.words}; i = i + 1) kept[i] = 0;
  end
  always @(posedge clk) if (enable) begin
    if (write) kept[address] <= d;
    q <= write ? d : kept[address];
  end
"""
        return module(self, body, ("q",))

    def stimuli(self, vectors: int, seed: int) -> dict[str, Vectors]:
        """Random accesses to defined addresses."""
        rng = np.random.default_rng(seed)
        words = [random_word(rng, self.bits) for _ in range(vectors)]
        return {
            "enable": rng.integers(0, 2, vectors),
            "write": rng.integers(0, 2, vectors),
            "address": rng.integers(0, self.words, vectors),
            "d": as_vectors(self.inputs[3], words),
        }

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        kept = [0] * self.words
        q, found = 0, []
        columns = (inputs[port.name] for port in self.inputs)
        for enable, write, address, d in zip(*columns, strict=True):
            if enable and write:
                kept[int(address)] = int(d)
            q = kept[int(address)] if enable else q
            found.append(q)
        return {"q": as_vectors(self.outputs[0], found)}


@dataclass(frozen=True, slots=True)
class FoldAccumulator:
    """`acc <= term + (first ? bias : acc)` where `enable` is one.

    Attributes
    ----------
    in_bits, bias_bits, acc_bits : of the signed term, bias and sum; sums beyond acc_bits wrap.
    running : whether there is more than one term; without, the sum is term + bias.
    """

    family: ClassVar[str] = "fold_accumulator"
    in_bits: int
    bias_bits: int
    acc_bits: int
    running: bool = True

    @property
    def name(self) -> str:
        kind = "acc" if self.running else "add"
        return f"fold_{kind}{self.acc_bits}_s{self.in_bits}_s{self.bias_bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        first = (Port("first", 1),) if self.running else ()
        return Port("enable", 1), *first, Port("term", self.in_bits, True), Port("bias", self.bias_bits, True)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("acc", self.acc_bits, True),)

    def verilog(self) -> str:
        start = f"  wire signed [{self.acc_bits - 1}:0] start = bias;"
        before = "first ? start : acc" if self.running else "start"
        body = f"""{start}
  wire signed [{self.acc_bits - 1}:0] before = {before};
{added("term", "before", "1'b0", "acc_next", self.acc_bits)}\
  initial acc = 0;
  always @(posedge clk) if (enable) acc <= acc_next;
"""
        return module(self, body, ("acc",))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        acc, found = 0, []
        first = inputs["first"] if self.running else np.ones(len(inputs["term"]), dtype=np.int64)
        columns = inputs["enable"], first, inputs["term"], inputs["bias"]
        for enable, starts, term, bias in zip(*columns, strict=True):
            if enable:
                total = int(term) + (int(bias) if starts else acc)
                acc = int(wrapped(np.array(total), self.outputs[0]))
            found.append(acc)
        return {"acc": as_vectors(self.outputs[0], found)}
