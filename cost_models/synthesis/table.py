"""The table of synthesised units: one row a unit and flow, as CSV.

Rows are sorted by family, flow and name, so that a change shows as few changed lines. A row's key is a digest of the
Verilog, the options and the version of the tool: where all three are the same, the row is still true.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.unit import Unit, parameters
from hwsim.cost_models.synthesis.cells import COLUMNS, Cells
from hwsim.cost_models.synthesis.yosys import Flow

SHIPPED = Path(__file__).parent.parent / "data" / "units.csv"
_TEXTS = ("family", "name", "parameters", "flow", "options", "tool", "key")
HEADER = (*_TEXTS, "lut", *COLUMNS, "seconds")


@dataclass(frozen=True, slots=True)
class Row:
    """One unit in one flow.

    Attributes
    ----------
    parameters : the unit's fields, as JSON.
    flow, options : the flow's name and what it means.
    tool : name and version.
    key : see `key_of`.
    seconds : wall time of the batch, shared equally among its units; a measure of effort, not of the unit.
    """

    family: str
    name: str
    parameters: str
    flow: str
    options: str
    tool: str
    key: str
    cells: Cells
    seconds: float

    @property
    def lut(self) -> int:
        return self.cells.lut

    @property
    def values(self) -> dict[str, Any]:
        """The unit's fields."""
        found: dict[str, Any] = json.loads(self.parameters)
        return found


def row_of(unit: Unit, flow: Flow, tool: str, cells: Cells, seconds: float) -> Row:
    """The row of a unit that was just synthesised."""
    key = key_of(unit, flow.options, tool)
    text = parameter_text(unit)
    return Row(unit.family, unit.name, text, flow.name, flow.options, tool, key, cells, round(seconds, 2))


def key_of(unit: Unit, options: str, tool: str) -> str:
    """A digest of everything that decides the counts."""
    words = "\0".join((unit.name, unit.verilog(), options, tool))
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def parameter_text(unit: Unit) -> str:
    """The fields of a unit as JSON; formats by their names."""
    return json.dumps(_plain(parameters(unit)), separators=(",", ":"))


def read_table(path: Path) -> list[Row]:
    """All rows of a table; none where there is no file.

    Raises
    ------
    InputError
        Where the file is no such table.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != HEADER:
                raise InputError("not a table of synthesised units", where=str(path), hint=f"columns: {HEADER}")
            return [_row(line, path, number) for number, line in enumerate(reader, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{error}", where=str(path), hint="a table that `hwsim synth` wrote") from None


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write a table: whole or not at all.

    Raises
    ------
    InputError
        Where the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for row in sorted(rows, key=_order):
        texts = [getattr(row, name) for name in _TEXTS]
        counts = [getattr(row.cells, name) for name in COLUMNS]
        writer.writerow([*texts, row.lut, *counts, f"{row.seconds:.2f}"])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", where=str(path), hint="another --out") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def merged(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Old rows, with new ones in the place of those of the same unit and flow."""
    found = {(row.flow, row.name): row for row in old}
    found.update({(row.flow, row.name): row for row in new})
    return list(found.values())


def _order(row: Row) -> tuple[Any, ...]:
    """Numbers inside names by value: w2 before w10."""
    parts = re.split(r"(\d+)", row.name)
    return row.family, row.flow, [(int(p), "") if p.isdigit() else (-1, p) for p in parts]


def _row(line: dict[str, str], path: Path, number: int) -> Row:
    try:
        cells = Cells(**{name: int(line[name]) for name in COLUMNS})
        texts = {name: line[name] for name in _TEXTS}
        row = Row(**texts, cells=cells, seconds=float(line["seconds"]))
        row.values  # noqa: B018 - parameters are JSON
        if cells.lut != int(line["lut"]):
            raise ValueError(f"lut is {line['lut']}, its parts sum to {cells.lut}")
        return row
    except (ValueError, TypeError) as error:
        raise InputError(f"line {number}: {error}", where=str(path), hint="synthesise that unit again") from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        own = type(value).__str__ is not object.__str__
        return str(value) if own else {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return value
