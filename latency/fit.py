"""Writes data/calibration.json from the measured tables: `python -m hwsim.latency.fit FOLDER`.

Single kernels: four numbers a class by least squares on log time over shapes of folds 0-5; centred and conformalised
(split conformal, log ratio as score) on folds 6-7; scored on folds 8-9. Whole networks: the kernels' numbers are the
prior; errors are those of families left out one at a time, centred on the other families' errors, and coverage that of
intervals from the other families' errors (jackknife+, arXiv 1905.02928). Everything else is predicted with the nearest
fit, and its errors, by device and runtime, are the transfer errors.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from hwsim.core.errors import HwsimError, InputError
from hwsim.latency.calibration import PATH, Calibration, Errors, Fit
from hwsim.latency.conformal import errors_of, left_out_coverage, score
from hwsim.latency.fit_kernels import fit_kernels
from hwsim.latency.fit_networks import fit_networks, lay_out
from hwsim.latency.kernels import kernels
from hwsim.latency.measured import OTHER_STACK, NetworkRow, data_folder, gpus, kernel_rows, network, network_rows
from hwsim.latency.predict import kernel_times, network_basis
from hwsim.latency.roofline import Efficiency, work

TABLES = (
    "alibaba_v100_trt_conv", "help_nasbench201_latency_ms", "help_ofa_mbv3_latency_ms", "jetson_models",
    "neusight_conv_fp32", "neusight_elementwise_fp32", "neusight_matmul_fp32", "nvidia_dle_inference", "timm_infer",
)  # fmt: skip
# key of the fit, and the precision whose single kernels (on the V100) are its prior
NETWORKS = {
    "v100/eager/fp32": "fp32",
    "v100/eager/fp16": "fp16",
    "rtx3090/eager/fp16": "fp16",
    "tx2/tensorrt/fp16": "fp32",  # the TX2 has no tensor cores: its fp16 runs as fp32 does
    "tx2/tensorrt/fp32": "fp32",
    "tx2/eager/fp32": "fp32",
}
UNMEASURED = ("v100/tensorrt/fp32", "v100/tensorrt/fp16", "v100/tensorrt/int8")  # kernels only, no networks


def fit(folder: Path) -> Calibration:
    """Fit everything on the tables of a data folder (the one that holds `latency/` and `reference/`).

    Raises
    ------
    MissingToolError
        Without pandas, pyarrow or scipy.
    InputError
        When a table is missing.
    """
    single, scores = fit_kernels(kernel_rows(folder))
    rows = network_rows(folder)
    networks: dict[str, Fit] = {}
    for key in NETWORKS:
        networks[key], scores[key] = network_scores(key, rows, single, folder)
    for key in UNMEASURED:
        networks[key] = _from_kernels(single, key)
    partial = Calibration(networks, single, _placeholder(), {}, {})
    transfer, figures = transfer_errors(rows, partial, folder)
    return Calibration(networks, single, transfer, _about(folder), scores | figures)


def network_scores(
    key: str, rows: Sequence[NetworkRow], single: Mapping[str, Fit], folder: Path
) -> tuple[Fit, dict[str, float]]:
    """The fit of one device, runtime and precision on whole networks, and the figures of what was left out."""
    mine = [row for row in rows if key_of(row) == key]
    gpu = gpus(folder)[mine[0].gpu]
    prior = _prior(single, NETWORKS[key], eager=mine[0].runtime == "eager")
    return fit_networks(lay_out(mine, gpu), prior, gpu.launch_us[mine[0].runtime])


def transfer_errors(
    rows: Sequence[NetworkRow], calibration: Calibration, folder: Path
) -> tuple[Errors, dict[str, dict[str, float]]]:
    """Errors of networks predicted with another device's, runtime's or precision's fit, mirrored to be centred.

    Returns
    -------
    Their distribution, each device and runtime weighing the same; and the figures of each, with those of the other
    software stack, which the distribution leaves out.
    """
    others = [row for row in rows if key_of(row) not in NETWORKS]
    pair = np.array([f"{'xla' if row.table == OTHER_STACK else 'transfer'}/{row.gpu}/{row.runtime}" for row in others])
    measured = np.array([row.latency_us for row in others])
    residual = np.log(measured / np.array([predicted_us(row, calibration, folder) for row in others]))
    ours = np.char.startswith(pair, "transfer")
    both = np.concatenate([residual[ours], -residual[ours]])
    errors = errors_of(both, np.concatenate([pair[ours], pair[ours]]))
    errors = replace(errors, coverage=left_out_coverage(residual[ours], pair[ours], symmetric=True))
    figures = {}
    for name in sorted(set(pair.tolist())):
        r = residual[pair == name]
        own = replace(errors, coverage=errors.held(r))
        figures[name] = score(r, measured[pair == name], own)
    return errors, figures


def predicted_us(row: NetworkRow, calibration: Calibration, folder: Path) -> float:
    """What the model says of a measured network."""
    gpu = gpus(folder)[row.gpu]
    made = kernels(network(row.workload), row.runtime, row.precision)
    basis = network_basis(made, gpu, row.runtime, calibration)
    return float(kernel_times(made, work(made, gpu, row.batch), basis).sum())


def key_of(row: NetworkRow) -> str:
    return f"{row.gpu}/{row.runtime}/{row.precision}"


def _prior(single: Mapping[str, Fit], precision: str, eager: bool) -> dict[str, Efficiency]:
    """Efficiencies of all classes from single kernels; what was not measured in a precision is borrowed."""

    def of(key: str) -> Efficiency:
        return single[f"v100/{key}"].efficiency[key.rpartition("/")[2]]

    convolutions = ("conv3x3", "conv", "pointwise", "depthwise")
    found = {kind: of(f"tensorrt/{precision}/{kind}") for kind in convolutions}
    if eager and precision == "fp32":
        found["conv3x3"] = of("eager/fp32/conv3x3")
    found["grouped"] = replace(found["conv"], waves=False)
    for kind in ("linear", "matmul"):
        found[kind] = of(f"eager/fp32/{kind}") if precision == "fp32" else replace(found["pointwise"], waves=False)
    found["memory"] = of("eager/fp32/memory")
    return found


def _from_kernels(single: Mapping[str, Fit], key: str) -> Fit:
    """Networks of a runtime that only single kernels were measured of: launches as the median class, no errors."""
    mine = [fit for name, fit in single.items() if name.startswith(key)]
    launch = float(np.median([fit.launch_us for fit in mine]))
    overlap = float(np.median([fit.overlap for fit in mine]))
    return Fit(_prior(single, key.rpartition("/")[2], eager=False), launch, overlap, None, {}, ())


def _placeholder() -> Errors:
    """Stands for the transfer errors while they are being computed; only medians are read then."""
    return Errors((0.0, 1.0), (0.0, 0.0), 0.0, 0)


def _about(folder: Path) -> dict[str, object]:
    import scipy

    hashes = {name: sha256((folder / "latency" / f"{name}.parquet").read_bytes()).hexdigest() for name in TABLES}
    return {
        "made_by": "python -m hwsim.latency.fit FOLDER",
        "tables": "third-party measurements; origin, commit and licence of each: latency/SOURCES.md of the data folder",
        "sha256": hashes,
        "kernel_split": "crc32 of the shape modulo 10: 0-5 fit, 6-7 conformal, 8-9 test",
        "network_split": "left out by family (TX2: by network); errors centred on those of the other families",
        "libraries": f"numpy {np.__version__}, scipy {scipy.__version__}",
    }


def main(arguments: Sequence[str]) -> int:
    """Fit on the folder given and write the calibration file beside this module."""
    if len(arguments) != 1:
        raise InputError("one argument is wanted", where="hwsim.latency.fit", hint="the data folder")
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(fit(data_folder(Path(arguments[0]))).as_json())
    sys.stderr.write(f"{PATH}\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HwsimError as failure:
        sys.stderr.write(f"{failure}\n")
        sys.exit(failure.exit_code)
