"""FPGA parts and GPUs as values. Their numbers live in TOML files, each with its source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from hwsim.core.errors import InputError, nearest


@dataclass(frozen=True, slots=True)
class Part:
    """An FPGA part.

    Attributes
    ----------
    name, title, family : `zu3eg`, "Zynq UltraScale+ ZU3EG (Ultra96)", "ultrascale+".
    lut, ff, dsp, bram18, uram : available resources.
    dsp_type : `DSP48E1`, `DSP48E2` or `DSP58`.
    clock_mhz : the clock that a design is assumed to reach.
    dram_gbps : off-chip bandwidth, GB/s.
    source : datasheet and table of every number.
    part_number : the vendor's, as its tools spell it; empty where none is known.
    """

    name: str
    title: str
    family: str
    lut: int
    ff: int
    dsp: int
    bram18: int
    uram: int
    dsp_type: str
    clock_mhz: float
    dram_gbps: float
    source: str
    part_number: str = ""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Attributes
    ----------
    peak_tflops : by precision, dense peak of the fastest unit that executes it.
    dram_gbps : sustained DRAM bandwidth, GB/s; `dram_gbps_spec` the datasheet's.
    native : for precisions the device executes, in order of preference (cheapest first).
    launch_us : cost of one kernel launch by runtime.
    source : where the numbers come from.
    board_watts, process_nm : power limit of the board and node of the chip, 0 where they are not known. A board with
        few watts for its peak does not hold its clock.
    """

    name: str
    title: str
    architecture: str
    sms: int
    clock_mhz: float
    peak_tflops: Mapping[str, float]
    dram_gbps: float
    dram_gbps_spec: float
    l2_mb: float
    native: tuple[str, ...]
    launch_us: Mapping[str, float]
    source: str
    board_watts: float = 0.0
    process_nm: float = 0.0


T = TypeVar("T", Part, Gpu)


def load_device(kind: type[T], path: Path) -> T:
    """Read one TOML file; a missing, unknown or mistyped key is an InputError that names file and key."""
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(str(error), where=str(path), hint="a TOML file is wanted") from None
    wanted = {f.name: str(f.type) for f in fields(kind)}
    for key in data:
        if key not in wanted:
            raise InputError(f"unknown key {key!r}", where=str(path), hint=nearest(key, wanted))
    for key in (f.name for f in fields(kind) if f.default is MISSING):
        if key not in data:
            raise InputError(f"key {key!r} is missing", where=str(path), hint=f"wanted: {', '.join(wanted)}")
    return kind(**{key: _typed(path, key, wanted[key], value) for key, value in data.items()})


def load_devices(kind: type[T], folder: Path) -> dict[str, T]:
    """All TOML files of a folder by device name, in alphabetical order."""
    found: dict[str, T] = {}
    for path in sorted(folder.glob("*.toml")):
        device = load_device(kind, path)
        if device.name in found:
            raise InputError(f"a second device named {device.name!r}", where=str(path), hint="give each its own name")
        found[device.name] = device
    return found


def _typed(path: Path, key: str, kind: str, value: Any) -> Any:
    checks: dict[str, tuple[type | tuple[type, ...], str]] = {
        "str": (str, "text"),
        "int": (int, "a whole number"),
        "float": ((int, float), "a number"),
        "tuple[str, ...]": (list, "a list"),
        "Mapping[str, float]": (dict, "a table"),
    }
    result: Any = value
    types, words = checks[kind]
    if not isinstance(value, types) or isinstance(value, bool):
        raise InputError(f"{key} = {value!r}", where=str(path), hint=f"{words} is wanted")
    if isinstance(value, list):
        return tuple(_typed(path, f"{key}[{i}]", "str", x) for i, x in enumerate(value))
    if isinstance(value, dict):
        return {name: _typed(path, f"{key}.{name}", "float", x) for name, x in value.items()}
    return float(result) if kind == "float" else result
