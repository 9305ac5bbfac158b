"""Streams: what all units that pass words on with a valid/ready handshake have in common.

A word moves at a clock edge where valid and ready are both one. Ports are `in_data`, `in_valid` and `in_ready` on one
side and `out_data`, `out_valid` and `out_ready` on the other. `out_valid` and `out_data` come from registers;
`in_ready` may depend on `out_ready` in the same cycle. Element i of a vector of b-bit elements stands in bits
b i to b i + b - 1 of its word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, as_vectors


class StreamModel(Protocol):
    """The state of a stream unit between two clock edges, for simulation cycle by cycle."""

    def front(self) -> tuple[int, int]:
        """`out_valid` and `out_data`."""
        ...

    def ready(self, out_ready: int) -> int:
        """`in_ready`."""
        ...

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        """One clock edge, with the inputs that stand before it; `side` holds the ports beyond the stream."""
        ...


class StreamUnit(Unit, Protocol):
    """A unit with one stream in and one stream out."""

    @property
    def in_bits(self) -> int: ...

    @property
    def out_bits(self) -> int: ...

    @property
    def side_inputs(self) -> tuple[Port, ...]:
        """Input ports beyond the stream, as those through which weights are loaded."""
        ...

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        """The units that it instantiates, with how many of each; itself where it has none."""
        ...

    def model(self) -> StreamModel:
        """Its state before the first clock edge."""
        ...

    def process(self, words: Sequence[int]) -> list[int]:
        """The output words for these input words, whatever the cycles they come and go in."""
        ...


def stream_inputs(unit: StreamUnit) -> tuple[Port, ...]:
    return Port("in_data", unit.in_bits), Port("in_valid", 1), Port("out_ready", 1), *unit.side_inputs


def stream_outputs(unit: StreamUnit) -> tuple[Port, ...]:
    return Port("in_ready", 1), Port("out_data", unit.out_bits), Port("out_valid", 1)


def respond_stream(unit: StreamUnit, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
    """Outputs after every clock edge, from the model of a unit."""
    model = unit.model()
    side = [port.name for port in unit.side_inputs]
    rows: list[tuple[int, int, int]] = []
    for t in range(len(inputs["in_valid"])):
        out_ready = int(inputs["out_ready"][t])
        beside = {name: int(inputs[name][t]) for name in side}
        model.clock(int(inputs["in_valid"][t]), int(inputs["in_data"][t]), out_ready, beside)
        valid, data = model.front()
        rows.append((model.ready(out_ready), data, valid))
    columns: Iterable[tuple[Any, ...]] = zip(*rows, strict=True)
    return {port.name: as_vectors(port, column) for port, column in zip(unit.outputs, columns, strict=True)}


def pack(values: Iterable[int], bits: int) -> int:
    """One word of elements of `bits` bits, the first in the lowest bits; negative ones in two's complement."""
    mask = (1 << bits) - 1
    word = 0
    for i, value in enumerate(values):
        word |= (int(value) & mask) << (i * bits)
    return word


def unpack(word: int, bits: int, count: int, signed: bool = False) -> list[int]:
    """The elements of a word."""
    mask = (1 << bits) - 1
    found = [(word >> (i * bits)) & mask for i in range(count)]
    return [v - (1 << bits) if signed and v >> (bits - 1) else v for v in found]


def random_word(rng: np.random.Generator, bits: int) -> int:
    """Uniform bits."""
    return int.from_bytes(rng.bytes((bits + 7) // 8), "little") & ((1 << bits) - 1)


def index_bits(count: int) -> int:
    """Bits that number `count` things, at least one."""
    return max(1, (count - 1).bit_length())
