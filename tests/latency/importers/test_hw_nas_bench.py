"""HW-NAS-Bench: a pickle of its layout, made here; the real one is not public in a form that tests could fetch."""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.core.errors import InputError
from hwsim.latency.importers import Imported, read_measurements
from hwsim.latency.shapes import conv, linear, memory

ARCH = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
NET = {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": ARCH, "num_classes": 10}
# Architecture 0 on CIFAR-10, milliseconds: the README of GATECH-EIC/HW-NAS-Bench @ 393bb8a.
FIRST = {
    "edgegpu_latency": 5.807418537139893, "edgegpu_energy": 24.226614330768584, "raspi4_latency": 10.481976820010459,
    "edgetpu_latency": 0.9571811309997429, "pixel3_latency": 3.6058499999999998, "eyeriss_latency": 3.645620000000001,
    "eyeriss_energy": 0.6872827644999999, "fpga_latency": 2.57296, "fpga_energy": 18.01072,
}  # fmt: skip
BLOCKS = {
    "ConvNorm_H224_W224_Cin3_Cout16_kernel3_stride2_group1": 1.25, "FC_Cin1984_Cout1000": 0.75,
    "AvgP_H7_W7_Cin1984_Cout1984_kernel7_stride1": 0.5, "Skip_H32_W32_Cin16_Cout16_stride1": 0.0,
    "ConvBlock_H32_W32_Cin16_Cout24_exp6_kernel5_stride2_group1": np.float64(2.5),
}  # fmt: skip


def bench(lists: Any = list) -> dict[str, Any]:
    def table(scale: float) -> dict[str, Any]:
        return {key: lists([scale * value, scale * 2 * value]) for key, value in FIRST.items()} | {"config": [NET, {}]}

    spaces = {"cifar10": table(1.0), "ImageNet16-120": table(0.5)}
    return {"nasbench201": spaces, "fbnet": {"edgegpu_latency": BLOCKS, "fpga_latency": BLOCKS}}


def imported(folder: Path, value: object, protocol: int = 3, **labels: Any) -> Imported:
    path = folder / "bench.pickle"
    path.write_bytes(pickle.dumps(value, protocol))
    return read_measurements(path, **labels)


def scalars(values: list[float]) -> list[Any]:
    return [np.float64(value) for value in values]


@pytest.mark.truth
@pytest.mark.parametrize("lists", [list, tuple, np.array, scalars])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_tx2_figures_of_its_readme(tmp_path: Path, lists: Any, protocol: int) -> None:
    found = imported(tmp_path, bench(lists), protocol)
    first, second, third, *_ = found.rows
    assert first.name == f"nasbench201:{ARCH}@cifar10" and first.latency_us == pytest.approx(5807.418537)
    assert (first.device, first.runtime, first.precision, first.batch, first.samples) == (
        "tx2",
        "tensorrt",
        "fp32",
        1,
        50,
    )
    assert first.operator == "network" and first.shape is None
    assert second == replace(first, name="nasbench201:1@cifar10", latency_us=2 * first.latency_us)
    assert third == replace(first, name=f"nasbench201:{ARCH}@ImageNet16-120", latency_us=first.latency_us / 2)
    assert found.format == "HW-NAS-Bench pickle"
    assert {"zc706", "raspi4", "edgetpu", "pixel3", "eyeriss"} <= {s.name for s in found.skipped}


@pytest.mark.exact
def test_blocks_of_fbnet(tmp_path: Path) -> None:
    found = imported(tmp_path, bench())
    blocks = {
        row.name: (row.operator, row.shape, row.latency_us) for row in found.rows if row.name.startswith("fbnet:")
    }
    names = [f"fbnet:{name}" for name in BLOCKS]
    assert blocks == {
        names[0]: ("conv2d", conv(3, 16, (224, 224), (3, 3), 2), 1250.0),
        names[1]: ("linear", linear(1, 1984, 1000), 750.0),
        names[2]: ("avg_pool2d", memory(1984 * 49, 1984), 500.0),
        names[4]: ("network", None, 2500.0),
    }
    assert {s.name: s.reason for s in found.skipped}[names[3]] == "its latency is no number above 0"


@pytest.mark.exact
def test_other_devices_are_chosen_by_name_and_have_to_be_described(tmp_path: Path) -> None:
    found = imported(tmp_path, bench(), device="zc706", runtime="compiled", precision="int8")
    assert found.rows[0].latency_us == pytest.approx(2572.96) and found.rows[0].device == "zc706"
    with pytest.raises(InputError, match="does not say its runtime"):
        imported(tmp_path, bench(), device="pixel3", precision="fp32")
    with pytest.raises(InputError, match="device = 'tx1'") as error:
        imported(tmp_path, bench(), device="tx1")
    assert "did you mean 'tx2'?" in error.value.hint


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "not HW-NAS-Bench"), ({"nasbench201": 3}, "not HW-NAS-Bench"), ({}, "not HW-NAS-Bench"),
        ({"nasbench201": {}}, "no measurement"), ({"fbnet": {"edgegpu_latency": {"a": "b"}}}, "no measurement"),
        ({"nasbench201": {"cifar10": {"edgegpu_latency": 3}}}, "a int"),
        ({"nasbench201": {"cifar10": {"edgegpu_latency": np.zeros((2, 2))}}}, "a Array"),
        ({"nasbench201": {"cifar10": {"edgegpu_latency": [float("nan"), None, True, -1.0]}}}, "no measurement"),
    ],
)  # fmt: skip
def test_other_pickles_are_errors(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        imported(tmp_path, value)
    assert message in error.value.message and error.value.where.startswith(str(tmp_path)) and error.value.hint


class Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_a_malicious_copy_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    value = bench()
    value["nasbench201"]["cifar10"]["config"].append(Touches(tmp_path / "made"))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(InputError, match=r"posix\.system, which is refused"):
            imported(tmp_path, value, protocol)
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_a_file_of_the_real_size_is_read_in_time(tmp_path: Path) -> None:
    """15,625 architectures, 3 data sets, 10 numbers each, every number a numpy scalar: the slowest way to write it."""
    tables = {}
    for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
        numbers = {key: [np.float64(i + 1) for i in range(15_625)] for key in (*FIRST, "eyeriss_arithmetic_intensity")}
        tables[dataset] = numbers | {"config": [NET | {"arch_str": f"{ARCH}{i}"} for i in range(15_625)]}
    start = time.perf_counter()
    assert len(imported(tmp_path, {"nasbench201": tables}).rows) == 3 * 15_625
    assert time.perf_counter() - start < 60
