"""Measured latencies from the shared tables, as rows that the model can predict. pandas is imported inside.

The tables and their licences are described in `latency/SOURCES.md` of the data folder. Every reader takes that data
folder (the one that holds `latency/` and `reference/`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.core.errors import InputError, MissingToolError
from hwsim.core.workload import Workload
from hwsim.latency.catalog import devices, element_bytes
from hwsim.latency.published import PUBLISHED, family, nasbench201, ofa_mobilenet_v3, published
from hwsim.latency.roofline import Work, wave_factor

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDS = 10
# TensorFlow 1 with XLA keeps batch norm and activation out of its convolutions and has its own host costs: it is not
# what `compiled` means here. Its rows are scored, and shown, but no interval rests on them.
OTHER_STACK = "nvidia_dle_inference_xla"
_NETWORKS_OF_A_SEARCH_SPACE = 60  # sub-networks taken of thousands that differ little
_SPEC_NAMES = {
    "T4": "T4", "A100-40GB": "A100-SXM4-40GB", "A100-80GB": "A100-80GB-PCIe", "JetsonNano": "JetsonNano",
    "JetsonAGXXavier": "JetsonAGXXavier", "RTX4090": "RTX4090", "RTX5090": "RTX5090",
    "RTX2080Ti": "RTX2080Ti", "GTX1080Ti": "GTX1080Ti",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class KernelRows:
    """Single kernels of one operator class on one device, runtime and precision.

    Attributes
    ----------
    fold : 0..9 by a hash of the shape without its batch: 0-5 fit, 6-7 calibrate intervals, 8-9 test.
    macs, bytes_moved : per launch, for the range that was measured.
    """

    key: str
    kind: str
    work: Work
    macs: NDArray[np.float64]
    bytes_moved: NDArray[np.float64]
    batch: NDArray[np.int64]
    fold: NDArray[np.int64]
    latency_us: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """One measured network. `family` is what is held out together; `workload` names it for `network`."""

    table: str
    gpu: str
    runtime: str
    precision: str
    family: str
    workload: str
    batch: int
    latency_us: float


def kernel_rows(folder: Path) -> Iterator[KernelRows]:
    """Kernels measured on the V100: NeuSight (eager, fp32) and Alibaba (TensorRT, three precisions)."""
    yield from _neusight(folder)
    yield from _alibaba(folder)


def network_rows(folder: Path) -> list[NetworkRow]:
    """Whole networks of which this package holds the layers, on every device of the tables."""
    rows = [*_nvidia(folder), *_ofa(folder), *_timm(folder), *_jetson(folder), *_nasbench(folder)]
    return [row for row in rows if row.gpu in gpus(folder)]


@cache
def network(name: str) -> Workload:
    """The workload that a row names: `model@side`, or a search space with its genes."""
    kind, _, rest = name.partition("@")
    if kind == "ofa":
        *genes, side = rest.split("/")
        kernel, expand, depth = ([int(v) for v in gene.split()] for gene in genes)
        return ofa_mobilenet_v3(kernel, expand, depth, int(side))
    return nasbench201(rest) if kind == "nasbench201" else published(kind, int(rest))


@cache
def gpus(folder: Path) -> dict[str, Gpu]:
    """The shipped devices and, by their table names, those that only `reference/gpu_specs.csv` describes."""
    with (folder / "reference" / "gpu_specs.csv").open() as file:
        rows = {row["device"]: row for row in csv.DictReader(file)}
    return devices() | {name: _from_spec(name, rows[spec]) for name, spec in _SPEC_NAMES.items() if spec in rows}


def read(folder: Path, table: str) -> DataFrame:
    """One parquet table of the data folder.

    Raises
    ------
    MissingToolError
        Without pandas and pyarrow.
    InputError
        When the folder does not hold the table.
    """
    path = folder / "latency" / f"{table}.parquet"
    try:
        import pandas as pd

        return pd.read_parquet(path)
    except ImportError as error:
        raise MissingToolError(str(error), where=str(path), hint="pip install 'hwsim[train]'") from None
    except OSError as error:
        raise InputError(
            str(error), where=str(path), hint="the folder that holds latency/*.parquet is wanted"
        ) from None


def data_folder(folder: Path) -> Path:
    """The folder that holds `latency/`: the one given, or its `data`."""
    return folder if (folder / "latency").is_dir() else folder / "data"


def _from_spec(name: str, row: dict[str, str]) -> Gpu:
    """A device from a row of the specification table, with the launch costs of the TX2 (Jetsons) or the V100."""

    def number(key: str) -> float:
        digits = row[key].split()[0].split("(")[0].split("~")[-1]
        return float(digits) if digits and digits[0].isdigit() else 0.0

    accumulate32 = row["fp16_tensor_TFLOPS_dense"].partition("(")[2].split(" ")[0]
    half = float(accumulate32) if accumulate32 else number("fp16_tensor_TFLOPS_dense")
    fp32 = number("fp32_TFLOPS")
    peak = {"fp32": fp32, "fp16": max(half, number("fp16_nontensor_TFLOPS"), fp32)}
    if row["arch"].startswith("Ampere GA100"):
        peak["tf32"] = 156.0
    native = tuple(p for p in ("fp16", "tf32", "fp32") if p in peak)
    spec = number("DRAM_GBps_spec")
    return Gpu(
        name, row["device"], row["arch"].split()[0], int(number("SMs")), number("boost_MHz"), peak, spec, spec,
        number("L2_MB"), native, devices()["tx2" if "Jetson" in name else "v100"].launch_us, row["source"],
    )  # fmt: skip


def fold_of(parts: Iterator[tuple[Any, ...]]) -> NDArray[np.int64]:
    """Fold 0..9 of each shape: the crc32 of its numbers joined by dashes, modulo 10."""
    return np.array([crc32("-".join(map(str, row)).encode()) % FOLDS for row in parts], dtype=np.int64)


def _rows(key: str, kind: str, gpu: Gpu, table: DataFrame, shape: list[str]) -> KernelRows:
    """`table` has macs, elements, batch, us and, for dense convolutions, rows and cols."""
    precision = key.rpartition("/")[2]
    macs = table["macs"].to_numpy(float)
    moved = table["elements"].to_numpy(float) * element_bytes(precision)
    rows, cols = (table[c].to_numpy(float) if c in table else np.zeros(len(table)) for c in ("rows", "cols"))
    work = Work(
        2 * macs / (gpu.peak_tflops[precision] * 1e6),
        moved / (gpu.dram_gbps_spec * 1e3),
        wave_factor(rows, cols, gpu.sms),
    )
    fold = fold_of(table[shape].itertuples(index=False, name=None))
    return KernelRows(
        key, kind, work, macs, moved, table["batch"].to_numpy(np.int64), fold, table["us"].to_numpy(float)
    )


def _neusight(folder: Path) -> Iterator[KernelRows]:
    gpu, key = devices()["v100-pcie"], "v100/eager/fp32"
    t = read(folder, "neusight_conv_fp32").query("device == 'Tesla V100-PCIE-32GB'")
    t = t.assign(rows=t.B * t.in_size**2, cols=t.cout, batch=t.B, us=t.latency_ms * 1e3)
    t = t.assign(macs=9 * t.rows * t.cin * t.cout, elements=t.rows * (t.cin + t.cout) + 9 * t.cin * t.cout)
    yield _rows(key, "conv3x3", gpu, t, ["cin", "cout", "in_size"])
    t = read(folder, "neusight_matmul_fp32").query("device == 'Tesla V100-PCIE-32GB'")
    for op, kind in (("linear", "linear"), ("bmm", "matmul")):
        u = t[t.op == op]
        weights = u.N * u.K if op == "linear" else u.B * u.N * u.K
        u = u.assign(macs=u.B * u.M * u.N * u.K, elements=u.B * u.M * (u.K + u.N) + weights, us=u.latency_ms * 1e3)
        yield _rows(key, kind, gpu, u.assign(batch=u.B), ["M", "N", "K"])
    t = read(folder, "neusight_elementwise_fp32").query("device == 'Tesla V100-PCIE-32GB'")
    tensors = np.where(t.op.isin(["add", "div", "mul", "pow"]), 3, 2)
    t = t.assign(macs=0, elements=t.B * t.H * tensors, batch=1, us=t.latency_ms * 1e3)
    yield _rows(key, "memory", gpu, t, ["B", "H"])


def _alibaba(folder: Path) -> Iterator[KernelRows]:
    """Convolutions; every tenth shape, since 200,000 rows of a regular sweep say no more than 20,000."""
    t = read(folder, "alibaba_v100_trt_conv")
    shape = ["conv_type", "cin", "cout", "in_h", "ksize", "stride"]
    t = t[fold_of(t[[*shape[::-1], "elt_fused"]].itertuples(index=False, name=None)) == 0]
    out = (-(-t.in_h // t.stride)) * (-(-t.in_w // t.stride))
    per_output = np.where(t.conv_type == "Depthwise", 1, t.cin) * t.ksize**2
    weights = per_output * t.cout
    elements = t.batch * (t.cin * t.in_h * t.in_w + (1 + t.elt_fused) * t.cout * out) + weights
    t = t.assign(macs=t.batch * out * weights, elements=elements, us=t.latency_ms * 1e3)
    dense = t.conv_type != "Depthwise"
    t = t.assign(rows=np.where(dense, t.batch * out, 0), cols=np.where(dense, t.cout, 0))
    names = ["depthwise", "pointwise", "conv3x3"]
    kind = np.select([~dense, t.ksize == 1, (t.ksize == 3) & (t.stride == 1)], names, "conv")
    for (precision, name), u in t.groupby(["precision", kind]):
        yield _rows(f"v100/tensorrt/{precision}", str(name), devices()["v100"], u, shape)


def _nvidia(folder: Path) -> Iterator[NetworkRow]:
    """PyTorch as eager; TensorFlow 1 with XLA as compiled, in a table of its own (see `OTHER_STACK`)."""
    for row in read(folder, "nvidia_dle_inference").itertuples():
        if row.framework == "PyTorch" or row.xla:
            gpu = "v100" if row.device.startswith("V100") else row.device
            table, runtime = (
                ("nvidia_dle_inference", "eager") if row.framework == "PyTorch" else (OTHER_STACK, "compiled")
            )
            precision = "fp16" if row.precision == "amp" else row.precision
            yield NetworkRow(
                table, gpu, runtime, precision, family(row.model), f"{row.model}@{row.img_size}",
                int(row.batch), row.latency_avg_ms * 1e3,
            )  # fmt: skip


def _ofa(folder: Path) -> Iterator[NetworkRow]:
    table = read(folder, "help_ofa_mbv3_latency_ms")
    for row in _some(table):
        name = f"ofa@{row.ks}/{row.e}/{row.d}/{row.r}"
        for gpu, column in (("v100", "v100"), ("RTX2080Ti", "2080ti")):
            for batch in (1, 32, 64):
                us = float(table.at[row.Index, f"{column}_{batch}"]) * 1e3
                yield NetworkRow("help_ofa_mbv3", gpu, "eager", "fp32", "mobilenet_v3", name, batch, us)


def _nasbench(folder: Path) -> Iterator[NetworkRow]:
    table = read(folder, "help_nasbench201_latency_ms")
    for row in _some(table):
        for gpu, column in (("GTX1080Ti", "1080ti"), ("RTX2080Ti", "2080ti")):
            for batch in (1, 32, 256):
                us = float(table.at[row.Index, f"{column}_{batch}"]) * 1e3
                name = f"nasbench201@{row.arch_str}"
                yield NetworkRow("help_nasbench201", gpu, "eager", "fp32", "nasbench201", name, batch, us)


def _some(table: DataFrame) -> Iterator[Any]:
    """Evenly spaced rows of a search space, the index kept."""
    step = max(1, len(table) // _NETWORKS_OF_A_SEARCH_SPACE)
    return iter(table.iloc[::step].itertuples())


def _timm(folder: Path) -> Iterator[NetworkRow]:
    table = read(folder, "timm_infer")
    for row in table[table.model.isin(list(PUBLISHED)) & (table.precision == "amp")].itertuples():
        gpu = "rtx3090" if row.device == "RTX3090" else row.device
        runtime = "compiled" if row.compiled else "eager"
        yield NetworkRow(
            "timm_infer", gpu, runtime, "fp16", family(row.model), f"{row.model}@{row.img_size}",
            int(row.batch), row.step_ms * 1e3,
        )  # fmt: skip


def _jetson(folder: Path) -> Iterator[NetworkRow]:
    """TensorFlow and PyTorch as eager; detectors are left out (their time is in post-processing).

    Networks are held out one by one: without its three MobileNets the TX2 has no depthwise convolution left.
    """
    table = read(folder, "jetson_models")
    for row in table[table.model.isin(list(PUBLISHED))].itertuples():
        gpu = "tx2" if row.device == "JetsonTX2" else row.device
        runtime = "tensorrt" if "TensorRT" in row.runtime or "TRT" in row.runtime else "eager"
        yield NetworkRow(
            "jetson_models", gpu, runtime, row.precision, row.model, f"{row.model}@{row.img_size}",
            int(row.batch), row.latency_ms * 1e3,
        )  # fmt: skip
