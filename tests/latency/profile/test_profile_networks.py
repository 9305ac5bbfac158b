"""Times of whole networks: what is written, skipped, resumed, and in which precision it ran."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hwsim.core.errors import InputError
from hwsim.latency import measurements
from hwsim.latency.profile.measure import Setting
from hwsim.latency.profile.network_bench import NetworkBench, Plan, Report, Size, Spec
from hwsim.latency.profile.networks import main, network_keys, read_specs, record_networks

SETTING = Setting("cpu", "here", "fp32", "nhwc", budget_ms=1.0)
SEEN: list[tuple[torch.dtype, torch.dtype, bool]] = []


class Tiny(nn.Module):
    def __init__(self, large: bool) -> None:
        super().__init__()
        self.conv, self.large = nn.Conv2d(3, 4, 3), large

    def forward(self, x: Tensor) -> Tensor:
        if self.large and x.shape[0] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
        y: Tensor = self.conv(x)
        SEEN.append((self.conv.weight.dtype, y.dtype, x.is_contiguous(memory_format=torch.channels_last)))
        return y


def builder(spec: Spec) -> tuple[nn.Module, Size]:
    if spec.name == "broken":
        raise ValueError("no such network")
    return Tiny(spec.name == "large"), (3, spec.side or 8, spec.side or 8)


@pytest.mark.exact
def test_rows_and_reasons(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    plan = Plan(SETTING, ("fp32", "bf16"), (4, 1, 2))
    report = record_networks([Spec("tiny", 9), Spec("broken"), Spec("large")], plan, path, builder)
    rows = measurements.read(path)
    assert report.rows == len(rows) == 8 and report.left == 0
    assert {row.name for row in rows} == {"timm:tiny@9", "timm:large@8"}
    assert all(row.operator == "network" and row.shape is None and row.latency_us > 0 for row in rows)
    reasons = {skip["network"]: skip["reason"] for skip in report.skipped}
    assert reasons["broken"] == "ValueError: no such network"
    assert "out of memory" in reasons["timm:large@8, batch 2, fp32, nhwc"]
    assert "timm:large@8, batch 4, fp32, nhwc" not in reasons


@pytest.mark.exact
def test_each_precision_has_its_weights_and_its_arithmetic(tmp_path: Path) -> None:
    SEEN.clear()
    plan = Plan(SETTING, ("fp16", "bf16", "amp", "fp32"), (1,))
    record_networks([Spec("tiny")], plan, tmp_path / "rows.csv", builder)
    single, half, brain = torch.float32, torch.float16, torch.bfloat16
    kinds = list(dict.fromkeys(SEEN))
    assert kinds == [(single, single, True), (single, half, True), (half, half, True), (brain, brain, True)]
    rows = measurements.read(tmp_path / "rows.csv")
    assert [(row.precision, "autocast" in row.source) for row in rows] == [
        ("fp32", False), ("fp16", True), ("fp16", False), ("bf16", False)
    ]  # fmt: skip
    assert len(network_keys(rows)) == 4


@pytest.mark.exact
def test_time_is_up(tmp_path: Path) -> None:
    report = record_networks([Spec("tiny"), Spec("b")], Plan(SETTING, ("fp32",), (1,)), tmp_path / "r", builder, (), -1)
    assert (report.rows, report.left) == (0, 2)
    assert NetworkBench(Plan(SETTING, ("fp32",), (1,)), builder, (), 0.0, Report()).time_is_up()


@pytest.mark.exact
def test_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names, out = tmp_path / "names", tmp_path / "rows.csv"
    names.write_text("tiny@9\n# comment\n\ntiny  # twice\ntiny\n")
    assert read_specs(names) == [Spec("tiny", 9), Spec("tiny")]
    words = [str(out), "--models", str(names), "--batches", "1,2", "--device", "cpu", "--budget-ms", "1"]
    assert main(words, builder) == 0
    assert main(words, builder) == 2 and "--resume" in capsys.readouterr().err
    assert main([*words, "--resume", "--precision", "fp32,bf16"], builder) == 0
    assert len(measurements.read(out)) == 8
    about = json.loads(out.with_suffix(".json").read_text())
    assert about["rows"] == 4 and about["software"]["torch"] == torch.__version__


@pytest.mark.exact
@pytest.mark.parametrize("wrong", ["name@", "name@large", "name@0"])
def test_lists_that_are_not(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "names").write_text(wrong)
    if wrong == "name@":
        assert read_specs(tmp_path / "names") == [Spec("name")]
        return
    with pytest.raises(InputError, match="image size"):
        read_specs(tmp_path / "names")


@pytest.mark.exact
@pytest.mark.parametrize(("words", "batches"), [(("fp8",), (1,)), (("tf32",), (1,)), (("fp32",), (0,))])
def test_plans_that_are_not(words: tuple[str, ...], batches: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        Plan(SETTING, words, batches)
