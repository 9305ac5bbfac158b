"""Writes data/networks.npz from the measured tables: `python -m hwsim.latency.networks.fit_all FOLDER`.

Every set of networks (device, runtime, precision, layout, software) is fitted and scored by itself; of several stacks
the newest ships. Priors are what many networks showed elsewhere: the mean log factors of the sets with most of them.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.conformal import errors_of, left_out_coverage, score
from hwsim.latency.errors import Errors
from hwsim.latency.learned.spread import HIGH, LOW
from hwsim.latency.measured.command import run
from hwsim.latency.measured.launches import Launches
from hwsim.latency.measured.network_rows import (
    NetworkRow,
    jetson_rows,
    nasbench_rows,
    nvidia_rows,
    ofa_rows,
    timm_rows,
    with_launches,
)
from hwsim.latency.measured.own_rows import own_networks
from hwsim.latency.measured.tables import gpus
from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.fit_classes import Prior
from hwsim.latency.networks.fit_kernel_sums import fit_kernel_sums, fit_own_sums
from hwsim.latency.networks.fit_network import LEAST_FAMILY, MANY, LeftOut, NetworkSet, fit_network, models_left_out
from hwsim.latency.networks.models import PAIR, PATH, NetworkModels, size_of
from hwsim.latency.networks.network_model import LABEL, NetworkModel, with_distance
from hwsim.latency.networks.work_classes import TERMS
from hwsim.latency.simulator.table import Array
from hwsim.latency.store import write

SHIPPED = (
    "v100/eager/fp32/nchw", "v100/eager/fp16/nchw", "rtx3090/eager/fp16/nchw", "rtx3090/eager/fp16/nhwc",
    "rtx4090/eager/fp16/nchw", "rtx4090/eager/fp16/nhwc", "rtx4090/compiled/fp16/nchw", "h200/eager/fp16/nhwc",
    "h200/eager/fp32/nhwc", "tx2/tensorrt/fp16/nchw", "tx2/tensorrt/fp32/nchw", "tx2/eager/fp32/nchw",
)  # fmt: skip
SPECIAL = {"HELP": "/once-for-all"}  # a search space beside more general networks on the same key
_TEACHERS = {  # sets whose factors are the prior of smaller ones
    "fp16": ("rtx3090/eager/fp16/nchw", "rtx3090/eager/fp16/nhwc", "rtx4090/eager/fp16/nchw", "h200/eager/fp16/nhwc"),
    "fp32": ("v100/eager/fp32/nchw/once-for-all", "h200/eager/fp32/nhwc"),
}
_TABLES = ("help_ofa_mbv3_latency_ms", "jetson_models", "nvidia_dle_inference", "timm_infer")
_SUMMED = 150  # rows of a set that sums of single kernels are fitted on, at most twice as many
_PLAIN_SD, _TAUGHT_SD = 0.8, 0.4
_SANE = 1.5  # logarithms from the plain prior
Sets = dict[tuple[str, str], list[NetworkRow]]


class Tables:
    """Rows of all tables by key and stack, with the sums of their networks."""

    def __init__(self, folder: Path, rows: Iterable[NetworkRow] | None = None) -> None:
        given = list(rows) if rows is not None else [
            *timm_rows(folder), *ofa_rows(folder), *nvidia_rows(folder), *jetson_rows(folder), *own_networks()
        ]  # fmt: skip
        self.folder, self.gpus = folder, gpus(folder)
        kept, self._launches = with_launches([row for row in given if row.gpu in self.gpus])
        self.sets: Sets = defaultdict(list)
        for row in kept:
            self.sets[row.key, row.stack].append(row)
        self._sums: dict[tuple[str, str, int, str], Array] = {}

    def sums(self, row: NetworkRow, gpu: str = "") -> Array:
        """Sums of a row's network, on its own or another device."""
        key = (row.network, gpu or row.gpu, row.batch, row.precision)
        if key not in self._sums:
            self._sums[key] = self.launches(row).sums(self.gpus[key[1]], row.batch, row.precision)
        return self._sums[key]

    @property
    def launch_us(self) -> dict[str, float]:
        """Cost of an eager launch by device, microseconds."""
        return {name: gpu.launch_us["eager"] for name, gpu in self.gpus.items()}

    @cached_property
    def kernel_sets(self) -> dict[tuple[str, str], NetworkSet]:
        """Some rows of every eager set of server cards and desktops with sums by the experts of single kernels."""
        found = {}
        for (key, stack), rows in self.sets.items():
            device, runtime, precision, layout = key.split("/")
            gpu = self.gpus[device]
            if runtime != "eager" or size_of(gpu) == "small":
                continue
            some = rows[:: max(1, len(rows) // _SUMMED)]
            sums = [self.launches(row).kernel_sums(gpu, row.batch, precision, layout) for row in some]
            served = [(row, s) for row, s in zip(some, sums, strict=True) if s is not None]
            if served:
                data = self.data([row for row, _ in served])
                found[key, stack] = replace(data, sums=np.array([s for _, s in served]))
        return found

    def launches(self, row: NetworkRow) -> Launches:
        return self._launches[row.network]

    def data(self, rows: Sequence[NetworkRow]) -> NetworkSet:
        """Rows as arrays."""
        macs = [self.launches(row).macs for row in rows]
        return NetworkSet(
            np.array([self.sums(row) for row in rows]), np.array([row.latency_us for row in rows]),
            np.array([row.family for row in rows]), np.array([model_of(row) for row in rows]),
            np.array([float(row.batch) for row in rows]), np.array(macs),
        )  # fmt: skip


def model_of(row: NetworkRow) -> str:
    """What stands for one model: its name without weights and size."""
    if row.network.startswith("ofa@"):
        return row.network
    return row.network.partition("@")[0].partition(".")[0]


def taught(
    models: Mapping[str, ClassModel], seen: Mapping[str, NDArray[np.bool_]], precision: str, host_us: float
) -> Prior:
    """The mean log factors of the teachers that held a class; plain where none did.

    A factor far from plain stands for something else, such as a cost that all networks of a search space share.
    """
    plain = Prior.plain(host_us, _PLAIN_SD)
    names = [key for key in _TEACHERS["fp32" if precision == "fp32" else "fp16"] if key in models]
    if not names:
        return plain
    logs = np.log(np.array([models[key].factors for key in names]))
    sane = np.abs(logs - plain.centre[: len(TERMS)]) < _SANE
    held = np.array([seen[key] for key in names]) & sane
    mean = (logs * held).sum(axis=0) / np.maximum(held.sum(axis=0), 1)
    known = held.sum(axis=0) > 0
    centre, sd = plain.centre.copy(), plain.sd.copy()
    centre[: len(TERMS)] = np.where(known, mean, centre[: len(TERMS)])
    sd[: len(TERMS)] = np.where(known, _TAUGHT_SD, _PLAIN_SD)
    return replace(plain, centre=centre, sd=sd)


def fit_all(tables: Tables, progress: Any = None) -> NetworkModels:
    """Fit and score every set, large ones first."""
    models: dict[str, NetworkModel] = {}
    scores: dict[str, dict[str, float]] = {}
    classes: dict[str, ClassModel] = {}
    seen: dict[str, NDArray[np.bool_]] = {}
    order = sorted(tables.sets, key=lambda pair: (len(tables.sets[pair]) < MANY, pair))
    for key, stack in order:
        data = tables.data(tables.sets[key, stack])
        if len(set(data.family.tolist())) < 2 and len(data.family) < MANY:
            continue
        host = tables.gpus[key.partition("/")[0]].launch_us[key.split("/")[1]]
        precision = key.split("/")[2]
        prior = taught(classes, seen, precision, host) if len(data.family) < MANY else Prior.plain(host, _PLAIN_SD)
        if len(data.family) >= MANY and not _ships(tables, key, stack):
            scores[f"{key}, {stack}, models"] = unseen_models(data, prior)
            continue
        model, left = fit_network(data, prior, stack, key.split("/")[1] == "tensorrt")
        scores |= {
            f"{key}, {stack}, {name}": figures(data, part, model) for name, part in left.items() if len(part.rows)
        }
        name = f"{key}{SPECIAL.get(stack, '')}"
        if key in SHIPPED and newer(model, models.get(name)):
            models[name], classes[name], seen[name] = model, model.classes, np.isin(TERMS, model.seen)
        if progress:
            progress(f"{key}, {stack}")
    sums, summed = fit_kernel_sums(tables.kernel_sets, tables.launch_us)
    own, better = own_sums(tables, models, scores)
    sums |= own
    scores |= better
    bare = NetworkModels(models, {}, sums, scores, {})
    transfer, more = transfer_errors(tables, bare)
    transfer["unlike"], unlike = unlike_errors(Tables(tables.folder, nasbench_rows(tables.folder)), bare)
    return replace(bare, transfer=transfer, scores=scores | more | summed | unlike)


def own_sums(
    tables: Tables, models: Mapping[str, NetworkModel], scores: Mapping[str, Mapping[str, float]]
) -> tuple[dict[str, NetworkModel], dict[str, dict[str, float]]]:
    """Small sets as sums of kernels, and their figures, where those tell left-out families better than classes do."""
    found, better = {}, {}
    for (key, stack), data in tables.kernel_sets.items():
        if key not in models or models[key].stack != stack or models[key].networks >= MANY:
            continue
        model, left = fit_own_sums(tables.kernel_sets, tables.launch_us, (key, stack))
        mine, name = figures(data, left["families"], model), f"{key}, {stack}, families"
        if mine["mape_pct"] < scores[name]["mape_pct"]:
            found[key], better[name] = model, mine
    return found, better


def _ships(tables: Tables, key: str, stack: str) -> bool:
    """Whether a large set is the one of its key that ships: the newest stack, a search space beside it."""
    stacks = [s for k, s in tables.sets if k == key and s not in SPECIAL and len(tables.sets[k, s]) >= MANY]
    return key in SHIPPED and (stack in SPECIAL or stack == max(stacks))


def unseen_models(data: NetworkSet, prior: Prior) -> dict[str, float]:
    """Figures of models left out in fifths, where nothing ships that intervals would be needed for."""
    left = models_left_out(data, prior)
    return score(np.log(data.latency_us[left.rows] / left.predicted_us), data.latency_us[left.rows], None)


def newer(model: NetworkModel, other: NetworkModel | None) -> bool:
    """Whether a model replaces another of its key: more networks of many kinds, then the later stack."""
    if other is None:
        return True
    return (model.networks >= MANY, model.stack) > (other.networks >= MANY, other.stack)


def figures(data: NetworkSet, left: LeftOut, model: NetworkModel) -> dict[str, float]:
    """MAPE, shares, rank correlation, coverage and half-width of networks that fits did not see."""
    residual = np.log(data.latency_us[left.rows] / left.predicted_us)
    found = score(residual, data.latency_us[left.rows], None)
    family = data.family[left.rows]
    each = [100 * float(np.mean(np.abs(np.exp(-residual[family == name]) - 1))) for name in np.unique(family)]
    found |= {
        "families": float(len(each)),
        "median_family_mape_pct": float(np.median(each)),
        "worst_family_mape_pct": max(each),
    }
    if isinstance(model.spread, Errors):
        low, high = model.spread.quantile(0.05), model.spread.quantile(0.95)
        width = 50 * (np.exp(high) - np.exp(low))
    else:
        x = with_distance(left.described, left.distance)
        quantiles = model.spread.quantiles(x, LABEL, np.zeros(len(x)))
        width = 50 * np.median(np.exp(quantiles[:, HIGH]) - np.exp(quantiles[:, LOW]))
    coverage = model.coverage if np.isnan(left.coverage) else left.coverage
    return found | {"coverage_pct": 100 * coverage, "half_width_pct": float(width)}


def transfer_errors(tables: Tables, models: NetworkModels) -> tuple[dict[str, Errors], dict[str, dict[str, float]]]:
    """Errors of rows answered by the nearest model of another device, mirrored to be centred; and their figures.

    The one card that was measured compiled is left out: every other card is answered with what compiling changed on it.
    """
    pairs, residual, measured = [], [], []
    for (key, _), rows in tables.sets.items():
        device, runtime, precision, layout = key.split("/")
        if key == PAIR[0]:
            continue
        others = {k: m for k, m in models.models.items() if k.partition("/")[0] != device}
        gpu = tables.gpus[device]
        found = replace(models, models=others).find(gpu, runtime, precision, layout)
        some = rows[:: max(1, len(rows) // 300)]
        predicted = found.model.network_us(np.array([tables.sums(row) for row in some]))
        residual.append(np.log(np.array([row.latency_us for row in some]) / predicted))
        measured.append(np.array([row.latency_us for row in some]))
        pairs += [f"transfer/{size_of(gpu)}/{device}/{runtime}/{precision}"] * len(some)
    r, us, pair = np.concatenate(residual), np.concatenate(measured), np.array(pairs)
    found_errors: dict[str, Errors] = {}
    figures: dict[str, dict[str, float]] = {}
    for size in ("server", "small"):
        mine = np.char.startswith(pair, f"transfer/{size}/")
        errors = errors_of(np.concatenate([r[mine], -r[mine]]), np.concatenate([pair[mine], pair[mine]]))
        coverage = left_out_coverage(r[mine], pair[mine], symmetric=True)
        found_errors[size] = replace(errors, coverage=coverage)
        figures |= {str(n): score(r[pair == n], us[pair == n], found_errors[size]) for n in np.unique(pair[mine])}
    found_errors["layout"], more = layout_errors(tables, models)
    return found_errors, figures | more


def unlike_errors(tables: Tables, models: NetworkModels) -> tuple[Errors, dict[str, dict[str, float]]]:
    """Errors on networks unlike all that were fitted, smaller by far.

    No network of the GTX 1080 Ti, Titan Xp and Titan RTX is fitted; the RTX 2080 Ti's larger ones are. Both by the
    nearest device's model and by sums of kernels; devices and batches count the same.
    """
    residual, group, scores = [], [], {}
    for (key, _), rows in tables.sets.items():
        device, runtime, precision, layout = key.split("/")
        gpu = tables.gpus[device]
        summed = models.from_kernels(gpu, runtime, precision)
        sums = [tables.launches(row).kernel_sums(gpu, row.batch, precision, layout) for row in rows]
        if summed is None or any(s is None for s in sums):
            continue
        us, batch = np.array([row.latency_us for row in rows]), np.array([row.batch for row in rows])
        nearest = models.find(gpu, runtime, precision, layout).model.network_us(
            np.array([tables.sums(r) for r in rows])
        )
        ways = {"nearest networks": nearest, "kernel sums": summed.model.network_us(np.array(sums))}
        for way, predicted in ways.items():
            residual.append(np.log(us / predicted))
            group += [f"{device}/{b}" for b in batch]
            scores[f"unlike/{device}/{precision}, {way}"] = score(residual[-1], us, None)
    r, names = np.concatenate(residual), np.array(group)
    errors = errors_of(np.concatenate([r, -r]), np.concatenate([names, names]))
    return replace(errors, coverage=left_out_coverage(r, names, symmetric=True)), scores


def layout_errors(tables: Tables, models: NetworkModels) -> tuple[Errors, dict[str, dict[str, float]]]:
    """Errors of one layout's rows by the other layout's model of the same device and runtime, by device and family."""
    residual, group, measured = [], [], []
    for (key, _), rows in tables.sets.items():
        rest, _, layout = key.rpartition("/")
        other = f"{rest}/{'nhwc' if layout == 'nchw' else 'nchw'}"
        if key in models.models and other in models.models:
            predicted = models.models[other].network_us(np.array([tables.sums(row) for row in rows]))
            residual.append(np.log(np.array([row.latency_us for row in rows]) / predicted))
            measured.append(np.array([row.latency_us for row in rows]))
            group += [f"{rest}/{row.family}" for row in rows]
    r, us, names = np.concatenate(residual), np.concatenate(measured), np.array(group)
    errors = errors_of(np.concatenate([r, -r]), np.concatenate([names, names]))
    errors = replace(errors, coverage=left_out_coverage(r, names, symmetric=True))
    return errors, {"transfer/layout": score(r, us, errors)}


def about(folder: Path) -> dict[str, Any]:
    """Provenance."""
    hashes = {name: sha256((folder / "latency" / f"{name}.parquet").read_bytes()).hexdigest() for name in _TABLES}
    return {
        "made_by": "python -m hwsim.latency.networks.fit_all FOLDER",
        "tables": "third-party measurements; origin, commit and licence of each: latency/SOURCES.md of the data "
        "folder; and data/h200_networks.csv, measured by hwsim profile",
        "sha256": hashes,
        "families": f"files of timm with {LEAST_FAMILY} models or more are left out one at a time",
    }


def main(folder: Path) -> None:
    """Fit and write."""
    made = fit_all(Tables(folder), lambda text: sys.stderr.write(text + "\n"))
    write(
        PATH,
        {name: getattr(made, name) for name in ("models", "transfer", "sums", "scores")} | {"about": about(folder)},
    )


if __name__ == "__main__":
    run("hwsim.latency.networks.fit_all", main)
