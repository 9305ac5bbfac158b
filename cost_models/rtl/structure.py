"""Units made of units: instances in Verilog, and the modules that they need, each once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hwsim.cost_models.rtl.unit import Unit, module

_MODULE = re.compile(r"^(?:\(\*[^\n]*\*\)\n)?module\b.*?^endmodule\n?", re.DOTALL | re.MULTILINE)
KEEP = '(* keep_hierarchy = "yes" *)\n'


def structural(unit: Unit, body: str, parts: Iterable[Unit], registers: tuple[str, ...] = ()) -> str:
    """The module of a unit and after it the modules of its parts."""
    return distinct_modules([module(unit, body, registers), *(part.verilog() for part in parts)])


def distinct_modules(sources: Iterable[str]) -> str:
    """All modules of several sources, those that occur more than once only the first time."""
    found = dict.fromkeys(text.strip() for source in sources for text in _MODULE.findall(source))
    return "\n\n".join(found) + "\n"


def instance(unit: Unit, label: str, connections: Mapping[str, str]) -> str:
    """`NAME LABEL(.port(signal), ...);` with every port connected, the clock included."""
    ports = {"clk": "clk"} if unit.clocked else {}
    ports |= {port.name: connections[port.name] for port in (*unit.inputs, *unit.outputs)}
    return f"{unit.name} {label}({', '.join(f'.{port}({signal})' for port, signal in ports.items())});"


def counted(parts: Iterable[tuple[Unit, int]]) -> tuple[tuple[Unit, int], ...]:
    """Equal units together, in the order in which they first occur."""
    found: dict[Unit, int] = {}
    for unit, count in parts:
        found[unit] = found.get(unit, 0) + count
    return tuple((unit, count) for unit, count in found.items() if count)
