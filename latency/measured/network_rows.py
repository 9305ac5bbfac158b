"""Whole networks that others measured, each with the software stack that it was measured with.

`timm_infer`: PyTorch under autocast at large batch; `help_ofa`, `help_nasbench201`: PyTorch, fp32; `nvidia_dle`:
NVIDIA's containers; `jetson`: TensorRT, TensorFlow and PyTorch on Jetsons. Rows of different stacks are never fitted
as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hwsim.latency.measured.launches import Launches, built, traced
from hwsim.latency.measured.tables import read
from hwsim.latency.published import PUBLISHED, family

_TIMM = ("timm_infer", "h200")  # tables whose networks timm defines
_TIMM_DEVICES = {"RTX3090": "rtx3090", "RTX4090": "rtx4090", "RTX5090": "RTX5090"}


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """One measured network.

    Attributes
    ----------
    table : where it stands; `stack` the software, as far as its source tells.
    family : what is held out together: of timm the file that defines it (known once it is traced), else the paper.
    network : `model@side`, or a search space with its genes.
    """

    table: str
    stack: str
    gpu: str
    runtime: str
    precision: str
    layout: str
    family: str
    network: str
    batch: int
    latency_us: float

    @property
    def key(self) -> str:
        """Device, runtime, precision and layout: what a user can choose."""
        return f"{self.gpu}/{self.runtime}/{self.precision}/{self.layout}"


def with_launches(rows: list[NetworkRow]) -> tuple[list[NetworkRow], dict[str, Launches]]:
    """Rows whose networks can be made, their families filled in, and the kernels by `NetworkRow.network`."""
    timm = {row.network for row in rows if row.table in _TIMM}
    pairs = {(name.rpartition("@")[0], int(name.rpartition("@")[2])) for name in timm}
    found = {f"{name}@{side}": made for (name, side), made in traced(sorted(pairs)).items()}
    for row in rows:
        if row.network not in found and row.table not in _TIMM:
            found[row.network] = built(row.network, "eager" if row.runtime == "eager" else "compiled")
    kept = [row for row in rows if row.network in found]
    return [replace(row, family=row.family or found[row.network].family) for row in kept], found


def timm_rows(folder: Path) -> Iterator[NetworkRow]:
    """Image models of timm, autocast fp16, eager and compiled."""
    table = read(folder, "timm_infer")
    for row in table[table.precision == "amp"].itertuples():
        if row.device in _TIMM_DEVICES:
            yield NetworkRow(
                "timm_infer", f"torch {row.torch_version}", _TIMM_DEVICES[row.device],
                "compiled" if row.compiled else "eager", "fp16", row.layout, "",
                f"{row.model}@{row.img_size}", int(row.batch), row.step_ms * 1e3,
            )  # fmt: skip


def ofa_rows(folder: Path) -> Iterator[NetworkRow]:
    """Sub-networks of a once-for-all MobileNetV3 on the V100 and the RTX 2080 Ti."""
    table = read(folder, "help_ofa_mbv3_latency_ms")
    for row in table.itertuples():
        network = f"ofa@{row.ks}/{row.e}/{row.d}/{row.r}"
        for gpu, column in (("v100", "v100"), ("RTX2080Ti", "2080ti")):
            for batch in (1, 32, 64):
                latency_us = float(table.at[row.Index, f"{column}_{batch}"]) * 1e3
                yield NetworkRow(
                    "help_ofa", "HELP", gpu, "eager", "fp32", "nchw", "mobilenet_v3",
                    network, batch, latency_us,
                )  # fmt: skip


def nasbench_rows(folder: Path, step: int = 100) -> Iterator[NetworkRow]:
    """Every hundredth cell of NAS-Bench-201 on four GPUs: networks of CIFAR's size; no fit sees them."""
    table = read(folder, "help_nasbench201_latency_ms")[::step]
    cards = {"1080ti": "GTX1080Ti", "2080ti": "RTX2080Ti", "titanxp": "TitanXp", "titan_rtx": "TitanRTX"}
    for row in table.itertuples():
        for column, gpu in cards.items():
            for batch in (1, 32, 256):
                yield NetworkRow(
                    "help_nasbench201", "HELP", gpu, "eager", "fp32", "nchw", "nasbench201",
                    f"nasbench201@{row.arch_str}", batch, float(table.at[row.Index, f"{column}_{batch}"]) * 1e3,
                )  # fmt: skip


def nvidia_rows(folder: Path) -> Iterator[NetworkRow]:
    """NVIDIA's PyTorch examples. TensorFlow 1 with XLA has its own host costs and is left out."""
    for row in read(folder, "nvidia_dle_inference").itertuples():
        if row.framework == "PyTorch":
            gpu = (
                "v100"
                if row.device.startswith("V100")
                else {"A100-40GB": "a100", "T4": "t4"}.get(row.device, row.device)
            )
            precision = "fp16" if row.precision == "amp" else row.precision
            yield NetworkRow(
                "nvidia_dle", f"NVIDIA container, {row.device}", gpu, "eager", precision, "nchw", family(row.model),
                f"{row.model}@{row.img_size}", int(row.batch), row.latency_avg_ms * 1e3,
            )  # fmt: skip


def jetson_rows(folder: Path) -> Iterator[NetworkRow]:
    """TensorFlow and PyTorch as eager; detectors are left out (their time is in post-processing).

    Networks are held out one by one: without its three MobileNets the TX2 has no depthwise convolution left.
    """
    table = read(folder, "jetson_models")
    for row in table[table.model.isin(list(PUBLISHED))].itertuples():
        gpu = "tx2" if row.device == "JetsonTX2" else row.device
        runtime = "tensorrt" if "TensorRT" in row.runtime or "TRT" in row.runtime else "eager"
        yield NetworkRow(
            "jetson", row.runtime, gpu, runtime, row.precision, "nchw", row.model, f"{row.model}@{row.img_size}",
            int(row.batch), row.latency_ms * 1e3,
        )  # fmt: skip
