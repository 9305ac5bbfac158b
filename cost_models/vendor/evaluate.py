"""How well vendors' HLS reports and refusals are predicted, held out by layer shape.

    HWSIM_SHARED=FOLDER python -m hwsim.cost_models.vendor.evaluate [--write]

prints both tables; `--write` renews the coefficients that ship.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.vendor.dense_model import COVERAGE, OFFSET, fit_dense, held_out_predictions
from hwsim.cost_models.vendor.dense_model import FILE as DENSE_FILE
from hwsim.cost_models.vendor.dense_rows import RESOURCES, DenseDesigns, dense_reports
from hwsim.cost_models.vendor.dense_structure import REGIMES, regime
from hwsim.cost_models.vendor.legality import FILE as LEGALITY_FILE
from hwsim.cost_models.vendor.legality import (
    REFUSED_PRODUCTS,
    area_under_curve,
    fit_legality,
    held_out_refusal,
    legality_rows,
    unrolled_products,
)
from hwsim.stats import ConformalBand, coverage, scores_of
from hwsim.stats.conformal import group_folds

Floats = NDArray[np.float64]


def error_table(designs: DenseDesigns, reports: Mapping[str, Floats]) -> str:
    """Errors held out by layer shape, |predicted - reported| / (reported + offset), and coverage, by regime."""
    predicted = held_out_predictions(designs, reports)
    covered = nested_intervals(designs, reports, predicted)
    strata = regime(designs)
    resource_strategy = ~designs.latency
    selections = {"all": np.ones(len(designs), dtype=bool), "resource strategy": resource_strategy}
    selections |= {name: strata == name for name in REGIMES}
    lines = [
        f"{'rows':18s} {'n':>4s} {'resource':>8s} {'median':>7s} {'p90':>7s} {'worst':>7s} {'cover':>6s} {'width':>6s}"
    ]
    for name, rows in selections.items():
        for resource in RESOURCES:
            truth, offset = reports[resource][rows], OFFSET[resource]
            error = np.abs(predicted[resource][rows] - truth) / (truth + offset)
            low, high = covered[resource]
            held = coverage(truth + offset, low[rows], high[rows])
            lines.append(
                f"{name:18s} {rows.sum():4d} {resource:>8s} {100 * np.median(error):6.2f}% "
                f"{100 * np.quantile(error, 0.9):6.2f}% {100 * error.max():6.1f}% "
                f"{held.share:6.3f} {held.median_width:6.3f}"
            )
    return "\n".join(lines)


def nested_intervals(
    designs: DenseDesigns, reports: Mapping[str, Floats], predicted: Mapping[str, Floats]
) -> dict[str, tuple[Floats, Floats]]:
    """Intervals (offset included) of each row, calibrated on the held-out scores of the other shapes."""
    strata, folds = regime(designs), group_folds(designs.shapes)
    found = {}
    for resource in RESOURCES:
        offset = OFFSET[resource]
        centre = np.maximum(predicted[resource] + offset, 1e-9)
        scores = scores_of(reports[resource] + offset, centre)
        low, high = np.empty(len(designs)), np.empty(len(designs))
        for out in folds:
            band = ConformalBand.fit(scores[~out], COVERAGE, strata=strata[~out])
            least, most = band.interval(centre[out], strata=strata[out])
            low[out], high[out] = np.minimum(least, centre[out]), np.maximum(most, centre[out])
        found[resource] = low, high
    return found


def refusal_table(designs: DenseDesigns, failed: NDArray[np.bool_]) -> str:
    """Ranking, errors and calibration held out by layer shape, by strategy; beside them the rule alone."""
    probability = held_out_refusal(designs, failed)
    rule = unrolled_products(designs) >= REFUSED_PRODUCTS
    lines = [f"{'rows':22s} {'n':>5s} {'failed':>7s} {'AUC':>6s} {'Brier':>7s} {'wrong':>6s} {'rule wrong':>10s}"]
    selections = {
        "all": np.ones(len(designs), dtype=bool),
        "resource": ~designs.latency,
        "resource, reuse > 1": ~designs.latency & (designs.reuse > 1),
        "latency": designs.latency,
    }
    for name, rows in selections.items():
        p, f = probability[rows], failed[rows]
        lines.append(
            f"{name:22s} {rows.sum():5d} {f.mean():7.3f} {area_under_curve(f, p):6.3f} {np.mean((p - f) ** 2):7.4f} "
            f"{np.sum((p > 0.5) != f):6d} {np.sum(rule[rows] != f):10d}"
        )
    lines.append("calibration: mean probability and share failed, by probability")
    for low, high in ((0, 0.02), (0.02, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.001)):
        rows = (probability >= low) & (probability < high)
        if rows.any():
            lines.append(
                f"  [{low}, {high}) n {rows.sum():5d}  {probability[rows].mean():.3f} {failed[rows].mean():.3f}"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="vendors' HLS reports and refusals, held out by layer shape")
    parser.add_argument("--write", action="store_true", help="renew the coefficients that ship")
    options = parser.parse_args()
    designs, reports = dense_reports()
    print(error_table(designs, reports))
    asked, failed = legality_rows()
    print(refusal_table(asked, failed))
    if options.write:
        for file, model in ((DENSE_FILE, fit_dense(designs, reports)), (LEGALITY_FILE, fit_legality(asked, failed))):
            file.write_text(json.dumps(model.as_dict(), indent=1) + "\n")


if __name__ == "__main__":
    main()
