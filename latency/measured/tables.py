"""The data folder: its parquet tables, its devices, and the fold that a shape belongs to.

The tables and their licences are described in `latency/SOURCES.md` of that folder, which holds `latency/` and
`reference/`. pandas is imported inside.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.core.errors import InputError, MissingToolError
from hwsim.latency.catalog import devices

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDS = 10
TEST_FOLDS = (8, 9)
_SPEC_NAMES = {
    "P100": "P100-PCIe", "P4": "P4", "A100-80GB": "A100-80GB-PCIe", "JetsonNano": "JetsonNano",
    "JetsonAGXXavier": "JetsonAGXXavier", "RTX5090": "RTX5090",
    "RTX2080Ti": "RTX2080Ti", "GTX1080Ti": "GTX1080Ti",
}  # fmt: skip
# power limit in watts and node in nm of cards that only the specification table describes: NVIDIA's datasheets
_POWER = {
    "P100": (250.0, 16.0), "P4": (75.0, 16.0), "A100-80GB": (300.0, 7.0), "RTX5090": (575.0, 5.0),
    "RTX2080Ti": (250.0, 12.0), "GTX1080Ti": (250.0, 16.0),
}  # fmt: skip
# other cards of the tables, by NVIDIA's specification pages: architecture, SMs, MHz, fp32 TFLOP/s, GB/s, L2 in MB,
# watts, nm
_MORE = {
    "M40": ("Maxwell", 24, 1112.0, 6.8, 288.0, 3.0, 250.0, 28.0),
    "TitanXMaxwell": ("Maxwell", 24, 1075.0, 6.6, 336.5, 3.0, 250.0, 28.0),
    "TitanXPascal": ("Pascal", 28, 1531.0, 11.0, 480.0, 3.0, 250.0, 16.0),
    "TitanXp": ("Pascal", 30, 1582.0, 12.15, 547.6, 3.0, 250.0, 16.0),
    "TitanRTX": ("Turing", 72, 1770.0, 16.3, 672.0, 6.0, 280.0, 12.0),
}  # fmt: skip
_ALIASES = {"A100-40GB": "a100", "T4": "t4", "RTX4090": "rtx4090"}


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


def fold_of(parts: Iterable[tuple[Any, ...]]) -> NDArray[np.int64]:
    """Fold 0..9 of each shape: the crc32 of its numbers joined by dashes, modulo 10."""
    return np.array([crc32("-".join(map(str, row)).encode()) % FOLDS for row in parts], dtype=np.int64)


@cache
def gpus(folder: Path) -> dict[str, Gpu]:
    """The shipped devices and, by their table names, those that only `reference/gpu_specs.csv` describes."""
    with (folder / "reference" / "gpu_specs.csv").open() as file:
        rows = {row["device"]: row for row in csv.DictReader(file)}
    found = devices() | {name: _from_spec(name, rows[spec]) for name, spec in _SPEC_NAMES.items() if spec in rows}
    found |= {name: _listed(name) for name in _MORE}
    return found | {alias: found[name] for alias, name in _ALIASES.items()}


def _listed(name: str) -> Gpu:
    architecture, sms, mhz, tflops, gbps, l2_mb, watts, nm = _MORE[name]
    return Gpu(
        name, name, architecture, sms, mhz, {"fp32": tflops}, gbps, gbps, l2_mb, ("fp32",), devices()["v100"].launch_us,
        "NVIDIA's specification pages", watts, nm,
    )  # fmt: skip


def _from_spec(name: str, row: dict[str, str]) -> Gpu:
    """A device from a row of the specification table, with the launch costs of the TX2 (Jetsons) or the V100."""

    def number(key: str) -> float:
        digits = row[key].split()[0].split("(")[0].split("~")[-1]
        return float(digits) if digits and digits[0].isdigit() else 0.0

    accumulate32 = row["fp16_tensor_TFLOPS_dense"].partition("(")[2].split(" ")[0]
    half = float(accumulate32) if accumulate32 else number("fp16_tensor_TFLOPS_dense")
    fp32 = number("fp32_TFLOPS")
    peak = {"fp32": fp32, "fp16": max(half, number("fp16_nontensor_TFLOPS"), fp32)}
    if row["arch"].startswith(("Blackwell", "Ada")):
        peak["bf16"] = peak["fp16"]
    if row["arch"].startswith("Ampere GA100"):
        peak["tf32"] = 156.0
    native = tuple(p for p in ("fp16", "bf16", "tf32", "fp32") if p in peak)
    spec = number("DRAM_GBps_spec")
    return Gpu(
        name, row["device"], row["arch"].split()[0], int(number("SMs")), number("boost_MHz"), peak, spec, spec,
        number("L2_MB"), native, devices()["tx2" if "Jetson" in name else "v100"].launch_us, row["source"],
        *_POWER.get(name, (0.0, 0.0)),
    )  # fmt: skip
