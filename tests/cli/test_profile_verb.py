"""`hwsim profile` on this CPU with few and small points: what is written, resumed, interrupted and refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwsim.cli.main import invoke
from hwsim.latency import catalog, measurements, shapes
from hwsim.latency.profile import Bench, Point, Setting, machine, peaks, session, small_networks

POINTS = [
    Point("linear", 1, shapes.linear(1, 16, 16)),
    Point("relu", 1, shapes.memory(64, 64)),
    Point("mystery", 1, shapes.memory(8, 8)),
]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "points", lambda: POINTS)
    monkeypatch.setattr(session, "find_spec", lambda name: None)
    monkeypatch.setattr(session, "_BUDGET_MS", {"cpu": (1.0, 1.0)})
    monkeypatch.setattr(small_networks, "NAMES", ("depthwise",))
    monkeypatch.setattr(machine, "_BUDGET_MS", {"cpu": 1.0})
    monkeypatch.setattr(peaks, "_SIDES", {"cpu": (32,)})
    monkeypatch.setattr(peaks, "_COPY_BYTES", {"cpu": 1 << 20})
    monkeypatch.setattr(peaks, "_CACHES", 0)


def document(words: Sequence[str], capfd: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert invoke(["profile", "--device", "cpu", "--threads", "1", *words, "--json"]) == code
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


@pytest.mark.golden
def test_a_profile(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = document(["-o", str(tmp_path / "here")], capfd)
    assert {"rows", "device", "error", "seconds", "skipped", "paths"} <= set(found) and found["error"] is None
    rows = measurements.read(Path(found["paths"]["rows"]))
    assert found["rows"] == found["new"] == len(rows) == 4 and found["left"] == {"points": 0, "networks": 0}
    assert {row.device for row in rows} == {found["device"]}
    assert {row.name for row in rows if row.operator == "network"} == {f"{small_networks.__name__}:depthwise@64"}
    reasons = [skip["reason"] for skip in found["skipped"]]
    assert len(reasons) == 2 and "no builder" in reasons[0] and reasons[1] == "timm is not installed"
    assert catalog.device(found["paths"]["device"]).name == found["device"]
    note = json.loads(Path(found["paths"]["machine"]).read_text())
    assert note["reached"]["peak_tflops"]["fp32"] > 0 and note["rows"] == 4 and note["request"]["threads"] == 1
    words = ["predict", "zoo:resnet20", "--device", found["paths"]["device"], "--json"]
    assert invoke(words) == 0 and json.loads(capfd.readouterr().out)["device"] == found["device"]


@pytest.mark.golden
def test_resume(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["-o", str(tmp_path)]
    first = document([*words, "--no-networks"], capfd)
    assert first["rows"] == 2 and first["left"] == {"points": 0}
    refused = document(words, capfd, code=2)["error"]
    assert refused["where"] == str(tmp_path) and "--resume" in refused["hint"]
    before = (tmp_path / "device.toml").read_text()
    monkeypatch.setattr(session, "describe", None)  # is not measured again
    second = document([*words, "--resume"], capfd)
    assert (second["rows"], second["new"]) == (4, 2) and (tmp_path / "device.toml").read_text() == before
    assert json.loads((tmp_path / "machine.json").read_text())["reached"]["dram_gbps"] > 0
    assert document([*words, "--resume"], capfd)["new"] == 0


@pytest.mark.golden
def test_rows_of_another_device(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    document(["-o", str(tmp_path), "--no-networks"], capfd)
    path = tmp_path / "rows.csv"
    measurements.write(path, [replace(row, device="other") for row in measurements.read(path)])
    error = document(["-o", str(tmp_path), "--resume"], capfd, code=2)["error"]
    assert "rows of other" in error["message"] and error["where"] == str(path)


@pytest.mark.golden
def test_an_interrupt(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    visit = Bench.visit

    def interrupted(self: Bench, point: Point, setting: Setting) -> object:
        if len(measurements.read(tmp_path / "rows.csv")) == 1:
            raise KeyboardInterrupt
        return visit(self, point, setting)

    with monkeypatch.context() as patch:
        patch.setattr(Bench, "visit", interrupted)
        found = document(["-o", str(tmp_path)], capfd, code=130)
    assert found["error"]["code"] == "interrupted"
    assert json.loads((tmp_path / "machine.json").read_text())["rows"] == 1
    assert document(["-o", str(tmp_path), "--resume"], capfd)["rows"] == 4


@pytest.mark.golden
def test_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["profile", "--device", "cpu", "--minutes", "1e-6", "-o", str(tmp_path)]) == 0
    said = capfd.readouterr()
    assert "--resume goes on" in said.out and f"--device {tmp_path / 'device.toml'}" in said.out
    assert "profile: bandwidth" in said.err


@pytest.mark.golden
@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["--device", "gpu"], "--device"), (["--precision", "fp8"], "--precision"),
        (["--precision", "tf32"], "--precision"),
        (["--layout", "hwc"], "--layout"), (["--minutes", "0"], "--minutes"), (["--minutes", "nan"], "--minutes"),
        (["--threads", "0"], "--threads"),
    ],
)  # fmt: skip
def test_bad_words(words: list[str], where: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "absent"
    assert document([*words, "-o", str(folder)], capfd, code=2)["error"]["where"] == where
    assert not folder.exists()


@pytest.mark.golden
def test_a_folder_that_cannot_be(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    error = document(["-o", str(tmp_path / "file" / "folder")], capfd, code=2)["error"]
    assert "cannot write" in error["message"]
