"""The surfaces that ship, and how they are made.

    python -m hwsim.cost_models.surface.shipped

fits every family of the table of synthesised units and renews `data/surfaces.json`. The file holds coefficients, hyper-
parameters, interval ends and the rows; it is text, and reading it runs no code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from hwsim.core.errors import InputError, nearest
from hwsim.cost_models.surface.catalogue import family
from hwsim.cost_models.surface.fit import fit_units, missing
from hwsim.cost_models.surface.surface import Surface
from hwsim.cost_models.surface.synthesised_rows import UnitRows, shipped_rows

FILE = Path(__file__).parent.parent / "data" / "surfaces.json"
RESOURCES = ("lut", "ff")


def surface(name: str, resource: str = "lut") -> Surface:
    """The shipped surface of a family.

    Raises
    ------
    InputError
        Where there is none.
    """
    found = shipped_surfaces()
    if (name, resource) not in found:
        names = {key[0] for key in found if key[1] == resource}
        raise InputError(f"no surface {name!r} of {resource}", where="surfaces", hint=nearest(name, names))
    return found[name, resource]


@cache
def shipped_surfaces() -> Mapping[tuple[str, str], Surface]:
    """All of the shipped file, or of the one that HWSIM_SURFACES names, by family and resource."""
    return read_surfaces(Path(os.environ.get("HWSIM_SURFACES") or FILE))


def fit_all(table: Mapping[str, UnitRows], resources: Iterable[str] = RESOURCES) -> dict[tuple[str, str], Surface]:
    """A surface for each family with enough rows and each resource."""
    return {
        (name, resource): fit_units(rows, resource)
        for name, rows in table.items()
        if not missing(rows)
        for resource in resources
    }


def write_surfaces(path: Path, surfaces: Iterable[Surface]) -> None:
    """One surface a line."""
    lines = [json.dumps(s.as_dict(), separators=(",", ":"), allow_nan=False) for s in surfaces]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def read_surfaces(path: Path) -> dict[tuple[str, str], Surface]:
    """What `write_surfaces` wrote.

    Raises
    ------
    InputError
        Where there is no such file, or it is not of this version's families.
    """
    if not path.is_file():
        raise InputError("no surfaces", where=str(path), hint="python -m hwsim.cost_models.surface.shipped")
    try:
        read = [Surface.from_dict(family(data["family"]), data) for data in json.loads(path.read_text())]
    except (ValueError, KeyError, TypeError, np.linalg.LinAlgError) as error:
        hint = "written by another version of hwsim? hwsim calibrate fpga writes it anew"
        raise InputError(f"not a file of surfaces: {error}", where=str(path), hint=hint) from None
    return {(s.family.name, s.resource): s for s in read}


def main() -> None:
    found = fit_all(shipped_rows())
    write_surfaces(FILE, found.values())
    print(f"{len(found)} surfaces in {FILE}, {FILE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
