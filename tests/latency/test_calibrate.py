"""Calibration to few rows: known factors are found again, noise does no harm, bad rows are refused, predict uses it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hwsim.core.devices import Gpu
from hwsim.core.errors import InputError
from hwsim.latency import device, predict
from hwsim.latency.calibrate import calibrate
from hwsim.latency.calibration import Calibration, file_of, kept, read, write
from hwsim.latency.errors import Errors
from hwsim.latency.kernels import kernels
from hwsim.latency.measured.launches import Launches
from hwsim.latency.measurements import Measurement
from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.fit_classes import Prior
from hwsim.latency.networks.models import NetworkModels
from hwsim.latency.networks.network_model import NetworkModel
from hwsim.latency.networks.work_classes import TERMS
from hwsim.latency.published import PUBLISHED, published
from hwsim.latency.shapes import KernelShape, linear, memory

pytestmark = pytest.mark.property
SOURCE = "synthetic"
TRANSFER = Errors((0.01, 0.05, 0.5, 0.95, 0.99), (-1.0, -0.7, 0.0, 0.7, 1.0), 0.9, 10)
CARD = replace(device("rtx3090"), name="my-card", launch_us={"eager": 9.0, "compiled": 2.0, "tensorrt": 2.0})
NETWORKS = [f"{name}@{side}" for name in sorted(PUBLISHED) for side in (160, 224)]
Row = tuple[str, int]


def plain() -> ClassModel:
    return ClassModel(np.exp(Prior.plain(9.0).centre[: len(TERMS)]), 9.0, 4.0)


def models() -> NetworkModels:
    spans = {"macs": (0.0, 1e15), "batch": (1.0, 64.0), "launches": (1.0, 5000.0)}
    model = NetworkModel("s", plain(), None, None, TRANSFER, spans, 9, 99, TERMS, None, False, 0.9)
    transfer = dict.fromkeys(("server", "small", "layout"), TRANSFER)
    return NetworkModels({"v100/eager/fp32/nchw": model, "rtx4090/eager/fp16/nchw": model}, transfer, {}, {}, {})


def start() -> ClassModel:
    """What is known of the card before a row of it is."""
    return models().find(CARD, "eager", "fp32", "nchw").model.classes


@cache
def resolve(name: str, runtime: str) -> Launches:
    kind, _, side = name.partition("@")
    if kind not in PUBLISHED:
        raise InputError(f"no network {kind!r}", where=name)
    return Launches.of((k.operator, k.shape) for k in kernels(published(kind, int(side)), runtime))


def truth(seed: int = 0) -> ClassModel:
    """A device 2.5 times as slow as the plain model says, by classes of its own, with a slower host."""
    factors = start().factors * 2.5 * np.exp(np.random.default_rng(seed).normal(0, 0.15, len(TERMS)))
    return ClassModel(factors, 14.0, 4.0)


def row(name: str, batch: int, us: float, gpu: Gpu = CARD, shape: KernelShape | None = None) -> Measurement:
    operator = "network" if shape is None else "linear" if shape.macs else "relu"
    return Measurement(gpu.name, "eager", "fp32", "nchw", operator, name, batch, shape, us, 0.0, 9, SOURCE)


def network_rows(count: int, noise: float = 0.0, seed: int = 0, true: ClassModel | None = None) -> list[Measurement]:
    rng, model = np.random.default_rng(seed), true or truth()
    chosen = [NETWORKS[i] for i in rng.permutation(len(NETWORKS))[:count]]
    found = []
    for name in chosen:
        batch = int(rng.choice([1, 8, 32]))
        us = float(model.network_us(resolve(name, "eager").sums(CARD, batch, "fp32")[None, :])[0])
        found.append(row(name, batch, us * float(np.exp(rng.normal(0, noise)))))
    return found


def kernel_rows() -> list[Measurement]:
    shapes = [linear(64 * n, 64 * n, 64 * n) for n in range(1, 20)] + [
        memory(2000 * 4**n, 2000 * 4**n) for n in range(8)
    ]
    model = replace(truth(), overlap=1.001)
    sums = [Launches.of([("linear" if s.macs else "relu", s)]).sums(CARD, 1, "fp32") for s in shapes]
    for one in sums:
        one[TERMS.index("weights")] = 0
    return [
        row("", 1, float(model.network_us(s[None, :])[0]), shape=shape) for s, shape in zip(sums, shapes, strict=True)
    ]


def error_on_others(made: Calibration, rows: list[Measurement], true: ClassModel) -> tuple[float, float]:
    """Mean relative error of the start and of the calibration on all networks that no row names."""
    others = [name for name in NETWORKS if name not in {r.name for r in rows}]
    sums = np.array([resolve(name, "eager").sums(CARD, batch, "fp32") for name in others for batch in (1, 8, 32)])
    wanted, model = true.network_us(sums), made.settings["eager/fp32/nchw"].network
    before, after = (np.abs(m.network_us(sums) / wanted - 1).mean() for m in (start(), model))
    return float(before), float(after)


@pytest.mark.parametrize(("count", "most"), [(10, 0.10), (30, 0.06)])
def test_known_factors_are_found_again_from_few_networks(count: int, most: float) -> None:
    rows = network_rows(count)
    made = calibrate(rows, CARD, resolve, models()).calibration
    before, after = error_on_others(made, rows, truth())
    assert before > 0.4 and after < most
    assert made.after["networks"]["mape_pct"] < 100 * most * 2 < made.before["networks"]["mape_pct"]
    assert made.settings["eager/fp32/nchw"].network.coverage > 0.6


@pytest.mark.parametrize("seed", range(4))
def test_few_noisy_rows_of_a_device_that_is_known_do_no_harm(seed: int) -> None:
    rows = network_rows(5, noise=0.1, seed=seed, true=start())
    made = calibrate(rows, CARD, resolve, models()).calibration
    assert error_on_others(made, rows, start())[1] < 0.1


def test_one_network_gives_the_overall_speed_and_the_interval_of_transfer() -> None:
    rows = network_rows(1)
    made = calibrate(rows, CARD, resolve, models()).calibration
    before, after = error_on_others(made, rows, truth())
    assert after < 0.6 * before and made.settings["eager/fp32/nchw"].network.spread == TRANSFER
    assert made.after["networks"] == made.before["networks"]  # nothing is left to fit when it is left out


def test_kernels_alone_teach_networks() -> None:
    made = calibrate(kernel_rows(), CARD, resolve, models()).calibration
    assert made.after["kernels"]["mape_pct"] < 0.3 * made.before["kernels"]["mape_pct"] and "networks" not in made.after
    before, after = error_on_others(made, [], truth())
    assert after < before


def test_predict_uses_it_and_a_file_keeps_it(tmp_path: Path) -> None:
    made = calibrate([*network_rows(12), *kernel_rows()], CARD, resolve, models()).calibration
    path = file_of(tmp_path, CARD)
    write(path, made)
    found = kept(tmp_path, CARD)
    assert found is not None and found.after == made.after and found.about == made.about
    assert kept(tmp_path, replace(CARD, dram_gbps=1.0)) is None
    workload = published("resnet50", 224)
    one = predict(workload, CARD, (1, 8), calibration=found)
    wanted = made.settings["eager/fp32/nchw"].network.network_us(
        resolve("resnet50@224", "eager").sums(CARD, 8, "fp32")[None]
    )
    assert one.batches[1].latency_us.mid == pytest.approx(float(wanted[0]), rel=1e-4)
    assert any("calibrated on 39 rows of my-card" in note for note in one.notes)
    with pytest.raises(InputError, match="differs in dram_gbps"):
        predict(workload, replace(CARD, dram_gbps=1.0), calibration=read(path))
    other = predict(workload, CARD, precision="fp16", calibration=found)
    assert any("no rows of eager, fp16" in note for note in other.notes)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no rows"),
        ([replace(row("resnet50@224", 1, 1.0), device="v100")], "rows of 'v100'"),
        ([replace(row("resnet50@224", 1, 1.0), runtime="eagr")], "runtime 'eagr'"),
        ([row("", 1, 1.0)], "no row can be used"),
        ([replace(row("resnet50@224", 1, 1.0), precision="int3")], "no row can be used"),
    ],
)
def test_bad_rows_are_refused_with_a_next_step(rows: list[Measurement], words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        calibrate(rows, CARD, resolve, models())
    assert refused.value.hint


def test_what_is_left_out_is_told() -> None:
    rows = [*network_rows(3), row("nobody@224", 1, 5.0), replace(network_rows(1)[0], runtime="graph")]
    made = calibrate(rows, CARD, resolve, models())
    assert {(s["what"], s["rows"]) for s in made.skipped} == {("nobody@224", 1), ("networks", 1)}
    assert made.calibration.about["rows"] == 3
