"""Figures of the latency predictor that need fits or laws of their own, beside those of `latency_scores.py`.

    HWSIM_SHARED=FOLDER python tests/benchmarks/latency_left_out.py [wis|nvidia|depthwise]

`wis`: the weighted interval score (of log time) of what the shipped experts leave over on folds 8 and 9, by each base
law, by their plain mean, by their aggregation as mixed, with conformal shifts, and as predicted, which is wider outside
the training rows; `over_best` is the sorted score less that of the best base law, `se` its standard error, rows taken
as independent. `nvidia`: NVIDIA's tables of whole networks on the V100, by fits that saw no row of a batch, or no
network of a family. `depthwise`: TensorRT's depthwise convolutions with kernels of 5 x 5 in all folds, of which the fit
saw none, beside baselines on the same training rows; and by the shipped experts, which saw those of folds 0 to 7.
`depthwise` takes minutes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path

import numpy as np
from latency_scores import COLUMNS, Array, baselines, line, of_totals
from numpy.typing import NDArray

from hwsim.latency.conformal import errors_of, left_out_coverage, median_of, score
from hwsim.latency.errors import Errors
from hwsim.latency.learned.expert import Expert, features, label_of
from hwsim.latency.learned.experts import experts
from hwsim.latency.learned.fit_all import PLANS, figures, samples
from hwsim.latency.learned.fit_expert import Sample, _base_of, fit_expert
from hwsim.latency.learned.spread import LEVELS, Spread
from hwsim.latency.measured.network_rows import nvidia_rows
from hwsim.latency.measured.tables import data_folder, gpus
from hwsim.latency.networks.fit_all import Tables, taught
from hwsim.latency.networks.fit_classes import Prior
from hwsim.latency.networks.fit_network import NetworkSet, _left_out
from hwsim.latency.networks.models import network_models
from hwsim.latency.networks.work_classes import TERMS
from hwsim.latency.shapes import CLASSES
from hwsim.stats.quantile_aggregation import QuantileAggregation
from hwsim.stats.quantile_metrics import crossing_rate, pinball_losses, weighted_interval_score

LEFT_OUT_TAPS = 25  # of depthwise kernels of 5 x 5, the largest in the table
WIS_COLUMNS = ("rows", "crossing_pct", "wis", "wis_sorted", "over_best", "se")
Figures = Iterator[tuple[str, dict[str, float]]]


def main(arguments: list[str]) -> None:
    folder = data_folder(Path(os.environ["HWSIM_SHARED"]))
    if not arguments or "wis" in arguments:
        header(WIS_COLUMNS)
        for name, found in wis(folder):
            print(f"{name:60s}" + "".join(f"{found[c]:15.5f}" for c in WIS_COLUMNS), flush=True)
    for mode, made in (("nvidia", nvidia), ("depthwise", depthwise)):
        if not arguments or mode in arguments:
            header(COLUMNS)
            for name, found in made(folder):
                line(name, found)


def header(columns: Sequence[str]) -> None:
    print(f"{'':60s}" + "".join(f"{name:>15s}" for name in columns), flush=True)


def depthwise(folder: Path) -> Figures:
    """All depthwise kernels of one size, by a fit on folds 0 to 7 that saw none of that size."""
    for plan in (plan for plan in PLANS if plan.runtime == "tensorrt"):
        (sample,) = samples(plan, folder, gpus(folder))
        out = (sample.table.kind == CLASSES.index("depthwise")) & (sample.table.taps == LEFT_OUT_TAPS)
        test, unseen, train = sample[out], sample[out & (sample.fold >= 8)], sample[~out & (sample.fold < 8)]
        where = f"depthwise k=5, tensorrt {plan.precision}"
        for name, times in baselines(train, test).items():
            yield f"{where}, left out: {name}", score(np.log(test.latency_us / times), test.latency_us, None)
        expert = fit_expert(plan.name, plan.runtime, plan.kinds, [train], plan.recipe)
        yield f"{where}, left out: hwsim", figures(expert, test)
        yield f"{where}, left out: hwsim, folds 8 and 9", figures(expert, unseen)
        yield f"{where}, size seen: hwsim, folds 8 and 9", figures(experts().experts[plan.name], unseen)


def wis(folder: Path) -> Figures:
    """Held-out scores of every way from base laws to quantiles; see `laws`."""
    for plan in PLANS:
        expert = experts().experts[plan.name]
        x, left, label, distance = left_over(expert, [s[s.fold >= 8] for s in samples(plan, folder, gpus(folder))])
        found = laws(expert.spread, x, label, distance)
        each = {name: of_rows(left, quantiles) for name, quantiles in found.items()}
        best = min((name for name in found if name.startswith("base")), key=lambda name: float(each[name].mean()))
        for name, quantiles in found.items():
            over = each[name] - each[best]
            values = (
                len(left), 100 * crossing_rate(quantiles), weighted_interval_score(left, quantiles, LEVELS),
                weighted_interval_score(left, np.sort(quantiles, axis=1), LEVELS), over.mean(),
                over.std() / np.sqrt(len(over)),
            )  # fmt: skip
            yield f"{plan.name}, {name}", dict(zip(WIS_COLUMNS, map(float, values), strict=True))


def left_over(expert: Expert, data: Sequence[Sample]) -> tuple[NDArray[np.float32], Array, NDArray[np.str_], Array]:
    """Features, log of measured over predicted time, labels and distances of all rows."""
    parts = []
    for s in data:
        forecast = expert.predict(s.table, s.setting)
        labels = np.array([label_of(s.setting, kind) for kind in CLASSES])[s.table.kind]
        x = features(expert.simulated(s.table, s.setting), s.table, s.setting)
        parts.append((x, np.log(s.latency_us / forecast.time_us), labels, forecast.distance))
    x, left, label, distance = (np.concatenate(column) for column in zip(*parts, strict=True))
    return x, left, label, distance


def laws(spread: Spread, x: NDArray[np.float32], label: NDArray[np.str_], distance: Array) -> dict[str, Array]:
    """Quantiles by each base law, by their mean and their aggregation as mixed, then step by step as predicted."""
    base = _base_of(spread, x, label)
    as_mixed: QuantileAggregation = copy(spread.aggregation)
    as_mixed.monotonise = None
    shipped = np.empty((len(x), len(LEVELS)))
    for one in np.unique(label):
        rows = label == one
        shipped[rows] = spread.quantiles(x[rows], str(one), distance[rows])
    return {
        **{f"base {name}": quantiles for name, quantiles in base.items()},
        "plain mean": np.mean(list(base.values()), axis=0),
        "aggregated": as_mixed.predict(base),
        "aggregated, shifted": spread.conformal.calibrated(spread.aggregation.predict(base), label),
        "as predicted": shipped,
    }


def of_rows(left: Array, quantiles: Array) -> Array:
    """Each row's weighted interval score, of sorted quantiles."""
    return np.asarray(2 * pinball_losses(left, np.sort(quantiles, axis=1), LEVELS).mean(axis=1))


def nvidia(folder: Path) -> Figures:
    """Networks of NVIDIA's V100 tables: each batch, then each family, by a fit on the rows of the others."""
    tables = Tables(folder, nvidia_rows(folder))
    known = network_models().models
    classes = {key: model.classes for key, model in known.items()}
    seen = {key: np.isin(TERMS, model.seen) for key, model in known.items()}
    for key, stack in sorted(pair for pair in tables.sets if pair[0].startswith("v100/")):
        data = tables.data(tables.sets[key, stack])
        _, runtime, precision, _ = key.split("/")
        gpu = tables.gpus["v100"]
        prior = taught(classes, seen, precision, gpu.launch_us[runtime])
        for what, group in (("batch", data.batch.astype(int).astype(str)), ("family", data.family)):
            for name, times in groups_left_out(data, group, prior, gpu.peak_tflops[precision]).items():
                residual = np.log(data.latency_us / times)
                errors = errors_by(residual, group) if name == "hwsim" else None
                yield f"{key} by {what}, {name}", score(residual, data.latency_us, errors)
                for one in sorted(set(group), key=lambda g: (len(g), g)) if name == "hwsim" else ():
                    mine = group == one
                    found = score(residual[mine], data.latency_us[mine], None)
                    yield f"{key} {what} {one} left out, {name}", found


def groups_left_out(data: NetworkSet, group: NDArray[np.str_], prior: Prior, peak_tflops: float) -> dict[str, Array]:
    """Times of every group by baselines and by fits that did not see it."""
    times: dict[str, Array] = {}
    for one in np.unique(group):
        out = group == one
        for name, found in {
            **of_totals(data, out, peak_tflops),
            "hwsim": _left_out(data, out, prior).predicted_us,
        }.items():
            times.setdefault(name, np.empty(len(group)))[out] = found
    return times


def errors_by(residual: Array, group: NDArray[np.str_]) -> Errors:
    """The errors that a fit of few networks ships with, from groups left out."""
    return errors_of(residual - median_of(residual, group), group, left_out_coverage(residual, group))


if __name__ == "__main__":
    main(sys.argv[1:])
