"""`hwsim calibrate`: refits on tables of synthesised units, factors from reports, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hwsim.cli.main import invoke
from hwsim.core.cost import Cost, Interval
from hwsim.cost_models import UnitCost
from hwsim.cost_models.surface import shipped
from hwsim.cost_models.synthesis import FLOWS, Cells, experiment, write_table
from hwsim.cost_models.synthesis.table import row_of
from hwsim.cost_models.vendor import ReportRow, fit_calibration, read_calibration
from hwsim.cost_models.vendor.calibration import write_calibration
from hwsim.cost_models.vendor.estimates import Pair

HIERARCHY = """| Design       : top
| Design State : Routed
| Instance | Module | Total LUTs | FFs | RAMB36 | RAMB18 | DSP Blocks |
| top      |  (top) |        390 | 470 |      2 |      1 |          7 |
|   fc1    |   fc1  |        160 | 300 |      1 |      0 |          4 |
|   fc2    |   fc2  |         80 | 100 |      1 |      0 |          3 |
|   glue   |   glue |        150 |  70 |      0 |      1 |          0 |
"""


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipped, "FILE", tmp_path / "shipped.json")


def document(words: Sequence[object], capfd: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert invoke(["calibrate", *map(str, words), "--json"]) == code
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


def table_of(path: Path, units: int = 20, scale: int = 1) -> Path:
    """Multipliers of the design of experiments with counts near W A."""
    chosen = experiment("int_mul")[:units]
    cells = [Cells(lut6=scale * (5 + u.w_bits * u.a_bits + k % 3)) for k, u in enumerate(chosen)]  # type: ignore[attr-defined]
    rows = [row_of(unit, FLOWS["base"], "yosys 1.0", c, 0.1) for unit, c in zip(chosen, cells, strict=True)]
    write_table(path, rows)
    return path


def estimate(path: Path) -> Path:
    counts = {"lut": 500.0, "ff": 500.0, "dsp": 7.0, "bram18": 4.0}
    layers = [
        {"name": "fc.1", "lut": 200.0, "ff": 300.0, "dsp": 4.0, "bram18": 2.0},
        {"name": "fc.2", "lut": 100.0, "ff": 100.0, "dsp": 3.0, "bram18": 2.0},
    ]
    path.write_text(json.dumps({n: {"lo": v, "mid": v, "hi": v} for n, v in counts.items()} | {"layers": layers}))
    return path


@pytest.mark.golden
def test_a_table_is_refitted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = document(["fpga", table_of(tmp_path / "one.csv"), "--out", shipped.FILE], capfd)
    assert first["rows"] == 20 and first["error"]["before"] == {"lut": None, "ff": None}
    assert shipped.read_surfaces(shipped.FILE)[("int_mul", "lut")].predict(
        {"w_bits": [1], "a_bits": [1], "a_signed": [True]}
    ).mid[0] == pytest.approx(6, abs=3)
    again = document(["fpga", table_of(tmp_path / "two.csv", 24, 3), "--family", "int_mul"], capfd)
    before, after = again["error"]["before"]["lut"], again["error"]["after"]["lut"]
    assert before["rows"] == after["rows"] == 24
    assert before["median"] > 0.5 and after["median"] < 0.2
    assert again["surfaces"] == str(tmp_path / "cache" / "calibration" / "surfaces.json")
    assert {f["resource"] for f in again["families"]} == {"lut", "ff"}


@pytest.mark.golden
def test_without_a_file_the_table_in_the_cache_is_taken(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    own = table_of(tmp_path / "cache" / "synthesis" / "units.csv")
    assert document(["fpga", "--workers", 1], capfd)["table"] == str(own)
    assert invoke(["calibrate", "fpga", "--workers", "1"]) == 0
    said = capfd.readouterr().out
    assert "int_mul" in said and "no surface ships" in said


@pytest.mark.golden
def test_units_reported_by_a_tool_give_factors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    units = table_of(tmp_path / "units.csv")
    lines = [f"{u.name},{0.8 * (5 + u.w_bits * u.a_bits + k % 3)}" for k, u in enumerate(experiment("int_mul")[:20])]  # type: ignore[attr-defined]
    mine = tmp_path / "mine.csv"
    mine.write_text("\n".join(["design,lut", *lines, "stranger,7"]) + "\n")
    found = document(["fpga", mine, "--units", units, "--out", tmp_path / "mine.json"], capfd)
    assert found["rows"] == 20 and found["unmatched"] == [{"file": str(mine), "design": "stranger"}]
    assert found["scales"]["lut"]["factor"] == pytest.approx(0.8, rel=0.02)
    assert found["error"]["before"]["lut"]["median"] == pytest.approx(0.25)
    assert found["error"]["after"]["lut"]["median"] < 0.02
    kept = read_calibration(tmp_path / "mine.json")
    assert (kept.tool, kept.stage, kept.scales["lut"].rows) == ("table", "post_route", 20)


@pytest.mark.golden
def test_layers_of_a_network_in_a_hierarchical_report(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "util.rpt"
    report.write_text(HIERARCHY.replace("fc1 ", "fc_1").replace("fc2 ", "fc_2"))
    words = ["fpga", report, "--estimate", estimate(tmp_path / "net.json")]
    found = document(words, capfd)
    assert found["rows"] == 2 and [u["design"] for u in found["unmatched"]] == ["top/glue"]
    assert found["scales"]["lut"]["raw"] == pytest.approx(0.8)
    assert found["scales"]["dsp"]["raw"] == pytest.approx(1.0)
    assert found["calibration"] == str(tmp_path / "cache" / "calibration" / "vivado-post_route.json")
    assert invoke(["calibrate", *map(str, words)]) == 0
    assert "--calibration" in capfd.readouterr().out


def factors(tmp_path: Path) -> Path:
    """A calibration of five units that a tool counts with 0.8 of the LUTs."""
    path = tmp_path / "mine.json"
    pairs = [Pair(f"u{k}", {"lut": 100.0}, {"lut": 80.0, "ff": None, "dsp": None, "bram18": None}) for k in range(5)]
    rows = [ReportRow(pair.design, 80.0, None, None, None, None, "post_route", "vivado") for pair in pairs]
    write_calibration(path, fit_calibration(rows, pairs))
    return path


@pytest.mark.golden
def test_an_operator_is_costed_with_factors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def hundred(kind: str, weights: object, acts: object, k: int, part: object) -> UnitCost:
        lut, ff, dsp = Interval(90.0, 100.0, 110.0, "LUT", "formula"), *(Interval.exact(9.0, u) for u in ("FF", "DSP"))
        return UnitCost(kind, "int4", "int4", k, "kv260", lut, ff, dsp, 14, {"tree": 100.0}, ())

    monkeypatch.setattr("hwsim.cost_models.unit_cost", hundred)
    words = ["cost", "--unit", "mac", "--part", "kv260", "-w", "int4", "-a", "int4", "--json"]
    assert invoke([*words, "--calibration", str(factors(tmp_path))]) == 0
    found = json.loads(capfd.readouterr().out)
    factor = read_calibration(tmp_path / "mine.json").scales["lut"].factor
    assert found["lut"]["mid"] == pytest.approx(100 * factor) and found["terms"]["tree"] == pytest.approx(100 * factor)
    assert (found["lut"]["stage"], found["ff"]["mid"], found["ff"]["stage"]) == ("post_route", 9, "formula")


@pytest.mark.golden
def test_a_network_is_costed_with_factors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def thousand(network: object, part: str, **options: object) -> Cost:
        counts = [Interval(0.9 * v, v, 1.1 * v, u, "formula") for v, u in ((1000.0, "LUT"), (9.0, "FF"))]
        none, once = Interval.exact(0.0, "DSP"), Interval.exact(1.0, "us")
        return Cost(part, *counts, none, none, once, once, 200.0, "yes", ())

    monkeypatch.setattr("hwsim.api.cost", thousand)
    words = ["cost", "zoo:mlp", "--input-shape", "1,64", "--part", "kv260", "-w", "int4", "-a", "int4", "--json"]
    assert invoke([*words, "--calibration", str(factors(tmp_path))]) == 0
    found = json.loads(capfd.readouterr().out)
    factor = read_calibration(tmp_path / "mine.json").scales["lut"].factor
    assert found["lut"]["mid"] == pytest.approx(1000 * factor) and found["ff"]["mid"] == 9
    assert any("vivado reports" in note for note in found["notes"])
    (tmp_path / "mine.json").write_text("{}")
    assert invoke([*words, "--calibration", str(tmp_path / "mine.json")]) == 2
    assert "hwsim calibrate fpga" in json.loads(capfd.readouterr().out)["error"]["hint"]


@pytest.mark.golden
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tpu"], "fpga, gpu"),
        (["fpga", "none.csv"], "none.csv"),
        (["fpga", "units.csv", "units.csv"], "one table"),
        (["fpga", "units.csv", "mine.csv"], "one table"),
        (["fpga", "units.csv", "--family", "int_mull"], "int_mul"),
        (["fpga", "units.csv", "--stage", "hls"], "--stage"),
        (["fpga", "units.csv", "--workers", "0"], "--workers"),
        (["fpga", "few.csv"], "hwsim synth"),
        (["fpga", "units.csv", "--out", "mine.csv/deep"], "mine.csv"),
        (["fpga", "mine.csv", "--family", "int_mul"], "--family"),
        (["fpga", "mine.csv"], "--estimate"),
        (["fpga", "mine.csv", "--estimate", "mine.csv"], "not JSON"),
        (["fpga", "mine.csv", "--units", "mine.csv"], "table of synthesised units"),
        (["fpga", "mine.csv", "--stage", "hls"], "post_route"),
        (["fpga", "bad.csv"], "line 3, column lut"),
        (["fpga", "text.txt"], "report_utilization"),
        (["fpga", "mine.csv", "other.csv", "--estimate", "net.json"], "other.csv"),
    ],
)
def test_bad_input_is_named(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table_of(tmp_path / "units.csv", 8)
    table_of(tmp_path / "few.csv", 3)
    estimate(tmp_path / "net.json")
    (tmp_path / "mine.csv").write_text("design,lut\nnet,3\n")
    (tmp_path / "other.csv").write_text("design,lut\nNet,4\n")
    (tmp_path / "bad.csv").write_text("design,lut\nx,3\ny,many\n")
    (tmp_path / "text.txt").write_text("nothing of the kind")
    error = document(words, capfd, code=2)["error"]
    assert error["where"] and error["hint"]
    assert says in " ".join(error.values())
