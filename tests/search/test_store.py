"""The store: what goes in comes out, and a file that is not ours or is damaged is named."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from hwsim.core.cost import Interval
from hwsim.core.design import DesignPoint
from hwsim.core.devices import Part
from hwsim.core.errors import InputError, UnsupportedError
from hwsim.search.codec import Failure, Score, to_json
from hwsim.search.plan import Candidate, Job, Target
from hwsim.search.store import open_store

pytestmark = pytest.mark.exact

PART = Part("p", "P", "f", 1, 1, 1, 1, 0, "DSP48E2", 100.0, 1.0, "made up")
JOB = Job(Candidate("int4", "int8", "rtn", 0, "pow2"), "key", (Target(PART, {"reuse": 1}),), ("id",))
SCORE = Score("top1", 0.1 + 0.2, 0.25, 0.5, 150)
DESIGN = DesignPoint(
    "id", "int4", "int8", "same", "pow2", "rtn", 0, "p", None, "dataflow", 0.3, 0.25, 0.5, "top1", 1000,
    Interval(1.0, 1 / 3 + 1, 2.5, "LUT", "formula", 0.9), Interval.exact(3, "FF"), Interval.exact(0.0, "DSP"),
    Interval.exact(1, "BRAM18"), Interval(1e-9, 1.0, float("inf"), "us", "formula"), "yes", "ünïcode; 'note'",
    ({"name": "stem", "lut": 1.5, "terms": {"a": 0.1}, "weight": None},),
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "designs.sqlite"
    with open_store(path, create=True) as store:
        store.put_evaluation("key", JOB, SCORE, 1.5)
        store.put_design("id", JOB, JOB.targets[0], DESIGN, 0.5)
    return path


def test_rows_come_back_as_they_were(path: Path) -> None:
    with open_store(path) as store:
        assert Score(**json.loads(store.evaluations()["key"])) == SCORE
        (payload,) = store.designs().values()
        assert DesignPoint.from_json(json.loads(payload)) == DESIGN
        assert to_json(DesignPoint.from_json(json.loads(payload))) == payload
        assert store.seconds() == (1.5, 0.5)
    assert [p.name for p in path.parent.iterdir()] == ["designs.sqlite"]  # no log is left behind


def test_a_failure_is_a_row_that_a_result_replaces(tmp_path: Path) -> None:
    failure = Failure.of(UnsupportedError("no model of fft", where="layer fft", hint="leave it out"))
    assert (failure.code, failure.exit_code, str(failure)) == ("unsupported", 3, "layer fft: no model of fft")
    assert Failure.of(ZeroDivisionError("by zero")).message == "ZeroDivisionError: by zero"
    with open_store(tmp_path / "s", create=True) as store:
        store.put_evaluation("key", JOB, failure, 0.0)
        store.put_design("id", JOB, JOB.targets[0], failure, 0.0)
        assert (store.evaluations(), store.designs()) == ({}, {})
        assert store.failed_names() == {"id": "int4/int8 rtn on p"}
        store.put_design("id", JOB, JOB.targets[0], DESIGN, 0.0)
        assert (list(store.designs()), store.designs("failed")) == (["id"], {})


def test_each_row_is_committed_at_once(path: Path) -> None:
    with open_store(path, create=True) as store:
        store.put_design("second", JOB, JOB.targets[0], DESIGN, 0.0)
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT count(*) FROM designs").fetchone() == (2,)
        other.close()


def test_columns_can_be_asked_for_in_sql(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        row = connection.execute("SELECT target, weights, acts, metric, lut, fits, status FROM designs").fetchone()
        mode = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    assert row == ("p", "int4", "int8", 0.3, 1 / 3 + 1, "yes", "done")
    assert mode == ("wal",)


def refuses(path: Path, says: str, create: bool = False) -> None:
    with pytest.raises(InputError, match=says) as caught, open_store(path, create=create):
        pass
    assert str(path) in caught.value.where


@pytest.mark.parametrize("create", [False, True])
def test_a_file_of_something_else(tmp_path: Path, create: bool) -> None:
    text, foreign = tmp_path / "text", tmp_path / "foreign"
    text.write_text("no database at all, but long enough to have a header " * 20)
    refuses(text, "not a database", create)
    assert text.read_text().startswith("no database")
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE designs (x)")
    connection.close()
    refuses(foreign, "something else", create)
    refuses(tmp_path / "missing", "no such file")


def test_a_damaged_file(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refuses(path, "damaged", create=True)
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    refuses(path, "damaged")


def test_another_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    refuses(path, "version 7", create=True)


def test_a_file_that_was_just_begun_is_taken_over(tmp_path: Path) -> None:
    """What a kill may leave of a new store: nothing, an empty file, or one that has its log mode but no tables."""
    empty, logged = tmp_path / "empty", tmp_path / "logged"
    empty.touch()
    with sqlite3.connect(logged) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    for path in (empty, logged):
        with open_store(path, create=True) as store:
            store.put_evaluation("key", JOB, SCORE, 0.0)
        with open_store(path) as store:
            assert list(store.evaluations()) == ["key"]
