"""The device at hand as a device file: what is measured, told, assumed, and kept of a shipped file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hwsim.core.devices import Gpu
from hwsim.latency import catalog
from hwsim.latency.profile import facts, machine, peaks
from hwsim.latency.profile.facts import gpu_facts, known, size_mb
from hwsim.latency.profile.identity import Identity, match
from hwsim.latency.profile.machine import describe, device_of, device_text
from hwsim.latency.profile.measure import Bench, Setting
from hwsim.latency.profile.peaks import Reached
from hwsim.latency.profile.timing import EAGER, GRAPH, QUEUED, Sample

RATES = {"int8": 900.0, "fp16": 700.0, "bf16": 710.0, "tf32": 350.0, "fp32": 50.0}
REACHED = Reached(2600.04, 1073.7, RATES, {"eager": 9.12345, "graph": 1.98765})
H100 = SimpleNamespace(major=9, minor=0, multi_processor_count=132, L2_cache_size=50 * 2**20, memory_bus_width=5120)
CLOCKS = {"sm_max_mhz": 1980, "memory_max_mhz": 2619}


def loaded(gpu: Gpu, tmp_path: Path) -> Gpu:
    path = tmp_path / "device.toml"
    path.write_text(device_text(gpu))
    return catalog.device(str(path))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small products and copies, short timings."""
    monkeypatch.setattr(machine, "_BUDGET_MS", {"cpu": 2.0})
    monkeypatch.setattr(peaks, "_SIDES", {"cpu": (32, 64)})
    monkeypatch.setattr(peaks, "_COPY_BYTES", {"cpu": 1 << 20})
    monkeypatch.setattr(peaks, "_CACHES", 0)


@pytest.mark.exact
def test_this_cpu(quick: None, tmp_path: Path) -> None:
    found = describe(Setting("cpu", "here", "fp32", threads=1))
    assert loaded(found.gpu, tmp_path) == found.gpu
    assert found.gpu.native == ("fp32",) and found.gpu.sms == 1 and found.gpu.dram_gbps == found.gpu.dram_gbps_spec
    assert f"torch {torch.__version__}" in found.gpu.source and "Measured" in found.gpu.source
    assert found.as_dict()["reached"]["launch_us"]["eager"] > 0


@pytest.mark.exact
def test_a_card_without_a_file(tmp_path: Path) -> None:
    told = gpu_facts(H100, CLOCKS)
    assert (told.architecture, told.clock_mhz, told.l2_mb, told.assumed) == ("Hopper", 1980, 50, ())
    assert told.spec_gbps == pytest.approx(3352.3, abs=0.1)
    gpu = device_of("cuda", Identity("gh200", 'NVIDIA "GH200"\\', ""), told, REACHED, "torch 2.11, CUDA 13.0")
    assert loaded(gpu, tmp_path) == gpu
    assert gpu.native == ("int8", "fp16", "bf16", "tf32", "fp32") and gpu.peak_tflops["fp16"] == 700
    assert gpu.launch_us == {"eager": 9.12, "compiled": 1.988, "tensorrt": 1.988}
    assert (gpu.dram_gbps, gpu.dram_gbps_spec) == (2600, 3352) and "memory clock and bus width" in gpu.source


@pytest.mark.exact
def test_a_card_that_ships_keeps_its_datasheet(tmp_path: Path) -> None:
    identity = match("NVIDIA H100 80GB HBM3", 132)
    gpu = device_of("cuda", identity, gpu_facts(H100, CLOCKS), REACHED, "torch 2.11, CUDA 13.0")
    card = catalog.device("h100")
    assert loaded(gpu, tmp_path) == gpu
    assert (gpu.name, gpu.peak_tflops, gpu.dram_gbps_spec) == ("h100", card.peak_tflops, card.dram_gbps_spec)
    assert gpu.dram_gbps == 2600 and gpu.launch_us["eager"] == 9.12 and card.source in gpu.source


@pytest.mark.exact
def test_what_nothing_tells_is_assumed_and_said(tmp_path: Path) -> None:
    told = gpu_facts(SimpleNamespace(major=13, minor=1, multi_processor_count=8), {})
    assert told.architecture == "compute capability 13.1" and told.assumed == ("clock_mhz", "l2_mb")
    slow = Reached(10.0, 1.0, {"fp16": 0.1, "fp32": 2.0}, {"eager": 5.0, "graph": 2.0})
    gpu = device_of("cuda", Identity("chip", "Chip", ""), told, slow, "torch")
    assert loaded(gpu, tmp_path).native == ("fp32",)  # half precision would slow it down
    assert "Assumed, as nothing tells: clock_mhz, l2_mb" in gpu.source and gpu.dram_gbps_spec == 10
    assert known("x86_64", 1, 2000.0, 0.0, 4.0).assumed == ()


@pytest.mark.exact
@pytest.mark.parametrize(("text", "mb"), [("32768K", 32), ("32 M", 32), ("1G", 1024), ("", 0), ("many", 0)])
def test_sizes_of_caches(text: str, mb: float) -> None:
    assert size_mb(text) == mb


@pytest.mark.exact
def test_no_cpu_info(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(facts, "cpu_info", lambda: "")
    monkeypatch.setattr(facts, "_SYSTEM", tmp_path)
    assert facts.facts("cpu", 3) == facts.Facts(
        facts.facts("cpu", 3).architecture, 3, facts.ASSUMED_MHZ, 0.0, facts.ASSUMED_MB, ("clock_mhz", "l2_mb")
    )
    (tmp_path / "cpufreq").mkdir()
    (tmp_path / "cpufreq" / "cpuinfo_max_freq").write_text("3700000\n")
    assert facts.cpu_mhz() == 3700


@pytest.mark.exact
def test_rates_of_a_gpu_are_those_back_to_back(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a timer that answers for a GPU: products that the device lacks are left out."""

    def time(self: Bench, call: Callable[[], object], setting: Setting) -> tuple[dict[str, Sample], str]:
        call()
        us = {EAGER: 100.0, QUEUED: 10.0, GRAPH: 2.0}
        return {name: Sample(value, 0.0, 5) for name, value in us.items()}, ""

    monkeypatch.setattr(Bench, "time", time)
    monkeypatch.setattr(peaks, "PRECISIONS", {"cpu": ("lacking", "bf16", "fp32")})
    monkeypatch.setattr(peaks, "DTYPES", {"bf16": torch.bfloat16, "fp32": torch.float32})
    monkeypatch.setattr(peaks, "_executed", lambda kind: ("bf16", "fp32"))
    found = peaks.reach(Setting("cpu", "here", "fp32"), 1.0)
    assert found.launch_us == {"eager": 100.0, "graph": 2.0}
    assert found.peak_tflops == {"bf16": pytest.approx(2 * 64**3 / 10 / 1e6), "fp32": found.peak_tflops["bf16"]}
    assert found.dram_gbps == pytest.approx(2 * 2**20 / 10 / 1e3)
