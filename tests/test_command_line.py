"""The command line's promises: quick help, no heavy imports, one JSON document with its keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hwsim.cli.main import invoke

BANNED = ("torch", "pandas", "sklearn", "scipy", "matplotlib", "plotly", "optuna", "moocore")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, hwsim\nfrom hwsim.cli.main import invoke\nassert invoke(['--help']) == 0\n"
        f"print([m for m in {BANNED!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def document(words: str, capfd: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert invoke([*words.split(), "--json"]) == 0
    found: dict[str, object] = json.loads(capfd.readouterr().out)
    return found


def test_formats(capfd: pytest.CaptureFixture[str]) -> None:
    found = document("formats e2m1", capfd)
    assert {"name", "bits", "values", "max", "smallest"} <= set(found)
    assert found["max"] == 6 and len(found["values"]) == 15  # type: ignore[arg-type]
    everything = document("formats", capfd)["formats"]
    assert {"int4", "e4m3", "nvfp4"} <= {row["name"] for row in everything}  # type: ignore[attr-defined]


def test_quantize(capfd: pytest.CaptureFixture[str]) -> None:
    words = "quantize zoo:mlp --calib zoo:digits --eval zoo:digits --weights int4 --acts int4"
    found = document(words, capfd)
    assert {"float_metric", "metric", "metric_name", "layers", "recipe", "seconds"} <= set(found)
    rows: list[dict[str, object]] = found["layers"]  # type: ignore[assignment]
    assert all({"name", "weight", "act", "sqnr_db"} <= set(row) for row in rows)
    assert 0.8 < float(str(found["metric"])) <= 1 and found["metric_name"] == "top1"


def test_cost(capfd: pytest.CaptureFixture[str]) -> None:
    found = document("cost zoo:mlp --part kv260 --weights int4 --acts e2m1", capfd)
    for key in ("lut", "ff", "dsp", "bram18", "latency_us", "ii_cycles"):
        assert {"lo", "mid", "hi", "unit", "stage"} <= set(found[key])  # type: ignore[call-overload]
    assert found["fits"] in ("yes", "no", "uncertain") and found["layers"]


def test_cost_of_a_unit(capfd: pytest.CaptureFixture[str]) -> None:
    found = document("cost --unit mac --weights e2m1 --acts e4m3 --k 64 --part kv260", capfd)
    assert {"lut", "ff", "dsp", "accumulator_bits"} <= set(found)


def test_predict(capfd: pytest.CaptureFixture[str]) -> None:
    found = document("predict zoo:resnet20 --device rtx3090 --batch 1,64 --deadline-us 5000", capfd)
    rows: list[dict[str, object]] = found["batches"]  # type: ignore[assignment]
    assert [row["batch"] for row in rows] == [1, 64]
    assert {"latency_us", "quantiles", "p_miss", "out_of_domain", "layers"} <= set(rows[0])
    assert {"lo", "mid", "hi", "coverage"} <= set(rows[0]["latency_us"])  # type: ignore[call-overload]
    without = document("predict zoo:resnet20 --device rtx3090", capfd)["batches"]
    assert without[0]["p_miss"] is None  # type: ignore[index]


def test_predict_on_several_devices(capfd: pytest.CaptureFixture[str]) -> None:
    found = document("predict zoo:mlp --device rtx3090,v100,rtx3090 --batch 1,8", capfd)
    rows: list[dict[str, object]] = found["devices"]  # type: ignore[assignment]
    assert [row["device"] for row in rows] == ["rtx3090", "v100"] and "batches" not in found
    assert rows[1] == document("predict zoo:mlp --device v100 --batch 1,8", capfd)


def test_predict_writes_its_page(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "latency.html"
    found = document(f"predict zoo:mlp --device v100 --batch 1,8 --deadline-us 900 --report {page}", capfd)
    assert found.pop("report") == str(page)
    assert found == document("predict zoo:mlp --device v100 --batch 1,8 --deadline-us 900", capfd)
    text = page.read_text(encoding="utf-8")
    assert all(str(note) in text for note in found["notes"])  # type: ignore[attr-defined]
    assert "<h1>zoo:mlp</h1>" in text and "P(miss)" in text
    assert invoke(["predict", "zoo:mlp", "--device", "v100", "--report", str(page)]) == 0
    assert f"report: {page}" in capfd.readouterr().out


@pytest.mark.parametrize(("verb", "key"), [("devices", "devices"), ("parts", "parts"), ("recipes", "recipes")])
def test_catalogues_name_their_sources(verb: str, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = document(verb, capfd)[key]  # type: ignore[assignment]
    assert rows and all(row["source"] for row in rows)


def test_doctor(capfd: pytest.CaptureFixture[str]) -> None:
    found = document("doctor", capfd)
    assert found["healthy"] is True
    assert {"torch", "hls4ml", "g++"} <= {row["name"] for row in found["checks"]}  # type: ignore[attr-defined]


def test_what_a_model_prints_stays_out_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = "from torch import nn\nclass Noisy(nn.Linear):\n    def forward(self, x):\n        print('hello')\n"
    (tmp_path / "noisy.py").write_text(
        source + "        return super().forward(x)\ndef net():\n    return Noisy(4, 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    found = document("cost noisy.py:net --part kv260 --weights int4 --acts int4 --input-shape 1,4", capfd)
    assert found["part"] == "kv260"
