"""LUT, FF, DSP and BRAM18 that a vendor's HLS tool reports for a dense layer of hls4ml, with intervals.

Linear laws over the features of `dense_structure`, fitted for least absolute relative errors; counts that follow from
the structure alone (block RAM, DSPs with reuse) have no coefficients. Intervals are conformal, by regime, on layer
shapes left out. `evaluate` prints the errors and renews the coefficients that ship. The rules of the structure were
read off the same reports, so that errors held out by shape are those of the coefficients, not of the rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.cost_models.surface.linear import least_absolute_fit
from hwsim.cost_models.vendor.dense_rows import RESOURCES, DenseDesigns
from hwsim.cost_models.vendor.dense_structure import (
    LAWS,
    REGIMES,
    dsp_count,
    is_pipelined,
    law,
    least_ff,
    regime,
    weight_bram18,
)
from hwsim.stats import ConformalBand, scores_of
from hwsim.stats.conformal import group_folds

FILE = Path(__file__).parent.parent / "data" / "vendor_dense.json"
COVERAGE = 0.9
OFFSET = {"lut": 0.0, "ff": 0.0, "dsp": 1.0, "bram18": 1.0}  # added to both sides of a ratio where counts may be 0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DensePrediction:
    """One resource of each design.

    Attributes
    ----------
    mid, low, high : counts.
    out_of_domain : designs outside the ranges that the reports cover, for which the interval is not valid.
    """

    mid: Floats
    low: Floats
    high: Floats
    out_of_domain: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DenseModel:
    """Coefficients by regime and resource.

    Attributes
    ----------
    coefficients : of each feature, by `regime resource`.
    bands : conformal ends by resource, stratum = regime.
    ranges : (least, most) of d_in, d_out, bits and multipliers in the reports, by regime.
    """

    coefficients: Mapping[str, Mapping[str, float]]
    bands: Mapping[str, ConformalBand]
    ranges: Mapping[str, Mapping[str, tuple[float, float]]]

    def predict(self, designs: DenseDesigns) -> dict[str, DensePrediction]:
        """All four resources."""
        outside = self._out_of_domain(designs)
        strata = regime(designs)
        found = {}
        for resource, mid in _mids(self.coefficients, designs).items():
            low, high = self.bands[resource].interval(mid + OFFSET[resource], strata=strata)
            low = np.clip(low - OFFSET[resource], 0.0, mid)
            found[resource] = DensePrediction(mid, low, np.maximum(high - OFFSET[resource], mid), outside)
        return found

    def _out_of_domain(self, designs: DenseDesigns) -> NDArray[np.bool_]:
        outside = np.zeros(len(designs), dtype=bool)
        strata = regime(designs)
        for name, limits in self.ranges.items():
            rows = strata == name
            for column, (least, most) in limits.items():
                values = getattr(designs, column)
                outside |= rows & ((values < least) | (values > most))
        return outside | ~np.isin(strata, list(self.ranges))

    def as_dict(self) -> dict[str, Any]:
        return {
            "what": "HLS reports of hls4ml dense layers (hwsim.cost_models.vendor.dense_model)",
            "source": "github.com/Dendendelen/wa-hls4ml-search 8e70542, Apache-2.0; 5 ns clock, a device like U250",
            "coefficients": {k: dict(v) for k, v in self.coefficients.items()},
            "bands": {k: v.as_dict() for k, v in self.bands.items()},
            "ranges": {k: {c: list(r) for c, r in v.items()} for k, v in self.ranges.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DenseModel:
        ranges = {k: {c: (float(r[0]), float(r[1])) for c, r in v.items()} for k, v in data["ranges"].items()}
        return cls(data["coefficients"], {k: ConformalBand.from_dict(v) for k, v in data["bands"].items()}, ranges)


@cache
def dense_model() -> DenseModel:
    """The model that ships."""
    if not FILE.is_file():
        raise InputError("no coefficients", where=str(FILE), hint="python -m hwsim.cost_models.vendor.evaluate --write")
    return DenseModel.from_dict(json.loads(FILE.read_text()))


def fit_dense(designs: DenseDesigns, reports: Mapping[str, Floats]) -> DenseModel:
    """Fit on reports, and calibrate intervals on layer shapes left out in turn."""
    held_out = held_out_predictions(designs, reports)
    strata = regime(designs)
    bands = {}
    for resource, predicted in held_out.items():
        offset = OFFSET[resource]
        scores = scores_of(reports[resource] + offset, np.maximum(predicted + offset, 1e-9))
        bands[resource] = ConformalBand.fit(scores, COVERAGE, strata=strata)
    ranges = {}
    for name in REGIMES:
        rows = designs.take(strata == name)
        if len(rows):
            columns = {"d_in": rows.d_in, "d_out": rows.d_out, "bits": rows.bits, "multipliers": rows.multipliers}
            ranges[name] = {c: (float(v.min()), float(v.max())) for c, v in columns.items()}
    return DenseModel(_coefficients(designs, reports), bands, ranges)


def held_out_predictions(designs: DenseDesigns, reports: Mapping[str, Floats]) -> dict[str, Floats]:
    """Predictions of each row by a fit that saw no row of its layer shape."""
    found = {resource: np.empty(len(designs)) for resource in RESOURCES}
    for out in group_folds(designs.shapes):
        known = {name: values[~out] for name, values in reports.items()}
        mids = _mids(_coefficients(designs.take(~out), known), designs.take(out))
        for resource, values in mids.items():
            found[resource][out] = values
    return found


def _coefficients(designs: DenseDesigns, reports: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
    found = {}
    for name, resource in LAWS:
        rows = _governed(name, resource, designs) & (reports[resource] > 0)
        if rows.any():
            names, features = law(name, resource, designs.take(rows))
            fitted = least_absolute_fit(features, reports[resource][rows])
            found[f"{name} {resource}"] = {n: float(f"{c:.6g}") for n, c in zip(names, fitted, strict=True)}
    return found


def _mids(coefficients: Mapping[str, Mapping[str, float]], designs: DenseDesigns) -> dict[str, Floats]:
    mids = {"lut": np.zeros(len(designs)), "ff": np.zeros(len(designs))}
    mids |= {"dsp": dsp_count(designs), "bram18": weight_bram18(designs)}
    for key, fitted in coefficients.items():
        name, resource = key.split()
        rows = _governed(name, resource, designs)
        if rows.any():
            _, features = law(name, resource, designs.take(rows))
            mids[resource][rows] = np.maximum(features @ np.array(list(fitted.values())), 0.0)
    mids["ff"] = np.maximum(mids["ff"], least_ff(designs))
    return mids


def _governed(name: str, resource: str, designs: DenseDesigns) -> NDArray[np.bool_]:
    """The designs whose count a law gives; DSPs of a pipelined design are its multipliers."""
    here = regime(designs) == name
    return np.asarray(here & ~is_pipelined(designs) if resource == "dsp" else here)
