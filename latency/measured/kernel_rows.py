"""Single kernels that others measured: NeuSight (eager, fp32, five GPUs), DeepBench (products by the library itself,
eight GPUs), Alibaba (TensorRT on the V100).

Folds are of shapes without their batch, so that a shape is on one side of the split on every device: 0-7 fit and
calibrate, 8-9 test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.catalog import element_bytes
from hwsim.latency.measured.tables import fold_of, read
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.table import Array, KernelTable

if TYPE_CHECKING:
    from pandas import DataFrame

# table name of a device -> name of its file or specification
NEUSIGHT_DEVICES = {
    "Tesla V100-PCIE-32GB": "v100-pcie", "Tesla P100-PCIE-16GB": "P100", "Tesla P4": "P4", "Tesla T4": "t4",
    "NVIDIA A100-PCIE-40GB": "a100", "NVIDIA A100 80GB PCIe": "A100-80GB",
}  # fmt: skip
DEEPBENCH = "deepbench_gemm"
_DEEPBENCH_PRECISIONS = {"fp32": "fp32", "fp16_mixed": "fp16"}
_TWO_OPERANDS = ("add", "div", "mul", "pow")


@dataclass(frozen=True, slots=True)
class KernelRows:
    """Kernels measured on one device, runtime and precision.

    Attributes
    ----------
    source : of the measurements: rows of different sources have different protocols and are never pooled raw.
    table : the launches.
    operator : what ran, as the table says.
    fold : 0..9 of each row's shape.
    place : of a row in its table, 0 for the first, 1 for the last: measurements can drift.
    latency_us : measured.
    """

    source: str
    device: str
    runtime: str
    precision: str
    table: KernelTable
    operator: NDArray[np.str_]
    fold: NDArray[np.int64]
    place: Array
    latency_us: Array

    def __len__(self) -> int:
        return len(self.fold)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> KernelRows:
        parts = {name: getattr(self, name)[rows] for name in ("table", "operator", "fold", "place", "latency_us")}
        return replace(self, **parts)


def neusight_convolutions(folder: Path) -> Iterator[KernelRows]:
    """3x3 convolutions of stride 1 (see drift.py before use)."""
    t = read(folder, "neusight_conv_fp32")
    for name, u in t.groupby("device", sort=False):
        side = u.in_size.to_numpy(float)
        n = u.B.to_numpy(float)
        table = convolutions(n, u.cin, u.cout, side, side, np.full(len(u), 3.0), np.ones(len(u)), np.ones(len(u)), 4.0)
        fold = fold_of(u[["cin", "cout", "in_size"]].itertuples(index=False, name=None))
        yield _rows("neusight_conv", str(name), u, table, np.full(len(u), "conv2d"), fold)


def neusight_products(folder: Path) -> Iterator[KernelRows]:
    """Matrix products: `linear` with its bias, `matmul` (torch.bmm), of M x N by N x K.

    The table's N is the depth and its K the columns: its kernels' grids are ceil(K / R) by ceil(M / C) tiles on every
    row whose kernel's name tells its tile.
    """
    t = read(folder, "neusight_matmul_fp32")
    for name, u in t.groupby("device", sort=False):
        n, m, depth, cols = (u[c].to_numpy(float) for c in ("B", "M", "N", "K"))
        linear = (u.op == "linear").to_numpy()
        one = np.ones(len(u))
        kind = np.where(linear, CLASSES.index("linear"), CLASSES.index("matmul"))
        read_elements = n * m * depth + np.where(linear, 0, n * cols * depth)
        table = KernelTable(
            kind, n, np.where(linear, 1.0, n), np.where(linear, n * m, m), cols, depth, one, one, one, one, one,
            read_elements, n * m * cols, np.where(linear, cols * depth, 0.0), np.full(len(u), 4.0),
        )  # fmt: skip
        fold = fold_of(u[["M", "N", "K"]].itertuples(index=False, name=None))
        yield _rows("neusight_products", str(name), u, table, np.where(linear, "linear", "matmul"), fold)


def deepbench_products(folder: Path) -> Iterator[KernelRows]:
    """Products that a benchmark asked of cuBLAS, in fp32 or by tensor cores; least times lack the host of a runtime.

    DeepBench multiplies M x K by K x N in column-major order: its M counts the columns of ours. A V100 that reaches
    14.5 TFLOP/s is the SXM2 card.
    """
    t = read(folder, "deepbench_gemm")
    for (name, mode), u in t.groupby(["device", "precision"], sort=True):
        if mode not in _DEEPBENCH_PRECISIONS:
            continue
        cols, rows, depth = (u[c].to_numpy(float) for c in ("M", "N", "K"))
        one = np.ones(len(u))
        precision = _DEEPBENCH_PRECISIONS[mode]
        table = KernelTable(
            np.full(len(u), CLASSES.index("linear")), rows, one, rows, cols, depth, one, one, one, one, one,
            rows * depth, rows * cols, cols * depth, np.full(len(u), element_bytes(precision)),
        )  # fmt: skip
        fold = fold_of(u[["M", "N", "K"]].itertuples(index=False, name=None))
        device = {"V100": "v100", "T4": "t4"}.get(str(name), str(name))
        yield KernelRows(
            DEEPBENCH, device, "eager", precision, table, np.full(len(u), "gemm"), fold, np.linspace(0, 1, len(u)),
            u.time_ms.to_numpy(float) * 1e3,
        )  # fmt: skip


def products(folder: Path) -> Iterator[KernelRows]:
    """Matrix products of both tables."""
    yield from neusight_products(folder)
    yield from deepbench_products(folder)


def neusight_memory(folder: Path) -> Iterator[KernelRows]:
    """Element-wise operators, softmax and layer norm."""
    t = read(folder, "neusight_elementwise_fp32")
    for name, u in t.groupby("device", sort=False):
        elements = (u.B * u.H).to_numpy(float)
        one, none = np.ones(len(u)), np.zeros(len(u))
        operands = np.where(u.op.isin(_TWO_OPERANDS), 2.0, 1.0)
        table = KernelTable(
            np.full(len(u), CLASSES.index("memory")), u.B.to_numpy(float), none, none, none, none, one, one, one, one,
            one, elements * operands, elements, none, np.full(len(u), 4.0),
        )  # fmt: skip
        fold = fold_of(u[["B", "H"]].itertuples(index=False, name=None))
        yield _rows("neusight_memory", str(name), u, table, u.op.to_numpy(str), fold)


def alibaba_convolutions(folder: Path) -> Iterator[KernelRows]:
    """Fused convolutions of TensorRT in three precisions; some read a residual operand, too."""
    t = read(folder, "alibaba_v100_trt_conv")
    for precision, u in t.groupby("precision", sort=True):
        n, cin, cout, h, w, k, s, fused = (
            u[c].to_numpy(float) for c in ("batch", "cin", "cout", "in_h", "in_w", "ksize", "stride", "elt_fused")
        )
        groups = np.where(u.conv_type == "Depthwise", cin, 1.0)
        width = element_bytes(str(precision).lower())
        table = convolutions(n, cin, cout, h, w, k, s, groups, width)
        extra = n * cout * np.ceil(h / s) * np.ceil(w / s) * fused
        table = replace(table, read_elements=table.read_elements + extra)
        shape = ["conv_type", "cin", "cout", "in_h", "ksize", "stride"]
        fold = fold_of(u[shape].itertuples(index=False, name=None))
        place = np.linspace(0, 1, len(u))
        yield KernelRows(
            "alibaba", "v100", "tensorrt", str(precision).lower(), table, np.full(len(u), "conv2d"), fold, place,
            u.latency_ms.to_numpy(float) * 1e3,
        )  # fmt: skip


def convolutions(
    images: Any, cin: Any, cout: Any, h: Any, w: Any, kernel: Any, stride: Any, groups: Any, width_bytes: float
) -> KernelTable:
    """A table of square-kernel convolutions padded to keep the size, from columns."""
    images, cin, cout, h, w, k, s, g = (
        np.asarray(c, dtype=np.float64) for c in (images, cin, cout, h, w, kernel, stride, groups)
    )
    out_h, out_w = np.ceil(h / s), np.ceil(w / s)
    names = [CLASSES.index(name) for name in ("depthwise", "grouped", "pointwise", "conv3x3", "conv")]
    tests = [(g > 1) & (g == cin), g > 1, k == 1, (k == 3) & (s == 1)]
    depth = cin / g * k * k
    return KernelTable(
        np.select(tests, names[:4], names[4]), images, g, images * out_h * out_w, cout / g, depth, out_h, out_w, k, k,
        s, images * cin * h * w, images * cout * out_h * out_w, depth * cout, np.full(len(k), width_bytes),
    )  # fmt: skip


def _rows(
    source: str, name: str, u: DataFrame, table: KernelTable, operator: NDArray[np.str_], fold: NDArray[np.int64]
) -> KernelRows:
    place = np.linspace(0, 1, len(u))
    return KernelRows(
        source,
        NEUSIGHT_DEVICES[name],
        "eager",
        "fp32",
        table,
        operator,
        fold,
        place,
        u.latency_ms.to_numpy(float) * 1e3,
    )
