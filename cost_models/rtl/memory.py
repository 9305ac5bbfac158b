"""Memories: weights that are constant, and words that are written while the design runs. Reads are registered.

Up to 64 words go to LUTs (a LUT6 holds 64 x 1 bit: UG474, UG574), more to block RAM; an attribute asks for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.stream import index_bits, random_word
from hwsim.cost_models.rtl.structure import KEEP
from hwsim.cost_models.rtl.unit import Port, Vectors, as_vectors, module

LUT_WORDS = 64

Storage = Literal["lut", "block"]


def storage_of(words: int) -> Storage:
    """Where a memory of so many words goes."""
    return "lut" if words <= LUT_WORDS else "block"


@dataclass(frozen=True, slots=True)
class WeightRom:
    """`data <= contents[address]` where `enable` is one.

    In LUTs it stays a module of its own: within a large module, whose longest paths lie elsewhere, Yosys (0.70, ABC9)
    shares parts of the tables and spends up to five LUTs a bit where one holds the table.

    Attributes
    ----------
    words : at least two; the contents at addresses beyond them are not defined.
    bits : of a word.
    seed : of uniform random contents.
    contents : one integer of `bits` bits a word, in place of random ones.
    """

    family: ClassVar[str] = "weight_rom"
    words: int
    bits: int
    seed: int = 0
    contents: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _check_size("weight_rom", self.words, self.bits)
        if self.contents is not None and len(self.contents) != self.words:
            raise InputError(f"{len(self.contents)} words of contents", where="weight_rom", hint=f"{self.words} words")

    @property
    def name(self) -> str:
        drawn = f"seed{self.seed}" if self.contents is None else f"crc{checksum(self.contents)}"
        return f"weight_rom_{self.words}x{self.bits}_{drawn}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("enable", 1), Port("address", index_bits(self.words))

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("data", self.bits),)

    def stored(self) -> tuple[int, ...]:
        """The contents."""
        if self.contents is not None:
            return self.contents
        rng = np.random.default_rng(self.seed)
        return tuple(random_word(rng, self.bits) for _ in range(self.words))

    def verilog(self) -> str:
        if storage_of(self.words) == "block":
            return module(self, self._memory(), ("data",))
        return KEEP + module(self, self._tables(), ("data",))

    def _tables(self) -> str:
        """A constant a bit of the word, which the address selects from: synthesis makes LUTs of them at once."""
        stored, top = self.stored(), self.words - 1
        columns = [sum(((word >> i) & 1) << at for at, word in enumerate(stored)) for i in range(self.bits)]
        lines = [f"  wire [{top}:0] table{i} = {self.words}'h{column:x};\n" for i, column in enumerate(columns)]
        reads = ", ".join(f"table{i}[address]" for i in reversed(range(self.bits)))
        return f"""{"".join(lines)}  initial data = 0;
  always @(posedge clk) if (enable) data <= {{{reads}}};
"""

    def _memory(self) -> str:
        lines = "\n".join(f"    rom[{i}] = {self.bits}'h{word:x};" for i, word in enumerate(self.stored()))
        return f"""  (* rom_style = "block" *) reg [{self.bits - 1}:0] rom [0:{self.words - 1}];
  initial begin
    data = 0;
{lines}
  end
  always @(posedge clk) if (enable) data <= rom[address];
"""

    def stimuli(self, vectors: int, seed: int) -> dict[str, Vectors]:
        """Random reads of defined addresses."""
        rng = np.random.default_rng(seed)
        return {"enable": rng.integers(0, 2, vectors), "address": rng.integers(0, self.words, vectors)}

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        stored, data, found = self.stored(), 0, []
        for enable, address in zip(inputs["enable"], inputs["address"], strict=True):
            data = stored[int(address)] if enable else data
            found.append(data)
        return {"data": as_vectors(self.outputs[0], found)}


@dataclass(frozen=True, slots=True)
class DualPortRam:
    """One write port, one registered read port; a read of the word being written gives what was there before.

    Attributes
    ----------
    words : at least two; addresses beyond them are not defined.
    bits : of a word.
    contents : what it holds at first, one integer a word; zeros unless given.
    """

    family: ClassVar[str] = "dual_port_ram"
    words: int
    bits: int
    contents: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _check_size("dual_port_ram", self.words, self.bits)
        if self.contents is not None and len(self.contents) != self.words:
            raise InputError(
                f"{len(self.contents)} words of contents", where="dual_port_ram", hint=f"{self.words} words"
            )

    @property
    def name(self) -> str:
        drawn = "" if self.contents is None else f"_crc{checksum(self.contents)}"
        return f"ram_{self.words}x{self.bits}{drawn}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        address = index_bits(self.words)
        read = Port("enable", 1), Port("address", address)
        return *read, Port("write", 1), Port("write_address", address), Port("write_data", self.bits)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("data", self.bits),)

    def stored(self) -> tuple[int, ...]:
        """What it holds at first."""
        return self.contents or (0,) * self.words

    def verilog(self) -> str:
        style = "block" if storage_of(self.words) == "block" else "distributed"
        if self.contents is None:
            filled = f"    for (i = 0; i < {self.words}; i = i + 1) ram[i] = 0;"
        else:
            filled = "\n".join(f"    ram[{i}] = {self.bits}'h{word:x};" for i, word in enumerate(self.contents))
        body = f"""  (* ram_style = "{style}" *) reg [{self.bits - 1}:0] ram [0:{self.words - 1}];
  integer i;
  initial begin
    data = 0;
{filled}
  end
  always @(posedge clk) begin
    if (write) ram[write_address] <= write_data;
    if (enable) data <= ram[address];
  end
"""
        return module(self, body, ("data",))

    def stimuli(self, vectors: int, seed: int) -> dict[str, Vectors]:
        """Random reads and writes of defined addresses, at the same address one time in eight."""
        rng = np.random.default_rng(seed)
        read, written = rng.integers(0, self.words, (2, vectors))
        written = np.where(rng.random(vectors) < 1 / 8, read, written)
        data = [random_word(rng, self.bits) for _ in range(vectors)]
        return {
            "enable": rng.integers(0, 2, vectors),
            "address": read,
            "write": rng.integers(0, 2, vectors),
            "write_address": written,
            "write_data": as_vectors(self.inputs[4], data),
        }

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        ram: list[Any] = list(self.stored())
        data, found = 0, []
        columns = (inputs[port.name] for port in self.inputs)
        for enable, address, write, written, value in zip(*columns, strict=True):
            data = ram[int(address)] if enable else data
            if write:
                ram[int(written)] = int(value)
            found.append(data)
        return {"data": as_vectors(self.outputs[0], found)}


def _check_size(where: str, words: int, bits: int) -> None:
    if words < 2 or bits < 1:
        raise InputError(f"{words} words of {bits} bits", where=where, hint="at least two words of one bit")


def checksum(contents: tuple[int, ...]) -> str:
    """A short digest, for names."""
    return f"{zlib.crc32(','.join(map(str, contents)).encode()):08x}"
