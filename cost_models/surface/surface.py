"""A count of one family of units as a function of its parameters: a structural law times a smooth correction.

    count = exp(log of the law + Gaussian process), made monotone on the lattice of the family

The law is linear in structural features and fitted for relative errors; the process is fitted to the log ratio of
counts and law. Predictions are read off a table over the lattice, built once in a second or less, so that a million
rows take well under a second. Intervals are conformal: scores of rows left out, over the standard deviation that the
process states, with ends of their own for points near data, far from them, and beyond them: with a parameter smaller
or larger than in all data. What lies beyond, or farther than any point that calibration saw, is out of domain. A law
that misses no count is taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.cost_models.surface.family import Axis, Columns, Counted, Family
from hwsim.cost_models.surface.gaussian_process import GaussianProcess, Hyperparameters
from hwsim.cost_models.surface.lattice import outside, read
from hwsim.cost_models.surface.linear import LinearFit, relative_fit
from hwsim.cost_models.surface.monotone import monotone_by_trust
from hwsim.stats import ConformalBand

Floats = NDArray[np.float64]
NEAR, FAR = "near", "far"
_LEAST_LOG = -60.0
_MOST_LAW_DEVIATION = 1.0  # of a log: a law that says nothing is wrong by a factor of e, no more


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
    names : of the features.
    fit : their coefficients.
    least : no prediction of the law is below it.
    offset : added to counts before ratios are taken; 1 where counts may be 0, else 0.
    """

    names: tuple[str, ...]
    fit: LinearFit
    least: float
    offset: float

    @classmethod
    def of(cls, family: Family, data: Counted, offset: float | None = None) -> Law:
        """Fitted to rows and kin alike; the offset is 1 where a count is 0, unless given."""
        y = np.concatenate([part["count"] for part in (data.rows, data.kin) if "count" in part])
        if offset is None:
            offset = 0.0 if y.min() > 0 else 1.0
        names, _ = family.feature_matrix({axis.name: data.rows[axis.name] for axis in family.axes})
        least = float(data.rows["count"].min() + offset) / 2
        return cls(names, relative_fit(cls.matrix(family, data), y + offset), least, offset)

    @staticmethod
    def matrix(family: Family, data: Counted) -> Floats:
        """Features of rows, and of kin below them."""
        _, features = family.feature_matrix({axis.name: data.rows[axis.name] for axis in family.axes})
        if not data.kin:
            return features
        others = {name: values for name, values in data.kin.items() if name != "count"}
        return np.concatenate([features, family.feature_matrix(others)[1]])

    def values(self, family: Family, columns: Columns) -> Floats:
        """Count plus offset by the law alone."""
        return self.values_and_leverage(family, columns)[0]

    def values_and_leverage(self, family: Family, columns: Columns) -> tuple[Floats, Floats]:
        """Values, and how many times a relative error of the law reaches them through its coefficients."""
        names, features = family.feature_matrix(columns)
        if names != self.names:
            raise InputError("the features are not those of the fit", where=family.name, hint="refit the surface")
        values = np.maximum(features @ self.fit.coefficients, self.least)
        return values, self.fit.leverage(features) / values


@dataclass(frozen=True, slots=True)
class Reach:
    """How far from data predictions go. A distance is what the data leave open, of process and law, over the amplitude.

    Attributes
    ----------
    near : up to it the ends of `near` hold.
    most : the largest that calibration saw.
    past : by side of an axis, how far beyond the last known value of it calibration went, on the axis's scale.
    """

    near: float
    most: float
    past: Mapping[str, float] = field(default_factory=dict)

    def times(self, side: str, distances: Floats) -> Floats:
        """How many times wider ends are so far beyond the data: in proportion past where calibration went."""
        return np.maximum(distances / self.past[side], 1.0) if side in self.past else np.ones(len(distances))


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
    data : the units that it goes through, and their kin.
    """

    family: Family
    resource: str
    law: Law
    process: GaussianProcess | None
    band: ConformalBand
    reach: Reach
    data: Counted

    @property
    def rows(self) -> Columns:
        """Axis columns of the data, and `count`."""
        return self.data.rows

    def predict(self, parameters: Columns) -> Prediction:
        """Counts of units, from columns of their parameters (see `Family.words`), which broadcast."""
        columns = self.family.axis_columns(parameters)
        if self.process is None:
            return self._exact(columns)
        log, scale, distance = read(self._table, self.family.axes, columns)
        off_lattice = outside(self.family.axes, columns)
        if off_lattice.any():
            log = log + np.where(off_lattice, self._growth(columns), 0.0)
        offset = self.law.offset
        mid = np.maximum(np.exp(log) - offset, 0.0)
        strata = np.where(distance > self.reach.near, FAR, NEAR)
        low, high = self.band.interval(mid + offset, scale, strata)
        past = distance > self.reach.most
        for stratum, distances in self._beyond(columns):
            beyond = distances > 0
            wider = scale * self.reach.times(stratum, distances)
            least, most = self.band.interval(mid + offset, wider, np.full(len(mid), stratum))
            low, high = np.where(beyond, np.minimum(low, least), low), np.where(beyond, np.maximum(high, most), high)
            past |= beyond
        mid = np.rint(mid)  # counts are whole numbers, and rounded ends hold every whole number that the ends held
        return Prediction(mid, np.clip(np.rint(low - offset), 0.0, mid), np.maximum(np.rint(high - offset), mid), past)

    def counted(self, parameters: Columns) -> float | None:
        """What synthesis counted of a unit with these parameters; None where the data lack it or do not agree."""
        columns = self.family.axis_columns(parameters)
        return self._counted.get(tuple(float(columns[axis.name][0]) for axis in self.family.axes))

    @cached_property
    def _counted(self) -> dict[tuple[float, ...], float]:
        """Counts by axes, without those that units of equal axes do not share."""
        found: dict[tuple[float, ...], float] = {}
        differs = set()
        columns = [self.rows[axis.name] for axis in self.family.axes]
        for *place, count in zip(*columns, self.rows["count"], strict=True):
            key = tuple(float(v) for v in place)
            if found.setdefault(key, float(count)) != count:
                differs.add(key)
        return {key: count for key, count in found.items() if key not in differs}

    def _exact(self, columns: Columns) -> Prediction:
        """Of a law that misses no count: whole numbers, which need not rise with every parameter."""
        found = np.maximum(np.rint(self.law.values(self.family, columns) - self.law.offset), 0.0)
        past = np.zeros(len(found), dtype=np.bool_)
        for _, distances in self._beyond(columns):
            past |= distances > 0
        return Prediction(found, found, found, past)

    def _beyond(self, columns: Columns) -> list[tuple[str, Floats]]:
        """How far rows lie past the data by side and axis, sides without any left out."""
        found = []
        for axis in self.family.axes:
            known, values = axis.position(self.rows[axis.name]), axis.position(columns[axis.name])
            found += [(below(axis), known.min() - values), (above(axis), values - known.max())]
        return [(stratum, distances) for stratum, distances in found if (distances > 0).any()]

    def raw(self, columns: Columns) -> tuple[Floats, Floats, Floats]:
        """Log of count plus offset before projection, its standard deviation, and the distance from the data."""
        law, leverage = self.law.values_and_leverage(self.family, columns)
        if self.process is None:
            return np.log(law), np.ones(len(law)), np.zeros(len(law))
        mean, deviation, open_share = self.process.predict(self.family.positions(columns), law)
        amplitude = self.process.hyperparameters.amplitude
        of_law = np.minimum(amplitude * leverage, _MOST_LAW_DEVIATION)
        return np.log(law) + mean, np.hypot(deviation, of_law), np.hypot(open_share, of_law / amplitude)

    @cached_property
    def _table(self) -> tuple[Floats, Floats, Floats]:
        """Log count, standard deviation and distance at the lattice points."""
        log, scale, distance = (v.reshape(self.family.shape) for v in self.raw(self.family.lattice()))
        rising = [i for i, axis in enumerate(self.family.axes) if axis.rising]
        steps = (self.reach.near / 2, self.reach.near, self.reach.most, 2 * self.reach.most)
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
            "coefficients": dict(zip(self.law.names, _digits(self.law.fit.coefficients, 8), strict=True)),
            "offset": self.law.offset,
            "hyperparameters": None if self.process is None else self.process.hyperparameters.as_list(),
            "band": self.band.as_dict(),
            "reach": _digits((self.reach.near, self.reach.most), 5),
            "past": dict(zip(self.reach.past, _digits(self.reach.past.values(), 5), strict=True)),
            "rows": _short_columns(self.data.rows),
            "kin": _short_columns(self.data.kin),
        }

    @classmethod
    def from_dict(cls, family: Family, data: Mapping[str, Any]) -> Surface:
        """What `as_dict` wrote, with the family of that name."""
        if data["family"] != family.name:
            raise InputError(f"a surface of {data['family']}", where=family.name, hint="take the family of that name")
        known = Counted(*(_columns(data[part]) for part in ("rows", "kin")))
        law = Law.of(family, known, float(data["offset"]))
        if tuple(data["coefficients"]) != law.names:
            raise InputError("the features are not those of the fit", where=family.name, hint="refit the surface")
        law = replace(law, fit=replace(law.fit, coefficients=np.array(list(data["coefficients"].values()))))
        process = None
        if data["hyperparameters"] is not None:
            process = process_of(family, law, Hyperparameters.from_list(data["hyperparameters"]), known.rows)
        near, most = (float(v) for v in data["reach"])
        reach = Reach(near, most, {side: float(v) for side, v in data["past"].items()})
        return cls(family, data["resource"], law, process, ConformalBand.from_dict(data["band"]), reach, known)


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


def _digits(values: Iterable[float], digits: int) -> list[float]:
    return [float(f"{v:.{digits}g}") for v in values]


def _columns(lists: Mapping[str, list[float]]) -> Columns:
    return {name: np.asarray(values, dtype=np.float64) for name, values in lists.items()}


def _short_columns(columns: Columns) -> dict[str, list[float | int]]:
    return {name: [_short(v) for v in values] for name, values in columns.items()}


def _short(value: float) -> float | int:
    return int(value) if float(value).is_integer() else float(value)
