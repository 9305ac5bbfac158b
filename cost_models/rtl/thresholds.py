"""Threshold units: how many thresholds an accumulator reaches, which is any monotone activation with few levels.

Thresholds at run time may come in any order, so the comparisons are counted. Constant ones rise, so the comparisons
are a thermometer: bit k of the count is read off by choosing, with the higher bits, which comparison decides it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.unit import Port, Vectors, module


@dataclass(frozen=True, slots=True)
class ThresholdUnit:
    """`y = number of thresholds <= x`, combinational, with 2^out_bits - 1 thresholds.

    Attributes
    ----------
    in_bits : of the signed accumulator x and of every threshold.
    constant : whether the thresholds are built in; otherwise they are inputs t0, t1, ...
    seed : of the built-in thresholds, drawn without replacement; of no meaning otherwise.
    """

    family: ClassVar[str] = "thresholds"
    in_bits: int
    out_bits: int
    constant: bool
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.out_bits <= self.in_bits:
            raise InputError(
                f"{self.out_bits} bits from an accumulator of {self.in_bits}",
                where="threshold unit",
                hint="allowed: 1 up to as many as the accumulator has",
            )

    @property
    def name(self) -> str:
        kind = f"constant{self.seed}" if self.constant else "runtime"
        return f"thresholds_b{self.in_bits}_u{self.out_bits}_{kind}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def count(self) -> int:
        return (1 << self.out_bits) - 1

    @property
    def constants(self) -> tuple[int, ...]:
        """The built-in thresholds, rising; the lowest value of x, which every x reaches, is not among them."""
        low = -(1 << (self.in_bits - 1))
        drawn = random.Random(self.seed).sample(range(1, 1 << self.in_bits), self.count)
        return tuple(sorted(low + step for step in drawn))

    @property
    def inputs(self) -> tuple[Port, ...]:
        x = Port("x", self.in_bits, True)
        return (x,) if self.constant else (x, *(Port(f"t{i}", self.in_bits, True) for i in range(self.count)))

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("y", self.out_bits),)

    def verilog(self) -> str:
        return module(self, self._thermometer() if self.constant else self._counted())

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        x = inputs["x"]
        if self.constant:
            return {"y": np.searchsorted(np.array(self.constants), x, side="right")}
        return {"y": sum((inputs[f"t{i}"] <= x).astype(np.int64) for i in range(self.count))}  # type: ignore[dict-item]

    def _counted(self) -> str:
        lines = [f"  wire [{self.count - 1}:0] reached;\n"]
        lines += [f"  assign reached[{i}] = x >= t{i};\n" for i in range(self.count)]
        terms = " + ".join(f"reached[{i}]" for i in range(self.count))
        return "".join(lines) + f"  assign y = {terms};"

    def _thermometer(self) -> str:
        lines = [f"  wire [{self.count - 1}:0] reached;\n"]
        for i, threshold in enumerate(self.constants):
            sign = "-" if threshold < 0 else ""
            lines.append(f"  assign reached[{i}] = x >= {sign}{self.in_bits}'sd{abs(threshold)};\n")
        for bit in range(self.out_bits):
            half = 1 << bit  # the count has this bit where it reaches an odd multiple of `half`
            odd = [f"reached[{half * (2 * i + 1) - 1}]" for i in range(1 << (self.out_bits - 1 - bit))]
            lines.append(f"  assign y[{bit}] = {_chosen(odd, bit + 1)};\n")
        return "".join(lines)


def _chosen(options: list[str], bit: int) -> str:
    """One of 2^k options by the bits of y from `bit` upwards."""
    while len(options) > 1:
        options = [f"(y[{bit}] ? {high} : {low})" for low, high in zip(options[::2], options[1::2], strict=True)]
        bit += 1
    return options[0]
