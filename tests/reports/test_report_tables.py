"""designs.csv and front.json: fixed columns, exact floats, strict formats."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_study import design, study_of

from hwsim.core.cost import Interval
from hwsim.reports import Study, designs_csv, front_json
from hwsim.reports.tables import COLUMNS

pytestmark = pytest.mark.exact


def test_the_columns_are_those_of_a_row() -> None:
    assert tuple(design().as_row()) == COLUMNS


def test_csv_reads_back_exactly(study: Study) -> None:
    text = designs_csv(study.designs)
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert len(rows) == len(study.designs)
    for d in study.designs:
        for name, value in d.as_row().items():
            cell = rows[d.id][name]
            assert cell == "" if value is None or value == "" else type(value)(cell) == value, (d.id, name)


def test_csv_is_rfc_4180() -> None:
    text = designs_csv([design(note='commas, "quotes"\r\nand lines', setting="=1+1")])
    assert text.endswith("\r\n")
    assert text.split("\r\n")[0] == ",".join(COLUMNS)
    assert '"commas, ""quotes""\r\nand lines"' in text
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["note"] == 'commas, "quotes"\r\nand lines'


def test_bytes_do_not_depend_on_order_or_on_numpy(study: Study) -> None:
    assert designs_csv(reversed(study.designs)) == designs_csv(study.designs)
    assert designs_csv([design(metric=np.float64(0.1))]) == designs_csv([design(metric=0.1)])


def test_no_designs_give_a_header_and_empty_fronts() -> None:
    assert designs_csv([]) == ",".join(COLUMNS) + "\r\n"
    assert json.loads(front_json(study_of(()))) == {"fronts": [], "front": []}


def test_front_json_names_every_front_and_each_design_once(study: Study) -> None:
    data = json.loads(front_json(study))
    assert [(f["target"], tuple(f["objectives"])) for f in data["fronts"]] == [
        (f.target, f.objectives) for f in study.fronts
    ]
    ids = [row["id"] for row in data["front"]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {name for f in data["fronts"] for name in f["ids"]}
    for front in data["fronts"]:
        assert front["knee"] in front["ids"]
        assert 0 <= front["hypervolume"] <= 1
    by_id = {d.id: d for d in study.designs}
    assert data["front"] == [by_id[name].as_row() for name in ids]


def test_front_json_is_strict() -> None:
    endless = design(latency_us=Interval(1.0, 2.0, float("inf"), "us", "formula"))
    (row,) = json.loads(front_json(study_of((endless,))), parse_constant=pytest.fail)["front"]
    assert row["latency_us_hi"] is None


def test_tables_are_written(run_dir: Path, study: Study) -> None:
    assert (run_dir / "designs.csv").read_bytes() == designs_csv(study.designs).encode()
    assert (run_dir / "front.json").read_text() == front_json(study)
    assert front_json(replace(study, designs=study.designs[::-1])) == front_json(study)
