"""What ten measured networks teach of a device that no model knows: `python -m hwsim.latency.ten_points FOLDER`.

Every device of `DEVICES` is left out with all its networks; ten of them are drawn, twenty times, models are calibrated
to them as `hwsim calibrate gpu` does, and the others are predicted before and after. Single kernels of the V100, T4
and H200 were measured and stay known.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.errors import shared_chip
from hwsim.latency.measured.command import run
from hwsim.latency.measured.network_rows import NetworkRow
from hwsim.latency.networks.calibrate_classes import Drawn, Rows
from hwsim.latency.networks.fit_all import Tables
from hwsim.latency.networks.fit_kernel_sums import fit_kernel_sums
from hwsim.latency.networks.models import Found, NetworkModels, network_models
from hwsim.latency.networks.network_model import NetworkModel

DEVICES = (
    "rtx4090/eager/fp16/nchw", "rtx4090/eager/fp16/nhwc", "rtx3090/eager/fp16/nchw", "RTX5090/eager/fp16/nchw",
    "h200/eager/fp16/nhwc", "h200/eager/fp32/nhwc", "v100/eager/fp16/nchw", "v100/eager/fp32/nchw",
    "t4/eager/fp16/nchw",
)  # fmt: skip
POINTS, SEEDS, MOST = 10, 20, 500
_SEARCH_SPACE = "HELP"  # a stack whose rows are one search space


@dataclass(frozen=True, slots=True)
class TenPoints:
    """Mean relative errors in percent, of one device, runtime, precision and layout, over all draws.

    Attributes
    ----------
    source : the model that serves before anything is measured; `before_pct` its error.
    after_pct : mean over draws; `worst_pct` of the worst draw.
    new_names : whether what is scored shares no name with what was drawn; else it may at another batch.
    """

    key: str
    source: str
    rows: int
    before_pct: float
    after_pct: float
    worst_pct: float
    new_names: bool


def ten_points(tables: Tables, models: NetworkModels, key: str, points: int = POINTS, seeds: int = SEEDS) -> TenPoints:
    """Leave a device out, calibrate to a few of its networks, predict up to 500 others."""
    stack = max(stack for k, stack in tables.sets if k == key and stack != _SEARCH_SPACE)
    measured = tables.sets[key, stack]
    some = [measured[i] for i in np.random.default_rng(0).permutation(len(measured))[: MOST + points]]
    ways = _ways(tables, models, key, some)
    rows = ways[0].rows
    many = len(np.unique(rows.group)) > 2 * points
    before: list[float] = []
    after: list[float] = []
    for seed in range(seeds):
        mine = np.isin(np.arange(len(rows)), np.random.default_rng(seed).choice(len(rows), points, replace=False))
        out = ~np.isin(rows.group, rows.group[mine]) if many else ~mine
        before.append(_error(ways[-1], ways[-1].found.model, out))
        after.append(_error(*_calibrated(ways, mine), out))
    source = ways[-1].found.key
    return TenPoints(key, source, len(rows), float(np.mean(before)), float(np.mean(after)), float(max(after)), many)


@dataclass(frozen=True, slots=True)
class _Way:
    """One start: a model, and the measured rows as it sums them."""

    found: Found
    rows: Rows


def _ways(tables: Tables, models: NetworkModels, key: str, some: Sequence[NetworkRow]) -> list[_Way]:
    """The nearest networks' model, then sums of single kernels, each fitted without the device."""
    device, runtime, precision, layout = key.split("/")
    gpu, chip = tables.gpus[device], shared_chip(device)
    others = {k: m for k, m in models.models.items() if k.partition("/")[0] != chip}
    blind = replace(models, models=others, sums=_sums_without(tables, chip))
    nearest = blind.find(gpu, runtime, precision, layout)
    ways = [_Way(nearest, Rows.of([(tables.sums(row), row.latency_us, row.network) for row in some]))]
    summed = blind.from_kernels(gpu, runtime, precision)
    sums = [tables.launches(row).kernel_sums(gpu, row.batch, precision, layout) for row in some]
    kept = [(s, row.latency_us, row.network) for s, row in zip(sums, some, strict=True) if s is not None]
    if summed and len(kept) == len(some):
        ways.append(_Way(summed, Rows.of(kept)))
    return ways


def _sums_without(tables: Tables, chip: str) -> Mapping[str, NetworkModel]:
    sets = {k: data for k, data in tables.kernel_sets.items() if shared_chip(k[0].partition("/")[0]) != chip}
    return fit_kernel_sums(sets, tables.launch_us)[0]


def _calibrated(ways: Sequence[_Way], mine: NDArray[np.bool_]) -> tuple[_Way, NetworkModel]:
    """The way whose fits say most of drawn networks that they did not see, and its model."""
    losses = []
    for way in ways:
        drawn, rows = Drawn(way.found.model), way.rows[mine]
        losses.append(float(np.abs(np.log(rows.latency_us / drawn.networks_left_out(rows, drawn.start))).mean()))
    best = ways[int(np.argmin(losses))]
    drawn = Drawn(best.found.model)
    return best, drawn.networks(best.rows[mine], drawn.start)


def _error(way: _Way, model: NetworkModel, out: NDArray[np.bool_]) -> float:
    return 100 * float(np.mean(np.abs(model.network_us(way.rows.sums[out]) / way.rows.latency_us[out] - 1)))


def main(folder: Path) -> None:
    """Print a line a device."""
    tables = Tables(folder)
    for key in DEVICES:
        found = ten_points(tables, network_models(), key)
        note = "" if found.new_names else " (the same networks at other batches among what is scored)"
        sys.stdout.write(
            f"{key} from {found.source}, {found.rows} rows: {found.before_pct:.1f} % before, {found.after_pct:.1f} % "
            f"after {POINTS} networks, worst of {SEEDS} draws {found.worst_pct:.1f} %{note}\n"
        )


if __name__ == "__main__":
    run("hwsim.latency.ten_points", main)
