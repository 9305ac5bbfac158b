"""Energies of single operations as data: the shipped file with its sources, or a user's own."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hwsim.core.errors import InputError, nearest

SHIPPED = Path(__file__).parent / "data" / "energy.toml"
COEFFICIENTS = (
    "integer_add_bit",
    "integer_multiply_bit_pair",
    "shift_bit",
    "float16_add",
    "float16_multiply",
    "float32_add",
    "float32_multiply",
    "on_chip_bit",
    "dram_bit",
)
TEXTS = ("name", "label", "unit")


@dataclass(frozen=True, slots=True)
class Coefficient:
    """The energy of one operation in the table's unit, and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class EnergyTable:
    """All coefficients by name.

    Attributes
    ----------
    name : of the technology or the measurement.
    label : how far the figures may be read: `relative` where only ratios between designs mean anything.
    unit : of every coefficient, an energy.
    """

    name: str
    label: str
    unit: str
    coefficients: Mapping[str, Coefficient]

    def __getitem__(self, name: str) -> float:
        return self.coefficients[name].value


@cache
def shipped_table() -> EnergyTable:
    """The table that comes with the project."""
    return energy_table(SHIPPED)


def energy_table(path: str | Path) -> EnergyTable:
    """Read a table.

    Raises
    ------
    InputError
        For a file that cannot be read, and for a missing, unknown or wrong key, which it names.
    """
    where = str(path)
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(str(error), where=where, hint="a TOML file is wanted") from None
    _all_there(where, "", data, (*TEXTS, "coefficients"))
    texts = {key: _text(where, key, data[key]) for key in TEXTS}
    table = data["coefficients"]
    if not isinstance(table, dict):
        raise InputError(f"coefficients = {table!r}", where=where, hint="a table [coefficients.NAME] each is wanted")
    _all_there(where, "coefficients.", table, COEFFICIENTS)
    return EnergyTable(**texts, coefficients={key: _coefficient(where, key, table[key]) for key in COEFFICIENTS})


def _all_there(where: str, prefix: str, found: Mapping[str, Any], wanted: tuple[str, ...]) -> None:
    for key in found:
        if key not in wanted:
            raise InputError(f"unknown key {prefix + key!r}", where=where, hint=nearest(key, wanted))
    for key in wanted:
        if key not in found:
            raise InputError(f"key {prefix + key!r} is missing", where=where, hint=f"wanted: {', '.join(wanted)}")


def _coefficient(where: str, key: str, row: Any) -> Coefficient:
    prefix = f"coefficients.{key}"
    if not isinstance(row, dict):
        raise InputError(f"{prefix} = {row!r}", where=where, hint="a table with value and source is wanted")
    _all_there(where, f"{prefix}.", row, ("value", "source"))
    value = row["value"]
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise InputError(f"{prefix}.value = {value!r}", where=where, hint="a number from 0 is wanted")
    return Coefficient(float(value), _text(where, f"{prefix}.source", row["source"]))


def _text(where: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{key} = {value!r}", where=where, hint="text is wanted")
    return value
