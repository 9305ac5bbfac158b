"""What every piece of hardware here is: ports, Verilog, and the function that it has to compute.

A unit is a frozen dataclass whose fields are its parameters. Its Verilog is one module named `name`, with the ports
in order and, where it has registers, `clk` first; further modules that it needs follow. Its `respond` is the same
function in numpy, written from `hwsim.core` and not from the Verilog, so that simulating one against the other says
something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[Any]  # integers: int64, or Python integers (dtype object) where a port has more than 62 bits
WIDEST_INT64 = 62


@dataclass(frozen=True, slots=True)
class Port:
    """One port; its values are integers in two's complement where `signed`, else not negative."""

    name: str
    bits: int
    signed: bool = False

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << (self.bits - int(self.signed))) - 1

    def declared(self, direction: str, register: bool = False) -> str:
        """`input signed [3:0] w`"""
        kind = " reg" if register else ""
        sign = " signed" if self.signed else ""
        return f"{direction}{kind}{sign} [{self.bits - 1}:0] {self.name}"


class Unit(Protocol):
    """A piece of hardware.

    Attributes
    ----------
    family : of units with the same parameters, which one surface of the cost model covers.
    clocked : whether it has registers. Vectors are then successive cycles: row t stands at the inputs before clock edge
        t, and the outputs of row t are those after it. All registers start at zero.
    """

    family: ClassVar[str]

    @property
    def name(self) -> str:
        """A Verilog identifier that no other unit has."""
        ...

    @property
    def clocked(self) -> bool: ...

    @property
    def inputs(self) -> tuple[Port, ...]: ...

    @property
    def outputs(self) -> tuple[Port, ...]: ...

    def verilog(self) -> str: ...

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]: ...


def parameters(unit: Unit) -> dict[str, Any]:
    """The fields of a unit, as tables and fits know it."""
    return {f.name: getattr(unit, f.name) for f in fields(unit)}  # type: ignore[arg-type]


def module(unit: Unit, body: str, registers: tuple[str, ...] = ()) -> str:
    """The module of a unit around its body; outputs in `registers` are declared as registers."""
    clock = ["input clk"] if unit.clocked else []
    ports = [*clock, *(p.declared("input") for p in unit.inputs)]
    ports += [p.declared("output", p.name in registers) for p in unit.outputs]
    lines = ",\n  ".join(ports)
    return f"module {unit.name}(\n  {lines}\n);\n{body.rstrip()}\nendmodule\n"


def as_vectors(port: Port, values: Any) -> Vectors:
    """Values of a port in the type that holds them."""
    if port.bits > WIDEST_INT64:
        found = np.empty(len(values), dtype=object)
        found[:] = [int(v) for v in values]
        return found
    return np.asarray(values, dtype=np.int64)


def wrapped(values: Vectors, port: Port) -> Vectors:
    """Values reduced to the width of a port, as hardware drops high bits."""
    size = 1 << port.bits
    low = values & (size - 1)
    return np.where(low >= size // 2, low - size, low) if port.signed else low
