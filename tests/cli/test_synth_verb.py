"""`hwsim synth` with a synthesiser of its own in the place of Yosys: what is run, kept, repeated and reported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hwsim.cli.main import invoke
from hwsim.core.errors import MissingToolError
from hwsim.cost_models import synthesis
from hwsim.cost_models.rtl.elementwise import Relu
from hwsim.cost_models.rtl.unit import Unit
from hwsim.cost_models.synthesis import Cells, Flow, read_table, write_table
from hwsim.cost_models.synthesis import table as table_module
from hwsim.cost_models.synthesis.yosys import Yosys, YosysError

FAMILY = ["--family", "relu"]


class FakeYosys:
    """Counts that follow from names; a unit that it refuses; the call at which Ctrl-C comes; what it ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.calls = 0
        self.bad = ""
        self.stop_at = 0
        self.more_lut6 = 0
        self.more_in_batches: set[str] = set()
        self.always_more: dict[str, int] = {}

    def synthesise(self, yosys: Yosys, flow: Flow, units: Sequence[Unit]) -> dict[str, Cells]:
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        if any(unit.name == self.bad for unit in units):
            raise YosysError(f"ERROR: syntax error in {self.bad}")
        self.ran += [unit.name for unit in units]
        return {unit.name: Cells(lut6=len(unit.name) + self._more(unit.name, len(units))) for unit in units}

    def _more(self, name: str, units: int) -> int:
        return self.more_lut6 + self.always_more.get(name, 0) + (name in self.more_in_batches and units > 1)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeYosys:
    found = FakeYosys()
    monkeypatch.setattr(synthesis, "find_yosys", lambda: Yosys(("yosys",), "yosys 1.0"))
    monkeypatch.setattr(synthesis, "synthesise", found.synthesise)
    monkeypatch.setattr(table_module, "SHIPPED", tmp_path / "shipped.csv")
    return found


def document(words: Sequence[str], capfd: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert invoke(["synth", *words, "--json"]) == code
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


@pytest.mark.golden
def test_rows_are_kept_and_not_repeated(fake: FakeYosys, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "units.csv"
    words = [*FAMILY, "--out", str(path)]
    first = document([*words, "--limit", "5"], capfd)
    assert {"rows", "new", "failed", "seconds", "table"} <= set(first)
    assert (first["rows"], first["new"], first["failed"], first["table"]) == (5, 5, [], str(path))
    second = document(words, capfd)
    assert second["new"] == len(synthesis.experiment("relu")) - 5 and second["rows"] == len(read_table(path))
    assert sorted(fake.ran) == sorted(unit.name for unit in synthesis.experiment("relu"))
    before = path.read_bytes()
    assert document(words, capfd)["new"] == 0
    assert path.read_bytes() == before and fake.calls == 2


@pytest.mark.golden
def test_flows_have_rows_of_their_own(fake: FakeYosys, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [*FAMILY, "--limit", "2", "--out", str(tmp_path / "units.csv")]
    document(words, capfd)
    assert document([*words, "--flow", "dsp"], capfd)["rows"] == 4


@pytest.mark.golden
def test_shipped_rows_are_taken_over(fake: FakeYosys, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    document([*FAMILY, "--limit", "3", "--out", str(tmp_path / "shipped.csv")], capfd)
    found = document([*FAMILY, "--limit", "0", "--out", str(tmp_path / "own.csv")], capfd)
    assert (found["rows"], found["new"]) == (3, 0) and fake.calls == 1
    assert read_table(tmp_path / "own.csv") == read_table(tmp_path / "shipped.csv")


@pytest.mark.golden
def test_a_unit_at_fault_is_reported(fake: FakeYosys, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fake.bad = "relu_s8"
    found = document([*FAMILY, "--out", str(tmp_path / "units.csv")], capfd, code=1)
    assert [f["unit"] for f in found["failed"]] == ["relu_s8"] and "syntax error" in found["failed"][0]["message"]
    assert found["new"] == len(synthesis.experiment("relu")) - 1


@pytest.mark.golden
def test_an_interruption_says_what_is_kept(
    fake: FakeYosys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "units.csv"
    fake.stop_at = 2
    assert invoke(["synth", "--family", "residual_add", "--out", str(path)]) == 130
    said = capfd.readouterr().err
    assert "40 new rows" in said and str(path) in said and len(read_table(path)) == 40
    fake.stop_at = 0
    assert invoke(["synth", "--family", "residual_add", "--out", str(path)]) == 0
    assert len(fake.ran) == len(set(fake.ran)) == len(synthesis.experiment("residual_add"))


@pytest.mark.golden
def test_check_finds_a_difference(fake: FakeYosys, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [*FAMILY, "--out", str(tmp_path / "units.csv")]
    document(words, capfd)
    found = document([*words, "--check"], capfd)
    assert (found["checked"], found["differ"]) == (len(synthesis.experiment("relu")), [])
    fake.more_in_batches = {"relu_s8", "relu_s16"}  # as alone: not told
    assert document([*words, "--check"], capfd)["differ"] == []
    fake.always_more = {"relu_s8": 1}
    (told,) = document([*words, "--check"], capfd)["differ"]
    assert "relu_s8" in told and "lut6=7" in told and "lut6=8" in told
    fake.always_more = {"relu_s8": 1, "relu_s16": 1}
    assert "2 of" in document([*words, "--check"], capfd, code=6)["error"]["message"]
    fake.always_more = {"relu_s8": 2}  # of 7
    assert "1 of" in document([*words, "--check"], capfd, code=6)["error"]["message"]
    fake.always_more, fake.more_lut6 = {}, 1
    assert document([*words, "--check"], capfd, code=6)["error"]["code"] == "verification"


@pytest.mark.golden
def test_check_needs_rows_of_the_same_tool(fake: FakeYosys, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path / "units.csv", [])
    found = document([*FAMILY, "--out", str(tmp_path / "units.csv"), "--check"], capfd, code=2)
    assert "yosys 1.0" in found["error"]["message"]


@pytest.mark.golden
@pytest.mark.parametrize("words", [["--family", "relus"], ["--flow", "fast"], ["--limit", "-1"]])
def test_bad_options_are_named(fake: FakeYosys, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    error = document(words, capfd, code=2)["error"]
    assert error["where"] and error["hint"] and fake.calls == 0


@pytest.mark.golden
def test_without_yosys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("hwsim.cost_models.synthesis.yosys.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    error = document([*FAMILY, "--out", str(tmp_path / "units.csv")], capfd, code=MissingToolError.exit_code)["error"]
    assert error["code"] == "missing_tool" and "hwsim[synth]" in error["hint"]
    assert not (tmp_path / "units.csv").exists()


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
def test_simulation_counts_units_vectors_and_mismatches(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--simulate", "50", "--family", "relu", "--family", "int_mac", "--limit", "3"]
    found = document(words, capfd)["families"]
    assert [(f["family"], f["units"], len(f["wrong"])) for f in found] == [("relu", 3, 0), ("int_mac", 3, 0)]
    assert found[0]["exhaustive"] == 3 and found[1]["exhaustive"] == 0 and found[1]["vectors"] == 150
    right = Relu.verilog
    monkeypatch.setattr(Relu, "verilog", lambda self: right(self).replace("assign y = ", "assign y = ~", 1))
    wrong = document(words, capfd, code=6)["families"][0]["wrong"]
    assert len(wrong) == 3 and wrong[0]["expected"] != wrong[0]["simulated"]
    assert invoke(["synth", *words]) == 6
    text = capfd.readouterr().out
    assert "ports with mismatches" in text and "instead of" in text


@pytest.mark.parametrize("words", [["0"], ["9", "--check"], ["9", "--flow", "dsp"]])
def test_simulation_takes_vectors_and_no_check(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert document(["--simulate", *words, "--family", "relu"], capfd, code=2)["error"]["where"] == "--simulate"
