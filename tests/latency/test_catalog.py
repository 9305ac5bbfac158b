"""Device files: complete, sourced, and a user's own."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.core.errors import InputError
from hwsim.latency import RUNTIMES, device, devices
from hwsim.latency.errors import chip_of, fitted_name
from hwsim.latency.networks.models import network_models

SPEC = {
    "v100": "V100-SXM2", "v100-pcie": "V100-PCIe", "rtx3090": "RTX3090", "tx2": "JetsonTX2", "a100": "A100-SXM4-40GB",
    "h100": "H100-SXM5", "t4": "T4", "rtx4090": "RTX4090", "l4": "L4", "orin": "JetsonAGXOrin-64GB",
    "h200": "H200-SXM",
}  # fmt: skip
LANES = {"v100": 64, "v100-pcie": 64, "a100": 64, "t4": 64}  # of fp32 a multiprocessor; 128 in all others


@pytest.mark.exact
def test_shipped_devices() -> None:
    assert set(devices()) == set(SPEC)
    assert device("v100").native == ("int8", "fp16", "fp32")
    assert device("tx2").native == ("fp16", "fp32")
    assert set(device("rtx3090").native) == {"int4", "int8", "fp16", "bf16", "tf32", "fp32"}


@pytest.mark.exact
@pytest.mark.parametrize("name", SPEC)
def test_complete_and_sourced(name: str) -> None:
    gpu = device(name)
    assert set(gpu.peak_tflops) == set(gpu.native)
    assert set(gpu.launch_us) == set(RUNTIMES)
    assert gpu.dram_gbps <= gpu.dram_gbps_spec
    numbers = [gpu.sms, gpu.clock_mhz, gpu.dram_gbps, gpu.dram_gbps_spec, gpu.l2_mb, gpu.board_watts, gpu.process_nm]
    for number in [*numbers, *gpu.peak_tflops.values(), *gpu.launch_us.values()]:
        assert re.search(rf"(?<![\d.]){re.escape(f'{number:g}')}(?![\d.]*\d)", gpu.source), f"{number} has no source"
    lanes = LANES.get(name, 128)
    assert gpu.peak_tflops["fp32"] == pytest.approx(gpu.sms * lanes * 2 * gpu.clock_mhz * 1e-6, rel=0.01)


@pytest.mark.truth
@pytest.mark.data
@pytest.mark.parametrize("name", SPEC)
def test_agrees_with_the_specification_table(name: str) -> None:
    shared = os.environ.get("HWSIM_SHARED")
    if not shared:
        pytest.skip("HWSIM_SHARED names no folder")
    with (Path(shared) / "data" / "reference" / "gpu_specs.csv").open() as file:
        row = {row["device"]: row for row in csv.DictReader(file)}[SPEC[name]]
    gpu = device(name)
    assert gpu.sms == int(row["SMs"].split()[0])
    assert gpu.clock_mhz == float(row["boost_MHz"].split()[0])
    assert gpu.peak_tflops["fp32"] == float(row["fp32_TFLOPS"])
    assert gpu.dram_gbps_spec == float(row["DRAM_GBps_spec"].split()[0])
    assert gpu.l2_mb == {"h200": 60.0}.get(name, float(row["L2_MB"]))  # the H200's as its driver reports it


@pytest.mark.exact
def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(InputError, match="rtx3009") as error:
        device("rtx3009")
    assert "did you mean 'rtx3090'" in error.value.hint


@pytest.mark.exact
def test_own_file(tmp_path: Path) -> None:
    source = Path(str(__import__("hwsim.latency", fromlist=["x"]).__file__)).parent / "devices" / "v100.toml"
    text = source.read_text()
    own = tmp_path / "mine.toml"
    own.write_text(text.replace('"v100"', '"mine"').replace("sms = 80", "sms = 40"))
    assert device(str(own)) == replace(device("v100"), name="mine", sms=40)
    for wrong, needle in (
        (text.replace("sms = 80", "sms = 0"), "sms"),
        (text.replace('"fp32"]', '"fp31"]'), "fp32"),
        (text.replace("tensorrt = 10.0", ""), "tensorrt"),
        (text.replace("sms = 80", ""), "sms"),
        (text.replace("fp16 = 125.0", "fp16 = -1"), "fp16"),
        (text.replace("fp16 = 125.0", "fp16 = inf"), "fp16"),
        (text.replace("dram_gbps_spec = 900", "dram_gbps_spec = inf"), "dram_gbps_spec"),
        (text.replace('"v100"', '"../v100"'), "name"),
        (text.replace('"v100"', '""'), "name"),
        (text.replace("board_watts = 300", "board_watts = 0.001"), "board_watts"),
        (text.replace("board_watts = 300", "board_watts = nan"), "board_watts"),
        (text.replace("process_nm = 12", "process_nm = inf"), "process_nm"),
    ):
        own.write_text(wrong)
        with pytest.raises(InputError) as error:
            device(str(own))
        assert needle in str(error.value) and "mine.toml" in error.value.where
    with pytest.raises(InputError, match=r"absent\.toml"):
        device(str(tmp_path / "absent.toml"))


@pytest.mark.exact
def test_a_card_is_itself_with_its_machine_and_not_with_other_numbers() -> None:
    card = device("rtx4090")
    profiled = replace(card, dram_gbps=900.0, launch_us=dict.fromkeys(RUNTIMES, 9.0), source="measured")
    smaller = replace(card, sms=46, peak_tflops=dict(card.peak_tflops, fp16=58.0))
    assert (chip_of(profiled), chip_of(smaller), chip_of(device("v100-pcie"))) == ("rtx4090", "", "v100")
    assert (fitted_name(smaller), fitted_name(replace(smaller, name="rtx4070"))) == ("", "rtx4070")
    assert network_models().find(profiled, "eager", "fp16", "nhwc").exact
    assert not network_models().find(smaller, "eager", "fp16", "nhwc").exact
