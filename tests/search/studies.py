"""Small studies and what is compared of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from hwsim.config import StudyConfig, resolve
from hwsim.search import RunRecord, load_run

TINY = Path(__file__).with_name("tiny.py")
SECONDS = "seconds"
"""The only column that may differ between two runs of one study."""


def tables(**changes: Any) -> dict[str, Any]:
    """The tables of a study of 12 designs (6 pairs of formats on a part and a GPU); `changes` are laid over them."""
    study: dict[str, Any] = {
        "model": {"spec": f"{TINY}:network"},
        "data": {"calib": f"{TINY}:data", "eval": f"{TINY}:data", "calib_rows": 64},
        "formats": {"weights": ["int3", "e2m1", "int8"], "acts": ["e3m2", "int8"]},
        "fpga": {"parts": ["zu3eg"], "reuse": 4},
        "gpu": {"devices": ["v100"]},
    }
    for table, values in changes.items():
        study[table] = study.get(table, {}) | values
    return study


def study(**changes: Any) -> StudyConfig:
    return resolve(tables(**changes))


def stored(run_dir: Path) -> dict[str, Any]:
    """Everything in the store but times, and the files beside it, byte for byte."""
    found: dict[str, Any] = {}
    with sqlite3.connect(run_dir / "designs.sqlite") as connection:
        for table in ("evaluations", "designs"):
            cursor = connection.execute(f"SELECT * FROM {table} ORDER BY 1")
            names = [column[0] for column in cursor.description]
            found[table] = [{n: v for n, v in zip(names, row, strict=True) if n != SECONDS} for row in cursor]
    connection.close()
    for name in ("run.toml", "manifest.json"):
        found[name] = (run_dir / name).read_bytes()
    return found | written(load_run(run_dir))


def written(record: RunRecord) -> dict[str, Any]:
    """What a report's files hold of a record."""
    fronts = [(f.target, f.objectives, [d.id for d in f.designs], f.knee, f.hypervolume) for f in record.fronts]
    return {"rows": [repr(design) for design in record.designs], "fronts": repr(fronts), "notes": record.notes}
