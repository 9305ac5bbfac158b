"""What `hwsim profile` measured on an H200 (torch 2.11, CUDA 13.0, cuDNN 9.19): rows that ship with the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import numpy as np

from hwsim.latency.measured.kernel_rows import KernelRows
from hwsim.latency.measured.network_rows import NetworkRow
from hwsim.latency.measured.tables import FOLDS
from hwsim.latency.measurements import Measurement, read
from hwsim.latency.simulator.table import table_of

FOLDER = Path(__file__).parent.parent / "data"


def own_kernels(runtime: str = "eager") -> Iterator[tuple[str, KernelRows]]:
    """Kernels of the H200 with their layout, a precision and layout at a time.

    `eager` is one call on an idle stream, `graph` a replay in a CUDA graph: the kernel alone.
    """
    found: dict[tuple[str, str], list[Measurement]] = {}
    for row in read(FOLDER / "h200_kernels.csv.gz"):
        if row.runtime == runtime:
            found.setdefault((row.precision, row.layout), []).append(row)
    for (precision, layout), rows in sorted(found.items()):
        yield layout, rows_of(rows, precision)


def rows_of(rows: list[Measurement], precision: str) -> KernelRows:
    """Measured kernels of one device, runtime and precision as columns; networks are passed over."""
    kept = [row for row in rows if row.shape is not None]
    shapes = [row.shape for row in kept if row.shape is not None]
    table = table_of(shapes, [row.batch for row in kept], precision)
    fold = np.array([crc32(repr(shape).encode()) % FOLDS for shape in shapes], dtype=np.int64)
    latency = np.array([row.latency_us for row in kept])
    operator = np.array([row.operator for row in kept])
    first = kept[0]
    return KernelRows(
        first.source,
        first.device,
        first.runtime,
        precision,
        table,
        operator,
        fold,
        np.linspace(0, 1, len(kept)),
        latency,
    )


def own_networks() -> Iterator[NetworkRow]:
    """Networks of timm on the H200, back to back: fp16 under autocast and fp32 without tf32, channels last."""
    for row in read(FOLDER / "h200_networks.csv"):
        if row.runtime == "eager-queued":
            name = row.name.removeprefix("timm:")
            yield NetworkRow(
                "h200", row.source, row.device, "eager", row.precision, row.layout, "", name, row.batch, row.latency_us
            )
