"""A count of one family of units as a function of its parameters: a structural law times a smooth correction.

    count = exp(log of the law + Gaussian process), made monotone on the lattice of the family

The law is linear in structural features and fitted for relative errors; the process is fitted to the log ratio of
counts and law. Predictions are read off a table over the lattice, built once in a second or less, so that a million
rows take well under a second. Intervals are conformal: scores of rows left out, over the standard deviation that the
process states, with ends of their own for points near data, far from them, and beyond them: with a parameter smaller
or larger than in all data. What lies beyond, or farther than any point that calibration saw, is out of domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.cost_models.surface.family import Axis, Columns, Family
from hwsim.cost_models.surface.gaussian_process import GaussianProcess, Hyperparameters
from hwsim.cost_models.surface.lattice import outside, read
from hwsim.cost_models.surface.monotone import monotone_by_trust
from hwsim.stats import ConformalBand

Floats = NDArray[np.float64]
NEAR, FAR = "near", "far"
_LEAST_LOG = -60.0


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Of one resource, one entry a row.

    Attributes
    ----------
    mid, low, high : counts; low <= mid <= high, low not negative.
    out_of_domain : with a parameter outside the range of the data, or farther from them than calibration went.
    """

    mid: Floats
    low: Floats
    high: Floats
    out_of_domain: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """The structural law.

    Attributes
    ----------
    coefficients : of the features of the family, by name.
    least : no prediction of the law is below it.
    offset : added to counts before ratios are taken; 1 where counts may be 0, else 0.
    """

    coefficients: Mapping[str, float]
    least: float
    offset: float

    def values(self, family: Family, columns: Columns) -> Floats:
        """Count plus offset by the law alone."""
        names, features = family.feature_matrix(columns)
        if names != tuple(self.coefficients):
            raise InputError("the features are not those of the fit", where=family.name, hint="refit the surface")
        return np.asarray(np.maximum(features @ np.array(list(self.coefficients.values())), self.least))


@dataclass(frozen=True, slots=True)
class Reach:
    """How far from data predictions go. Distances are the share of the process that the data leave open, 0 to 1.

    Attributes
    ----------
    near : up to it the ends of `near` hold.
    most : the largest that calibration saw.
    """

    near: float
    most: float


@dataclass(frozen=True, eq=False)
class Surface:
    """A fitted surface; `fit_surface` makes one.

    Attributes
    ----------
    family, resource : what is counted of which units.
    law : see `Law`.
    process : of log((count + offset) / law), or None where the law is exact.
    band : conformal ends of log(truth / predicted) over the standard deviation, by stratum.
    reach : see `Reach`.
    rows : axis columns of the data, and `count`.
    """

    family: Family
    resource: str
    law: Law
    process: GaussianProcess | None
    band: ConformalBand
    reach: Reach
    rows: Mapping[str, Floats]

    def predict(self, parameters: Columns) -> Prediction:
        """Counts of units, from columns of their parameters (see `Family.words`), which broadcast."""
        columns = self.family.axis_columns(parameters)
        log, scale, distance = read(self._table, self.family.axes, columns)
        off_lattice = outside(self.family.axes, columns)
        if off_lattice.any():
            log = log + np.where(off_lattice, self._growth(columns), 0.0)
        offset = self.law.offset
        mid = np.maximum(np.exp(log) - offset, 0.0)
        strata = np.where(distance > self.reach.near, FAR, NEAR)
        low, high = self.band.interval(mid + offset, scale, strata)
        past = distance > self.reach.most
        for stratum, beyond in self._beyond(columns):
            least, most = self.band.interval(mid + offset, scale, np.full(len(mid), stratum))
            low, high = np.where(beyond, np.minimum(low, least), low), np.where(beyond, np.maximum(high, most), high)
            past |= beyond
        return Prediction(mid, np.clip(low - offset, 0.0, mid), np.maximum(high - offset, mid), past)

    def _beyond(self, columns: Columns) -> list[tuple[str, NDArray[np.bool_]]]:
        """Rows past the data by side and axis, sides without any left out."""
        found = []
        for axis in self.family.axes:
            known, values = self.rows[axis.name], columns[axis.name]
            found += [(below(axis), values < known.min()), (above(axis), values > known.max())]
        return [(stratum, beyond) for stratum, beyond in found if beyond.any()]

    def raw(self, columns: Columns) -> tuple[Floats, Floats, Floats]:
        """Log of count plus offset before projection, its standard deviation, and the distance from the data."""
        law = self.law.values(self.family, columns)
        if self.process is None:
            return np.log(law), np.ones(len(law)), np.zeros(len(law))
        positions = self.family.positions(columns)
        mean, deviation, distance = self.process.predict(positions, law)
        return np.log(law) + mean, deviation, distance

    @cached_property
    def _table(self) -> tuple[Floats, Floats, Floats]:
        """Log count, standard deviation and distance at the lattice points."""
        log, scale, distance = (v.reshape(self.family.shape) for v in self.raw(self.family.lattice()))
        rising = [i for i, axis in enumerate(self.family.axes) if axis.rising]
        steps = (self.reach.near / 2, self.reach.near, self.reach.most)
        return monotone_by_trust(np.maximum(log, _LEAST_LOG), rising, distance, steps), scale, distance

    def _growth(self, columns: Columns) -> Floats:
        """Log growth of the law from the edge of the lattice to points outside."""
        axes = self.family.axes
        edge = {axis.name: np.clip(columns[axis.name], axis.nodes[0], axis.nodes[-1]) for axis in axes}
        return np.log(self.law.values(self.family, columns) / self.law.values(self.family, edge))

    def as_dict(self) -> dict[str, Any]:
        """Everything but the family, which is code, as JSON."""
        return {
            "family": self.family.name,
            "resource": self.resource,
            "coefficients": {name: float(f"{value:.8g}") for name, value in self.law.coefficients.items()},
            "least": self.law.least,
            "offset": self.law.offset,
            "hyperparameters": None if self.process is None else self.process.hyperparameters.as_list(),
            "band": self.band.as_dict(),
            "reach": [float(f"{v:.5g}") for v in (self.reach.near, self.reach.most)],
            "rows": {name: [_short(v) for v in values] for name, values in self.rows.items()},
        }

    @classmethod
    def from_dict(cls, family: Family, data: Mapping[str, Any]) -> Surface:
        """What `as_dict` wrote, with the family of that name."""
        if data["family"] != family.name:
            raise InputError(f"a surface of {data['family']}", where=family.name, hint="take the family of that name")
        law = Law(data["coefficients"], float(data["least"]), float(data["offset"]))
        rows = {name: np.asarray(values, dtype=np.float64) for name, values in data["rows"].items()}
        process = None
        if data["hyperparameters"] is not None:
            process = process_of(family, law, Hyperparameters.from_list(data["hyperparameters"]), rows)
        reach = Reach(*(float(v) for v in data["reach"]))
        return cls(family, data["resource"], law, process, ConformalBand.from_dict(data["band"]), reach, rows)


def below(axis: Axis) -> str:
    """The stratum of points with a smaller value of an axis than in all data."""
    return f"below {axis.name}"


def above(axis: Axis) -> str:
    """The stratum of points with a larger one."""
    return f"above {axis.name}"


def process_of(family: Family, law: Law, h: Hyperparameters, rows: Mapping[str, Floats]) -> GaussianProcess:
    """The process conditioned on rows."""
    columns = {axis.name: rows[axis.name] for axis in family.axes}
    base = law.values(family, columns)
    return GaussianProcess.condition(h, family.positions(columns), np.log((rows["count"] + law.offset) / base), base)


def _short(value: float) -> float | int:
    return int(value) if float(value).is_integer() else float(value)
