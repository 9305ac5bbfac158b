"""Writes data/experts.npz from the measured tables: `python -m hwsim.latency.learned.fit_all FOLDER`.

Convolutions of the NeuSight tables are taken without the drift of their measurement (measured/drift.py). Rows of the
H200 that ships with the package are one more device; DeepBench's products say how well cuBLAS does on eight more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.core.devices import Gpu
from hwsim.latency.conformal import score
from hwsim.latency.learned.expert import Expert, Setting, label_of
from hwsim.latency.learned.experts import PATH, Experts
from hwsim.latency.learned.fit_expert import Recipe, Sample, fit_expert
from hwsim.latency.learned.spread import HIGH, LOW
from hwsim.latency.learned.steady import steady_samples
from hwsim.latency.learned.transfer import transfer_factor
from hwsim.latency.measured.command import run
from hwsim.latency.measured.kernel_rows import (
    DEEPBENCH,
    KernelRows,
    alibaba_convolutions,
    neusight_convolutions,
    neusight_memory,
    products,
)
from hwsim.latency.measured.own_rows import own_kernels
from hwsim.latency.measured.tables import TEST_FOLDS, gpus
from hwsim.latency.shapes import CLASSES
from hwsim.latency.store import write
from hwsim.stats.oblivious_boosting import ObliviousBoosting

_FAULTY = "P4"  # its products of the NeuSight tables ran at a quarter of what that table's own tests say
CONVOLUTIONS = ("conv3x3", "conv", "pointwise", "depthwise", "grouped")
PRODUCTS = ("linear", "matmul")
_TABLES = (
    "alibaba_v100_trt_conv",
    "deepbench_gemm",
    "neusight_conv_fp32",
    "neusight_elementwise_fp32",
    "neusight_matmul_fp32",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an expert is fitted on: `most_rows` of those of one table that do not test."""

    name: str
    runtime: str
    kinds: tuple[str, ...]
    rows: Callable[[Path], Iterable[KernelRows]]
    precision: str = ""
    drifts: bool = False
    most_rows: int = 60_000
    recipe: Recipe = field(default_factory=Recipe)


def _recipe(trees: int, rate: float, depth: int = 6, share: float = 0.3) -> Recipe:
    return Recipe(ObliviousBoosting(trees=trees, depth=depth, rate=rate, feature_share=share, clip=0.3))


PLANS = (
    Plan("eager convolutions", "eager", CONVOLUTIONS, neusight_convolutions, drifts=True),
    Plan("eager products", "eager", PRODUCTS, products, most_rows=6_000),
    Plan("eager memory", "eager", ("memory",), neusight_memory, recipe=_recipe(400, 0.1), most_rows=5_000),
    *(
        Plan(
            f"tensorrt convolutions {p}",
            "tensorrt",
            CONVOLUTIONS,
            alibaba_convolutions,
            p,
            recipe=_recipe(1000, 0.1, depth=8),
        )
        for p in ("fp32", "fp16", "int8")
    ),
)


def samples(plan: Plan, folder: Path, devices: Mapping[str, Gpu]) -> list[Sample]:
    """All measured kernels of a plan, without drift, a setting each."""
    rows = [rows for rows in plan.rows(folder) if plan.precision in ("", rows.precision)]
    if plan.drifts:
        found = steady_samples(rows, devices)[0]
    else:
        found = [_thinned(_sample(r, "nchw", devices), plan.most_rows) for r in rows]
    if plan.runtime == "eager":
        found += [sample for layout, rows in own_kernels() for sample in _own(layout, rows, plan, devices)]
    return found


def _own(layout: str, rows: KernelRows, plan: Plan, devices: Mapping[str, Gpu]) -> Iterator[Sample]:
    wanted = np.isin(rows.table.kind, [CLASSES.index(kind) for kind in plan.kinds])
    if wanted.any():
        yield _sample(rows[wanted], layout, devices)


def _sample(rows: KernelRows, layout: str, devices: Mapping[str, Gpu]) -> Sample:
    hosted = rows.source != DEEPBENCH
    label = rows.device if hosted else f"{rows.device} ({rows.source})"  # protocols are never pooled under one label
    setting = Setting(devices[rows.device], label, rows.precision, layout)
    typical = not (rows.device == _FAULTY and rows.source == "neusight_products")
    return Sample(setting, rows.table, rows.latency_us, rows.fold, typical, hosted)


def _thinned(sample: Sample, most: int) -> Sample:
    """All test rows, and so many of the others, evenly spaced: regular sweeps say no more in full."""
    fit = np.flatnonzero(sample.fold < TEST_FOLDS[0])
    kept = np.isin(sample.fold, TEST_FOLDS)
    kept[fit[np.linspace(0, len(fit) - 1, min(most, len(fit))).astype(int)]] = True
    return sample[kept]


def fit_all(folder: Path, progress: Callable[[str], object] | None = None) -> Experts:
    """Fit every expert on folds 0 to 7 and score it on folds 8 and 9."""
    devices = gpus(folder)
    experts: dict[str, Expert] = {}
    scores: dict[str, dict[str, float]] = {}
    coverage: dict[str, float] = {}
    for plan in PLANS:
        data = samples(plan, folder, devices)
        experts[plan.name] = fit_plan(plan, data)
        for label, figures in scored(experts[plan.name], data).items():
            scores[f"{plan.runtime}: {label}"] = figures
            coverage.setdefault(label.partition(" ")[0], figures["coverage_pct"] / 100)
        if progress:
            progress(plan.name)
    return Experts(experts, coverage, scores, _about(folder))


def fit_plan(plan: Plan, data: Sequence[Sample]) -> Expert:
    """The expert of a plan, with what leaving devices out says of those that were not measured."""
    expert = fit_expert(plan.name, plan.runtime, plan.kinds, data, plan.recipe)
    return replace(expert, spread=replace(expert.spread, transfer=transfer_factor(expert, data)))


def scored(expert: Expert, data: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Figures on the test folds by `device/precision/kind layout`."""
    found = {}
    for sample in data:
        test = sample[np.isin(sample.fold, TEST_FOLDS)]
        for kind in np.unique(test.table.kind):
            rows = test[test.table.kind == kind]
            label = f"{label_of(rows.setting, CLASSES[kind])} {rows.setting.layout}"
            found[label] = figures(expert, rows)
    return found


def figures(expert: Expert, rows: Sample) -> dict[str, float]:
    """MAPE, shares, rank correlation, coverage of 90 % intervals and their median half-width."""
    forecast = expert.predict(rows.table, rows.setting)
    low, high = forecast.quantiles_us[:, LOW], forecast.quantiles_us[:, HIGH]
    inside = (rows.latency_us >= low) & (rows.latency_us <= high)
    return score(np.log(rows.latency_us / forecast.time_us), rows.latency_us, None) | {
        "coverage_pct": 100 * float(inside.mean()),
        "half_width_pct": 50 * float(np.median((high - low) / forecast.time_us)),
    }


def _about(folder: Path) -> dict[str, Any]:
    hashes = {name: sha256((folder / "latency" / f"{name}.parquet").read_bytes()).hexdigest() for name in _TABLES}
    return {
        "made_by": "python -m hwsim.latency.learned.fit_all FOLDER",
        "tables": "third-party measurements; origin, commit and licence of each: latency/SOURCES.md of the data "
        "folder; and data/h200_kernels.csv.gz, measured by hwsim profile",
        "sha256": hashes,
        "split": "crc32 of the shape without its batch, modulo 10: 0-7 fit and calibrate, 8-9 test",
    }


def main(folder: Path) -> None:
    """Fit and write."""
    made = fit_all(folder, lambda text: sys.stderr.write(text + "\n"))
    write(PATH, {name: getattr(made, name) for name in ("experts", "coverage", "scores", "about")})


if __name__ == "__main__":
    run("hwsim.latency.learned.fit_all", main)
