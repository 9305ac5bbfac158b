"""Tables of measured points: what is written, resumed, interrupted, skipped."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hwsim.core.errors import InputError
from hwsim.latency import measurements, shapes
from hwsim.latency.profile import Bench, Point, Setting, keys, plan, record, write_points
from hwsim.latency.profile.__main__ import main
from hwsim.latency.profile.measure import configured

SETTING = Setting("cpu", "here", "fp32", budget_ms=1.0)
POINTS = [
    Point("conv2d", 2, shapes.conv(4, 4, (8, 8), (3, 3))), Point("linear", 1, shapes.linear(1, 16, 16), "tiny"),
    Point("relu", 1, shapes.memory(64, 64)), Point("matmul", 1, shapes.matmul(2, 4, 4, 4)),
]  # fmt: skip


@pytest.mark.exact
def test_rows_come_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    seen: list[tuple[int, int, int]] = []
    outcome = record(plan(POINTS, [SETTING]), path, progress=lambda *told: seen.append(told))
    rows = measurements.read(path)
    assert outcome.rows == len(rows) == 4 and outcome.left == 0 and not outcome.skipped
    assert {(row.operator, row.name, row.shape) for row in rows} == {(p.operator, p.name, p.shape) for p in POINTS}
    assert all(row.latency_us > 0 and row.samples >= 2 and row.runtime == "eager" for row in rows)
    assert all("threads 1" in row.source and torch.__version__ in row.source for row in rows)
    assert seen[-1] == (4, 4, 0)


@pytest.mark.exact
def test_resume_leaves_out_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    record(plan(POINTS[:2], [SETTING]), path)
    before = path.read_text()
    todo = plan(POINTS, [SETTING, replace(SETTING, precision="bf16")], keys(measurements.read(path)))
    assert len(todo) == 6
    record(todo, path)
    assert path.read_text().startswith(before)
    assert len(keys(measurements.read(path))) == 8


@pytest.mark.exact
def test_an_interrupt_keeps_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, visit = tmp_path / "rows.csv", Bench.visit

    def interrupted(self: Bench, point: Point, setting: Setting) -> object:
        if len(measurements.read(path)) == 2:
            raise KeyboardInterrupt
        return visit(self, point, setting)

    monkeypatch.setattr(Bench, "visit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(plan(POINTS, [SETTING]), path)
    assert len(measurements.read(path)) == 2


@pytest.mark.exact
def test_what_does_not_work_is_skipped_with_a_reason(tmp_path: Path) -> None:
    huge = Point("relu", 10**6, shapes.memory(10**8, 10**8))
    unknown = Point("mystery", 1, shapes.memory(8, 8))
    outcome = record(plan([huge, unknown, POINTS[2]], [SETTING]), tmp_path / "rows.csv")
    reasons = sorted(skip["reason"] for skip in outcome.skipped)
    assert outcome.rows == 1 and "GB needed" in reasons[0] and "no builder" in reasons[1]


@pytest.mark.exact
def test_time_is_up(tmp_path: Path) -> None:
    outcome = record(plan(POINTS, [SETTING]), tmp_path / "rows.csv", seconds=0.0)
    assert (outcome.rows, outcome.left) == (1, 3)


@pytest.mark.exact
def test_order_is_random_but_repeatable() -> None:
    many = [replace(POINTS[0], batch=batch) for batch in range(1, 30)]
    assert plan(many, [SETTING], seed=1) == plan(many, [SETTING], seed=1) != plan(many, [SETTING], seed=2)


@pytest.mark.exact
def test_torch_is_left_as_it_was() -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark, torch.get_num_threads()
    with configured(replace(SETTING, threads=2)):
        assert torch.get_num_threads() == 2 and torch.backends.cudnn.benchmark
        assert torch.is_inference_mode_enabled()
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark, torch.get_num_threads()) == before


@pytest.mark.exact
@pytest.mark.parametrize("wrong", [{"precision": "fp8"}, {"precision": "tf32"}, {"layout": "nhcw"}, {"kind": "npu"}])
def test_settings_that_are_not(wrong: dict[str, str]) -> None:
    with pytest.raises(InputError, match="|".join(wrong.values())) as error:
        replace(SETTING, **wrong)  # type: ignore[arg-type]
    assert error.value.where.startswith("--")


@pytest.mark.exact
def test_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = tmp_path / "points.csv", tmp_path / "rows.csv"
    write_points(table, POINTS)
    words = [str(table), str(out), "--device", "cpu", "--budget-ms", "1", "--threads", "1"]
    assert main(words) == 0
    assert main(words) == 2 and "--resume" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert len(measurements.read(out)) == 4
    assert json.loads(out.with_suffix(".json").read_text())["software"]["torch"] == torch.__version__
    assert main([str(tmp_path / "absent.csv"), str(out)]) == 2


@pytest.mark.exact
def test_needs_numpy_and_torch_alone() -> None:
    code = "import sys, hwsim.latency.profile.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("hwsim.")}
    assert not {n for n in ours if n.split(".")[1] not in ("core", "stats", "latency")}
    assert not {"pandas", "scipy", "sklearn", "typer", "pydantic"} & set(loaded)
