"""The five functions of the Python interface, on a module of the caller's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import hwsim
from hwsim.core.errors import InputError, UnsupportedError

SHAPE = (1, 1, 8, 8)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))


@pytest.fixture(scope="module")
def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(48, 1, 8, 8, generator=generator), torch.randint(0, 3, (48,), generator=generator)


def test_quantize_with_labels(net: nn.Module, rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = rows
    made = hwsim.quantize(net, x[:16], (x[16:], y[16:]), weights="int8", acts="int8")
    assert made.metric is not None and made.float_metric is not None
    assert made.metric.name == "top1" and made.metric.n == 32
    assert made.metric.lo <= made.metric.value <= made.metric.hi
    assert [row["name"] for row in made.layers] == ["0", "4"]
    assert "int8" in made._repr_html_()


def test_quantize_without_labels_counts_agreement(net: nn.Module, rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    made = hwsim.quantize(net, rows[0][:16], rows[0][16:], weights="fp32", acts="none")
    assert made.metric is not None and made.metric.name == "agreement" and made.metric.value == 1


def test_overlapping_rows_are_refused(net: nn.Module, rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(InputError, match="16"):
        hwsim.quantize(net, rows[0][:16], rows[0], weights="int8", acts="int8")


def test_cost_and_predict_need_no_data(net: nn.Module) -> None:
    cost = hwsim.cost(net, "kv260", weights="int4", acts="e2m1", input_shape=SHAPE)
    assert cost.lut.lo <= cost.lut.mid <= cost.lut.hi and "kv260" in cost._repr_html_()
    found = hwsim.predict(net, "v100", batch=(1, 8), input_shape=SHAPE)
    assert [b.batch for b in found.batches] == [1, 8] and "v100" in found._repr_html_()


def test_explore_writes_a_run(tmp_path: Path) -> None:
    config = {
        "model": {"spec": "zoo:mlp"},
        "formats": {"weights": ["int4", "e2m1"], "acts": ["int4"]},
        "fpga": {"parts": ["kv260"]},
        "gpu": {"devices": ["v100"]},
    }
    record = hwsim.explore(config, tmp_path / "run")
    assert len(record.designs) == 4 and record.complete
    assert {"run.toml", "manifest.json", "designs.sqlite", "designs.csv", "front.json", "report.html"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    rows = json.loads((tmp_path / "run" / "front.json").read_text())["front"]
    wanted = "id weights acts recipe part device metric lut memory_bits latency_us fits".split()
    assert rows and all(set(wanted) <= set(row) for row in rows)


def test_export_writes_a_project(net: nn.Module, rows: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    made = hwsim.quantize(net, rows[0][:16], weights="int4", acts="int4", scale="pow2")
    exported = hwsim.export(made, tmp_path / "hls", part="kv260")
    assert exported.verification is None and (tmp_path / "hls" / "firmware" / "defines.h").is_file()
    assert set(exported.project.weight_types) == {"0", "4"}
    with pytest.raises(UnsupportedError, match="vitis"):
        hwsim.export(made, tmp_path / "other", backend="quartus")


def test_tied_weights_are_stored_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(torch.relu(self.a(x)))

    made = hwsim.quantize(Tied(), torch.randn(32, 16), weights="int4", acts="int8")
    assert made.model.memory_bits == 256 * 4 + 2 * 16 * 32


def test_maps_of_scores_are_decided_along_the_class_axis() -> None:
    torch.manual_seed(0)
    net = nn.Conv2d(2, 3, 3, padding=1)
    x = torch.randn(24, 2, 6, 6)
    y = net(x).argmax(1)
    made = hwsim.quantize(net, x[:8], (x[8:], y[8:]), weights="fp32", acts="none")
    assert made.metric is not None and made.metric.value == 1 and made.metric.n == 16 * 36
    with pytest.raises(InputError, match="shape"):
        hwsim.quantize(net, x[:8], (x[8:], y[8:, 0, 0]), weights="int8", acts="int8")


def test_one_score_is_no_classifier() -> None:
    with pytest.raises(InputError, match="one score"):
        hwsim.quantize(nn.Linear(4, 1), torch.randn(8, 4), torch.randn(8, 4) + 9, weights="int8", acts="int8")


def test_half_precision_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="float16"):
        hwsim.cost(nn.Linear(4, 2).half(), "kv260", input_shape=(1, 4))


def test_a_scale_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="scale 'foo'"):
        hwsim.cost(nn.Linear(4, 4), "kv260", scale="foo", input_shape=(1, 4))  # type: ignore[arg-type]
