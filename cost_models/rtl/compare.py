"""Comparators: the larger of two numbers, and the largest of a pooling window.

Minifloat codes are sign and magnitude, and magnitudes have the order of their codes; no decoder is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, Literal

import numpy as np

from hwsim.core.codes import decode
from hwsim.core.errors import InputError
from hwsim.core.formats import minifloat
from hwsim.cost_models.rtl.unit import Port, Vectors, module

Kind = Literal["int", "uint", "minifloat"]


@dataclass(frozen=True, slots=True)
class MaxOfTwo:
    """`y = max(a, b)`, combinational; of codes with equal values the larger one in the order -0 < +0.

    Attributes
    ----------
    bits : of a number, its sign included; 2 to 12 for minifloats.
    kind : `int` in two's complement, `uint`, or `minifloat`, signed, of any exponent width.
    """

    family: ClassVar[str] = "max_of_two"
    bits: int
    kind: Kind

    def __post_init__(self) -> None:
        _check(self.bits, self.kind)

    @property
    def name(self) -> str:
        return f"max_of_two_{self.kind}{self.bits}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        signed = self.kind == "int"
        return Port("a", self.bits, signed), Port("b", self.bits, signed)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("y", self.bits, self.kind == "int"),)

    def verilog(self) -> str:
        return module(self, _compared("y", "a", "b", self.bits, self.kind) + "  assign y = y_larger;")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"y": larger(inputs["a"], inputs["b"], self.bits, self.kind)}


@dataclass(frozen=True, slots=True)
class MaxPool:
    """`y = max(x0, x1, ...)`, a combinational tree of comparators.

    Attributes
    ----------
    taps : numbers in a window, at least 2.
    """

    family: ClassVar[str] = "max_pool"
    taps: int
    bits: int
    kind: Kind

    def __post_init__(self) -> None:
        _check(self.bits, self.kind)
        if self.taps < 2:
            raise InputError(f"a window of {self.taps}", where="max pool", hint="allowed: 2 and up")

    @property
    def name(self) -> str:
        return f"max_pool_{self.taps}_{self.kind}{self.bits}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return tuple(Port(f"x{i}", self.bits, self.kind == "int") for i in range(self.taps))

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("y", self.bits, self.kind == "int"),)

    def verilog(self) -> str:
        body, left = "", [f"x{i}" for i in range(self.taps)]
        for node in range(self.taps - 1):
            a, b, *left = left
            body += _compared(f"n{node}", a, b, self.bits, self.kind)
            left.append(f"n{node}_larger")
        return module(self, body + f"  assign y = {left[0]};")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        taps = [inputs[f"x{i}"] for i in range(self.taps)]
        return {"y": reduce(lambda a, b: larger(a, b, self.bits, self.kind), taps)}


def larger(a: Vectors, b: Vectors, bits: int, kind: Kind) -> Vectors:
    """The larger of two numbers or codes, by value; minifloat codes of equal value by sign."""
    if kind != "minifloat":
        return np.maximum(a, b)
    fmt = minifloat(1, bits - 2)  # the order of codes is the same for all splits into exponent and mantissa
    x, y = decode(a, fmt), decode(b, fmt)
    return np.where((x > y) | ((x == y) & (np.signbit(x) < np.signbit(y))), a, b)


def _compared(node: str, a: str, b: str, bits: int, kind: Kind) -> str:
    """Wire `NODE_larger`."""
    sign = " signed" if kind == "int" else ""
    first = f"{a} > {b}"
    keys = ""
    if kind == "minifloat":
        s, top = bits - 1, bits - 2
        keys = f"  wire {node}_above = {a}[{top}:0] > {b}[{top}:0];\n"
        first = f"({a}[{s}] ^ {b}[{s}] ? {b}[{s}] : {node}_above ^ {a}[{s}])"
    return keys + f"  wire{sign} [{bits - 1}:0] {node}_larger = {first} ? {a} : {b};\n"


def _check(bits: int, kind: Kind) -> None:
    least, most = (2, 12) if kind == "minifloat" else (1, 62)
    if not least <= bits <= most:
        raise InputError(f"{bits} bits of {kind}", where="comparator", hint=f"allowed: {least}..{most}")
