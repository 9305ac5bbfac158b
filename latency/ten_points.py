"""What ten measured networks teach of a device that no model knows: `python -m hwsim.latency.ten_points FOLDER`.

Every device of `DEVICES` is left out with all its models; ten of its measured networks are drawn, twenty times, the
nearest model is calibrated to them, and the others are predicted before and after.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hwsim.latency.errors import shared_chip
from hwsim.latency.measured.command import run
from hwsim.latency.networks.calibrate_classes import Drawn, Rows
from hwsim.latency.networks.fit_all import Tables
from hwsim.latency.networks.models import NetworkModels, network_models

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
    device, runtime, precision, layout = key.split("/")
    stack = max(stack for k, stack in tables.sets if k == key and stack != _SEARCH_SPACE)
    measured = tables.sets[key, stack]
    chosen = np.random.default_rng(0).permutation(len(measured))[: MOST + points]
    rows = Rows.of([(tables.sums(measured[i]), measured[i].latency_us, measured[i].network) for i in chosen])
    others = {k: m for k, m in models.models.items() if k.partition("/")[0] != shared_chip(device)}
    found = replace(models, models=others).find(tables.gpus[device], runtime, precision, layout)
    drawn = Drawn(found.model)
    many = len(np.unique(rows.group)) > 2 * points
    before: list[float] = []
    after: list[float] = []
    for seed in range(seeds):
        mine = np.isin(np.arange(len(rows)), np.random.default_rng(seed).choice(len(rows), points, replace=False))
        out = ~np.isin(rows.group, rows.group[mine]) if many else ~mine
        fitted = drawn.networks(rows[mine], drawn.start)
        for errors, model in ((before, found.model), (after, fitted)):
            errors.append(100 * float(np.mean(np.abs(model.network_us(rows.sums[out]) / rows.latency_us[out] - 1))))
    return TenPoints(key, found.key, len(rows), float(np.mean(before)), float(np.mean(after)), float(max(after)), many)


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
