"""Dense layers put through hls4ml and a vendor's C synthesis: the designs, and the reports of outside data.

Data: `hls4ml_dense_csynth.csv` (987 reports) and `hls4ml_dense_csynth_failed.csv` (1,700 designs that were refused or
did not finish) of github.com/Dendendelen/wa-hls4ml-search (Apache-2.0), 5 ns clock, a device of the size of an Alveo
U250. They are estimates of the HLS tool, not counts after synthesis. The data are not part of the package; HWSIM_SHARED
names the folder that holds them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError

RESOURCES = ("lut", "ff", "dsp", "bram18")
_COLUMNS = {"lut": "LUT_hls", "ff": "FF_hls", "dsp": "DSP_hls", "bram18": "BRAM_18K_hls"}
STRATEGIES = ("resource", "latency")


@dataclass(frozen=True, slots=True)
class DenseDesigns:
    """Columns of designs, one entry a design.

    Attributes
    ----------
    d_in, d_out : layer size.
    bits : of the weights.
    reuse : products of one multiplier, as asked for.
    latency : whether the strategy is `latency` (else `resource`).
    """

    d_in: NDArray[np.int64]
    d_out: NDArray[np.int64]
    bits: NDArray[np.int64]
    reuse: NDArray[np.int64]
    latency: NDArray[np.bool_]

    @classmethod
    def of(
        cls, d_in: ArrayLike, d_out: ArrayLike, bits: ArrayLike, reuse: ArrayLike, strategy: ArrayLike = "resource"
    ) -> DenseDesigns:
        """Columns of equal length from anything that broadcasts."""
        names = np.atleast_1d(np.asarray(strategy, dtype=str))
        unknown = sorted(set(names.ravel().tolist()) - set(STRATEGIES))
        if unknown:
            raise InputError(f"strategy {unknown[0]!r}", where="dense layer", hint=f"allowed: {', '.join(STRATEGIES)}")
        integers = [np.atleast_1d(np.asarray(v)).astype(np.int64) for v in (d_in, d_out, bits, reuse)]
        if any(np.any(v < 1) for v in integers):
            raise InputError("sizes, bits and reuse are at least 1", where="dense layer")
        a, b, c, d, names = np.broadcast_arrays(*integers, names)
        return cls(a.ravel(), b.ravel(), c.ravel(), d.ravel(), (names == "latency").ravel())

    @property
    def macs(self) -> NDArray[np.int64]:
        return self.d_in * self.d_out

    @property
    def multipliers(self) -> NDArray[np.int64]:
        """d_in d_out / reuse, rounded up: hls4ml's block factor."""
        return -(-self.macs // self.reuse)

    @property
    def shapes(self) -> NDArray[np.str_]:
        """`32x64`: the groups that are left out together."""
        return np.array([f"{a}x{b}" for a, b in zip(self.d_in, self.d_out, strict=True)])

    def take(self, rows: NDArray[Any]) -> DenseDesigns:
        """The designs at a mask or at indices."""
        return DenseDesigns(self.d_in[rows], self.d_out[rows], self.bits[rows], self.reuse[rows], self.latency[rows])

    def __len__(self) -> int:
        return len(self.d_in)


def dense_reports(folder: Path | None = None) -> tuple[DenseDesigns, dict[str, NDArray[np.float64]]]:
    """The designs that finished, and their LUT, FF, DSP and BRAM18."""
    frame = _read(folder, "hls4ml_dense_csynth.csv")
    return _designs(frame), {name: np.asarray(frame[column], dtype=np.float64) for name, column in _COLUMNS.items()}


def dense_failures(folder: Path | None = None) -> DenseDesigns:
    """The designs that the tool refused or did not finish."""
    return _designs(_read(folder, "hls4ml_dense_csynth_failed.csv"))


def _designs(frame: Mapping[str, Any]) -> DenseDesigns:
    return DenseDesigns.of(frame["d_in"], frame["d_out"], frame["prec"], frame["rf"], frame["strategy"])


def _read(folder: Path | None, name: str) -> Any:
    import pandas as pd

    path = (folder or shared_fpga_folder()) / name
    if not path.is_file():
        raise InputError("no such file", where=str(path), hint="HWSIM_SHARED names the folder of outside data")
    return pd.read_csv(path)


def shared_fpga_folder() -> Path:
    """`fpga` in the folder that HWSIM_SHARED names, or in the `data` in it."""
    shared = os.environ.get("HWSIM_SHARED")
    if not shared:
        raise InputError("HWSIM_SHARED is not set", where="environment", hint="it names the folder of outside data")
    root = Path(shared)
    return (root / "data" if (root / "data").is_dir() else root) / "fpga"
