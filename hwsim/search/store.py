"""The store of a run: one SQLite file, a row an evaluation and a row a design, each committed as it ends.

Write-ahead log with `synchronous = NORMAL`: a commit hands the row to the operating system, so a process that is killed
at any moment loses nothing that was committed, and the file is never torn. A power failure may lose the last commits,
never more; `--resume` computes them again. A sync to disk for each design would buy only these.
Source: the SQLite documentation, "Write-Ahead Logging" and "PRAGMA synchronous".
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwsim.core.design import DesignPoint
from hwsim.core.errors import InputError
from hwsim.search.codec import Failure, Score, to_json
from hwsim.search.plan import Job, Target

APPLICATION_ID = 0x68777369  # "hwsi": marks the file as ours
SCHEMA_VERSION = 1
_TABLES = (
    """CREATE TABLE evaluations (
        key TEXT PRIMARY KEY, status TEXT NOT NULL, weights TEXT, acts TEXT, scale TEXT, recipe TEXT, seed INTEGER,
        metric REAL, payload TEXT NOT NULL, seconds REAL NOT NULL) STRICT""",
    """CREATE TABLE designs (
        id TEXT PRIMARY KEY, evaluation TEXT NOT NULL, status TEXT NOT NULL, target TEXT NOT NULL, weights TEXT,
        acts TEXT, scale TEXT, recipe TEXT, seed INTEGER, metric REAL, memory_bits INTEGER, lut REAL,
        latency_us REAL, fits TEXT, payload TEXT NOT NULL, seconds REAL NOT NULL) STRICT""",
)


class Store:
    """Rows of one run; open it with `open_store`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def put_evaluation(self, key: str, job: Job | None, result: Score | Failure, seconds: float) -> None:
        """Commit an evaluation; `job` is None for that of the float network."""
        c = job.candidate if job else None
        names = (c.weights, c.acts, c.scale, c.recipe, c.seed) if c else ("none", "none", None, None, None)
        status, metric = ("done", result.value) if isinstance(result, Score) else ("failed", None)
        self._put("evaluations", (key, status, *names, metric, to_json(result), seconds))

    def put_design(self, id: str, job: Job, target: Target, result: DesignPoint | Failure, seconds: float) -> None:
        """Commit a design, or why there is none."""
        c = job.candidate
        names = (target.name, c.weights, c.acts, c.scale, c.recipe, c.seed)
        if isinstance(result, Failure):
            self._put("designs", (id, job.key, "failed", *names, *(None,) * 5, to_json(result), seconds))
            return
        lut = result.lut.mid if result.lut else None
        figures = (result.metric, result.memory_bits, lut, result.latency_us.mid, result.fits)
        self._put("designs", (id, job.key, "done", *names, *figures, to_json(result), seconds))

    def evaluations(self) -> dict[str, str]:
        """Payloads of finished evaluations by key."""
        return dict(self._rows("SELECT key, payload FROM evaluations WHERE status = 'done'"))

    def finished(self) -> set[str]:
        """Ids of designs that have a result."""
        return {id for (id,) in self._rows("SELECT id FROM designs WHERE status = 'done'")}

    def designs(self, status: str = "done") -> dict[str, str]:
        """Payloads of designs by id, `done` or `failed`."""
        return dict(self._rows("SELECT id, payload FROM designs WHERE status = ? ORDER BY id", (status,)))

    def failed_names(self) -> dict[str, str]:
        """What each failed design was, in words, by id."""
        rows = self._rows("SELECT id, weights, acts, recipe, target FROM designs WHERE status = 'failed'")
        return {id: f"{weights}/{acts} {recipe} on {target}" for id, weights, acts, recipe, target in rows}

    def seconds(self) -> tuple[float, float]:
        """Time spent in evaluations and in designs, summed over workers."""
        rows = self._rows("SELECT (SELECT total(seconds) FROM evaluations), (SELECT total(seconds) FROM designs)")
        return rows[0][0], rows[0][1]

    def _put(self, table: str, row: tuple[Any, ...]) -> None:
        with _explained(self._path):
            marks = ", ".join("?" * len(row))
            self._connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with _explained(self._path):
            return self._connection.execute(query, values).fetchall()


@contextmanager
def open_store(path: Path, *, create: bool = False) -> Iterator[Store]:
    """The store in a file, made if wanted.

    Raises
    ------
    InputError
        No such file, a file of something else, a damaged one, or one of another version; the file is named.
    """
    if not create and not path.is_file():
        raise InputError("no such file", where=str(path), hint="a run directory of hwsim explore is wanted")
    mode = "rwc" if create else "rw"
    if not create and not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists():
        mode = "ro&immutable=1"  # else SQLite makes a log to read through, which such a folder refuses
    with _explained(path):
        uri = f"{path.resolve().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)
    try:
        with _explained(path):
            _prepare(connection, path, create)
        yield Store(connection, path)
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    """Check whose file it is; tables, mark and version of a new one appear in one transaction."""
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if create and not mark and not tables:
        connection.execute("PRAGMA journal_mode = WAL")
        statements = (*_TABLES, f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    elif mark != APPLICATION_ID:
        raise InputError("a database of something else", where=str(path), hint="name a run directory of hwsim explore")
    elif version != SCHEMA_VERSION:
        hint = f"this hwsim reads version {SCHEMA_VERSION}; use the hwsim that made it, or run the study again"
        raise InputError(f"a store of version {version}", where=str(path), hint=hint)
    if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise InputError(f"a damaged store: {found}", where=str(path), hint="run the study again into a new folder")
    if create:
        connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        hint = "is the disk full, or the folder not writable?"
        raise InputError(f"the store cannot be used: {error}", where=str(path), hint=hint) from error
    except sqlite3.DatabaseError as error:
        hint = "run the study again into a new folder"
        raise InputError(f"no store of hwsim, or a damaged one: {error}", where=str(path), hint=hint) from error
