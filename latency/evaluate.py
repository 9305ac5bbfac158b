"""Recomputes the errors that the calibration file states: `python -m hwsim.latency.evaluate [FOLDER]`.

Without FOLDER the environment variable HWSIM_SHARED names the data folder. Single kernels are scored with the shipped
numbers on the test folds; networks are fitted anew without each family in turn.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hwsim.core.errors import HwsimError, InputError
from hwsim.latency.calibration import load
from hwsim.latency.fit import NETWORKS, network_scores, transfer_errors
from hwsim.latency.fit_kernels import score_class
from hwsim.latency.measured import data_folder, kernel_rows, network_rows

COLUMNS = ("rows", "mape_pct", "within10_pct", "within20_pct", "spearman", "coverage_pct", "half_width_pct")


def evaluate(folder: Path) -> dict[str, dict[str, float]]:
    """Errors on held-out measurements by `device/runtime/precision[/class]` and `transfer/device/runtime`.

    Families of networks weigh the same in means and shares. Each entry has `rows`, `mape_pct`, `within10_pct`,
    `within20_pct`, `spearman`, `coverage_pct` of the 90 % interval and its `half_width_pct`.
    """
    calibration = load()
    scores = {}
    for rows in kernel_rows(folder):
        key = f"{rows.key}/{rows.kind}"
        scores[key] = score_class(rows, calibration.kernels[key])
    measured = network_rows(folder)
    for key in NETWORKS:
        scores[key] = network_scores(key, measured, calibration.kernels, folder)[1]
    return scores | transfer_errors(measured, calibration, folder)[1]


def table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """The scores as text, a row a key."""
    lines = [f"{'':34s}" + "".join(f"{name:>16s}" for name in COLUMNS)]
    for key, figures in scores.items():
        lines.append(f"{key:34s}" + "".join(f"{figures[name]:16.2f}" for name in COLUMNS))
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    folder = arguments[0] if arguments else os.environ.get("HWSIM_SHARED", "")
    if not folder:
        raise InputError("no data folder", where="hwsim.latency.evaluate", hint="an argument, or HWSIM_SHARED")
    sys.stdout.write(table(evaluate(data_folder(Path(folder)))) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HwsimError as failure:
        sys.stderr.write(f"{failure}\n")
        sys.exit(failure.exit_code)
