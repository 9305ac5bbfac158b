"""Scores of the latency predictor on measurements that its fits did not see, beside baselines on the same rows.

    HWSIM_SHARED=FOLDER python tests/benchmarks/latency_scores.py [kernels|devices|networks|transformers]

Kernels: shapes of folds 8 and 9 (`fold` below), predicted by the shipped experts; baselines are fitted on folds 0 to
7 of the same rows. Networks: models of folds 8 and 9, predicted by fits that did not see them (minutes; needs traces of
timm's networks), then what the shipped file says of left-out models, families and devices. `transformers`: BERT-Large
and GPT2-Large, measured whole by others, as sums of their kernels by the shipped experts; the H100 and L4 among them
were never measured in kernels. Baselines, a device each: a line in multiply-accumulates, the datasheet's roofline, and
scikit-learn's boosting on the logarithms of the same numbers that a user has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from hwsim.latency.conformal import score
from hwsim.latency.learned.expert import Setting
from hwsim.latency.learned.experts import experts
from hwsim.latency.learned.fit_all import PLANS, figures, samples
from hwsim.latency.learned.fit_expert import Sample
from hwsim.latency.learned.steady import steady_samples
from hwsim.latency.learned.transfer import without_device
from hwsim.latency.measured.kernel_rows import neusight_convolutions
from hwsim.latency.measured.tables import data_folder, gpus
from hwsim.latency.measured.transformers import transformer_rows
from hwsim.latency.networks.fit_all import Tables, model_of
from hwsim.latency.networks.fit_classes import Prior
from hwsim.latency.networks.fit_network import NetworkSet, _fit
from hwsim.latency.networks.likeness import description
from hwsim.latency.networks.models import network_models
from hwsim.latency.networks.network_model import correction
from hwsim.latency.networks.work_classes import LAUNCHES, TERMS
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.table import KernelTable

Array = NDArray[np.float64]
COLUMNS = ("rows", "mape_pct", "within10_pct", "within20_pct", "spearman", "coverage_pct", "half_width_pct")
BOOSTED_ROWS = 45_000


def fold(text: str) -> int:
    """The split: crc32 of a shape's numbers joined by dashes, or of a model's name, modulo 10; 8 and 9 test."""
    return crc32(text.encode()) % 10


def main(arguments: list[str]) -> None:
    folder = data_folder(Path(os.environ["HWSIM_SHARED"]))
    print(f"{'':60s}" + "".join(f"{name:>15s}" for name in COLUMNS), flush=True)
    if not arguments or "kernels" in arguments:
        for name, found in kernels(folder):
            line(name, found)
    if not arguments or "devices" in arguments:
        for name, found in devices(folder):
            line(name, found)
    if not arguments or "transformers" in arguments:
        for name, found in transformers(folder):
            line(name, found)
    if not arguments or "networks" in arguments:
        for name, found in networks(folder):
            line(name, found)


def line(name: str, found: dict[str, float]) -> None:
    values = "".join(f"{found[c]:15.2f}" if c in found else f"{'':15s}" for c in COLUMNS)
    print(f"{name:60s}{values}", flush=True)


def kernels(folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Unseen shapes by device, precision, layout and kind."""
    shipped = experts().experts
    for plan in PLANS:
        for sample in samples(plan, folder, gpus(folder)):
            test = sample[sample.fold >= 8]
            train = sample[sample.fold < 8]
            where = f"{plan.runtime} {sample.setting.device} {sample.setting.precision} {sample.setting.layout}"
            for name, times in baselines(train, test).items():
                yield f"{where}, {name}", score(np.log(test.latency_us / times), test.latency_us, None)
            yield f"{where}, hwsim", figures(shipped[plan.name], test)
            for kind in np.unique(test.table.kind):
                of_kind = test[test.table.kind == kind]
                yield f"{where} {CLASSES[kind]}, hwsim", figures(shipped[plan.name], of_kind)
    yield from raw_convolutions(folder)


def devices(folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Products on a chip that floors, offsets and trees do not know, on the folds that nothing knows.

    All boards and tables of the chip are left out; rows of a benchmark without a runtime are not scored.
    """
    plan = next(plan for plan in PLANS if plan.name == "eager products")
    expert = experts().experts[plan.name]
    everything = samples(plan, folder, gpus(folder))
    for chip in sorted({s.chip for s in everything if s.hosted}):
        others = [s[s.fold < 8] for s in everything if s.chip != chip]
        blind = without_device(expert, others)
        blind = replace(blind, spread=replace(blind.spread, transfer=expert.spread.transfer))
        for sample in (s[s.fold >= 8] for s in everything if s.chip == chip and s.hosted):
            for kind in np.unique(sample.table.kind):
                of_kind = sample[sample.table.kind == kind]
                yield (
                    f"left out: {sample.setting.device} {of_kind.setting.precision} {CLASSES[kind]}",
                    figures(blind, of_kind),
                )


def transformers(folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Whole transformers by device, beside a roofline."""
    cards = gpus(folder)
    by_device: dict[str, list[tuple[float, float, float, bool]]] = {}
    for row in transformer_rows(folder):
        gpu = cards[row.device]
        found = network_models().from_kernels(gpu, "eager", "fp32")
        sums = row.launches.kernel_sums(gpu, row.batch, "fp32", "nchw")
        assert found is not None and sums is not None
        time = float(found.model.network_us(sums[None, :])[0])
        ideal = row.launches.work(gpu, row.batch, "fp32")
        roof = float(np.maximum(ideal.compute_us, ideal.memory_us) @ row.launches.counts)
        errors = found.model.forecast(sums[None, :]).log_quantiles[0]
        low, high = (np.interp(level, found.model.spread.levels, errors) for level in (0.05, 0.95))
        inside = low <= np.log(row.latency_us / time) <= high
        by_device.setdefault(row.device, []).append((row.latency_us, time, roof, bool(inside)))
    for device, rows in by_device.items():
        measured, time, roof, inside = np.array(rows).T
        yield f"transformers {device}, roofline", score(np.log(measured / roof), measured, None)
        found_figures = score(np.log(measured / time), measured, None)
        yield f"transformers {device}, hwsim", found_figures | {"coverage_pct": 100 * float(inside.mean())}


def raw_convolutions(folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """3x3 convolutions as measured, drift and all, by the best guess of t + overhead where the place is unknown.

    The overhead grows with the place in the table, about in proportion; sqrt(t (t + largest)) is the guess of least
    relative error for a place anywhere between first and last.
    """
    expert = experts().experts["eager convolutions"]
    rows = list(neusight_convolutions(folder))
    _, overheads = steady_samples(rows, gpus(folder))
    for one, overhead in zip(rows, overheads, strict=True):
        largest = float(overhead.max())
        test = one.fold >= 8
        measured = one.latency_us[test]
        t = expert.predict(one.table[test], Setting(gpus(folder)[one.device], one.device, "fp32")).time_us
        perfect = np.maximum(measured - overhead[test], 1.0)
        for name, times in {
            "place unknown": np.sqrt(t * (t + largest)),
            "place known": t + overhead[test],
            "perfect model, place unknown": np.sqrt(perfect * (perfect + largest)),
        }.items():
            yield f"eager {one.device} conv3x3 with drift, {name}", score(np.log(measured / times), measured, None)


def baselines(train: Sample, test: Sample) -> dict[str, Array]:
    """Times by a line in multiply-accumulates (bytes where there are none), a roofline and boosting."""
    gpu, precision = train.setting.gpu, train.setting.precision

    def size(table: KernelTable) -> Array:
        return np.where(table.macs > 0, table.macs, table.bytes_moved)

    design = np.column_stack([size(train.table), np.ones(len(train.fold))]) / train.latency_us[:, None]
    slope, constant = np.linalg.lstsq(design, np.ones(len(design)), rcond=None)[0]
    compute = 2 * test.table.macs / (gpu.peak_tflops[precision] * 1e6)
    roofline = np.maximum(compute, test.table.bytes_moved / (gpu.dram_gbps_spec * 1e3))
    step = max(1, len(train.fold) // BOOSTED_ROWS)
    boosted = HistGradientBoostingRegressor(max_iter=300, learning_rate=0.1, max_leaf_nodes=31, random_state=0)
    boosted.fit(columns(train.table)[::step], np.log(train.latency_us)[::step])
    return {
        "line": np.maximum(slope * size(test.table) + constant, 1.0),
        "roofline": np.maximum(roofline, 1e-3),
        "boosting": np.exp(boosted.predict(columns(test.table))),
    }


def columns(table: KernelTable) -> Array:
    """Logarithms of the numbers that describe a kernel."""
    parts = (
        table.macs, table.bytes_moved, table.images, table.count, table.rows, table.cols, table.depth, table.out_w,
        table.kernel_w, table.stride, table.read_elements, table.write_elements, table.weight_elements,
    )  # fmt: skip
    return np.column_stack([*(np.log(np.maximum(c, 1)) for c in parts), table.kind])


def networks(folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Unseen models beside baselines, then what the shipped file says of left-out models and families."""
    tables = Tables(folder)
    for (key, stack), rows in sorted(tables.sets.items()):
        if len(rows) < 300:
            continue
        data = tables.data(rows)
        test = np.array([fold(model_of(row)) >= 8 for row in rows])
        gpu = tables.gpus[key.partition("/")[0]]
        precision = key.split("/")[2]
        prior = Prior.plain(gpu.launch_us[key.split("/")[1]], 0.8)
        for name, times in {
            **of_totals(data, test, gpu.peak_tflops[precision]),
            "hwsim": ours(data, test, prior),
        }.items():
            measured, batch = data.latency_us[test], data.batch[test]
            yield f"{key} {stack}, {name}", score(np.log(measured / times), measured, None)
            for one in np.unique(batch) if stack == "HELP" else ():
                same = batch == one
                found = score(np.log(measured[same] / times[same]), measured[same], None)
                yield f"{key} {stack} batch {one:.0f}, {name}", found
    for name, figure in network_models().scores.items():
        told = dict(figure)
        median, worst = (told.get(f"{which}_family_mape_pct", 0.0) for which in ("median", "worst"))
        yield f"{name} (median {median:.1f}, worst {worst:.0f})" if name.endswith("families") else name, told


def ours(data: NetworkSet, test: NDArray[np.bool_], prior: Prior) -> Array:
    classes, trees, likeness = _fit(data[~test], prior)
    times = classes.network_us(data.sums[test])
    if trees is None or likeness is None:
        return times
    described = description(classes, data.sums[test])
    return np.asarray(times * np.exp(correction(trees, described, likeness.distance(described))))


def of_totals(data: NetworkSet, test: NDArray[np.bool_], peak_tflops: float) -> dict[str, Array]:
    """Baselines on a network's totals: multiply-accumulates, bytes, launches and batch."""
    macs = data.macs * data.batch
    moved = data.sums[:, [name.endswith(":memory") for name in TERMS]].sum(axis=1)
    design = np.column_stack([macs, np.ones(len(macs))])[~test] / data.latency_us[~test, None]
    slope, constant = np.linalg.lstsq(design, np.ones(len(design)), rcond=None)[0]
    x = np.log(np.column_stack([macs, moved, data.sums[:, TERMS.index(LAUNCHES)], data.batch]))
    boosted = HistGradientBoostingRegressor(max_iter=300, learning_rate=0.05, random_state=0)
    boosted.fit(x[~test], np.log(data.latency_us[~test]))
    return {
        "line": np.maximum(slope * macs[test] + constant, 1.0),
        "roofline": np.maximum(2 * macs[test] / (peak_tflops * 1e6), moved[test]),
        "boosting on totals": np.exp(boosted.predict(x[test])),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
