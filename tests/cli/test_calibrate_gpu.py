"""`hwsim calibrate gpu` and `hwsim predict` after it: keys, files, what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.cli.main import invoke
from hwsim.latency import device, measurements
from hwsim.latency.errors import Errors
from hwsim.latency.measurements import Measurement
from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.fit_classes import Prior
from hwsim.latency.networks.models import NetworkModels
from hwsim.latency.networks.network_model import NetworkModel
from hwsim.latency.networks.work_classes import TERMS
from hwsim.latency.profile.machine import device_text
from hwsim.latency.profile.small_networks import NAMES
from hwsim.latency.shapes import linear

SMALL = "hwsim.latency.profile.small_networks"
CARD = replace(device("rtx3090"), name="my-card")


@pytest.fixture(autouse=True)
def _own_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache folder of its own, and one plain model in place of those that ship."""
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    errors = Errors((0.05, 0.5, 0.95), (-0.5, 0.0, 0.5), 0.9, 5)
    spans = {"macs": (0.0, 1e15), "batch": (1.0, 64.0), "launches": (1.0, 5000.0)}
    classes = ClassModel(np.exp(Prior.plain(9.0).centre[: len(TERMS)]), 9.0, 4.0)
    model = NetworkModel("s", classes, None, None, errors, spans, 9, 99, TERMS, None, False, 0.9)
    transfer = dict.fromkeys(("server", "small", "layout"), errors)
    models = NetworkModels({"v100/eager/fp32/nchw": model}, transfer, {}, {}, {})
    for module in ("calibrate", "predict"):
        monkeypatch.setattr(import_module(f"hwsim.latency.{module}"), "network_models", lambda: models)


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A profile's folder: six products, three networks that need torch alone, one that nobody knows."""
    kernels = [(f"k{n}", linear(64 * n, 256, 512), 20.0 + n) for n in range(1, 7)]
    networks = [(f"{SMALL}:{name}@64", None, 900.0) for name in NAMES]
    made = [
        Measurement("my-card", "eager", "fp32", "nchw", "linear" if shape else "network", name, 1, shape, us, 0, 9, "x")
        for name, shape, us in [*kernels, *networks, ("timm:no_such_network@32", None, 5.0)]
    ]  # fmt: skip
    measurements.write(tmp_path / "rows.csv", made)
    (tmp_path / "device.toml").write_text(device_text(CARD))
    return tmp_path


def document(words: Sequence[object], capfd: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert invoke([*map(str, words), "--json"]) == code
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


@pytest.mark.golden
def test_the_document_and_what_predict_makes_of_it(profile: Path, capfd: pytest.CaptureFixture[str]) -> None:
    toml = profile / "device.toml"
    question = ["predict", f"{SMALL}:residual", "--device", toml, "--input-shape", "1,3,64,64"]
    plain = document(question, capfd)
    made = document(["calibrate", "gpu", profile / "rows.csv"], capfd)
    assert {"rows", "error", "device", "calibration", "skipped", "seconds"} <= set(made)
    assert made["rows"] == 9 and made["device"] == "my-card"
    assert made["calibration"] == str(profile / "cache" / "latency" / "calibrations" / "my-card.npz")
    for when in ("before", "after"):
        for what, rows in (("kernels", 6), ("networks", 3)):
            figures = made["error"][when][what]
            assert figures["rows"] == rows
            assert {"mape_pct", "median_pct", "within10_pct", "within20_pct"} <= set(figures)
    assert [skip["what"] for skip in made["skipped"]] == ["timm:no_such_network@32"]
    assert any("few data" in note for note in made["notes"])
    used = document(question, capfd)
    assert any("calibrated on 9 rows of my-card" in note for note in used["notes"])
    assert used["batches"][0]["latency_us"]["mid"] != plain["batches"][0]["latency_us"]["mid"]
    without = document([*question, "--calibration", "none"], capfd)
    assert without["batches"] == plain["batches"]
    named = document([*question, "--calibration", made["calibration"]], capfd)
    assert named["batches"] == used["batches"]


@pytest.mark.golden
def test_lines_and_a_chosen_file(profile: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = profile / "new" / "mine.npz"
    assert invoke(["calibrate", "gpu", str(profile / "rows.csv"), "-o", str(out)]) == 0
    text = capfd.readouterr().out
    assert out.is_file() and "networks" in text and "within 20 %" in text and "--calibration none" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["calibrate", "gpu"], "no file of measured times"),
        (["calibrate", "gpu", "rows.csv", "--device", "v100"], "rows of 'my-card'"),
        (["calibrate", "gpu", "rows.csv", "--units", "x"], "no meaning for a GPU"),
        (["calibrate", "gpu", "none.csv"], "No such file"),
        (["calibrate", "fpga", "--device", "v100"], "no meaning for an FPGA"),
        (["predict", f"{SMALL}:residual", "--device", "device.toml", "--calibration", "rows.csv"], ""),
    ],
)
@pytest.mark.golden
def test_what_is_refused(
    words: list[str], told: str, profile: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(profile)
    error = document([*words, *(["--input-shape", "1,3,64,64"] if words[0] == "predict" else [])], capfd, 2)["error"]
    assert told in error["message"] and error["hint"] and "Traceback" not in error["message"]
