"""Ends of a surface's intervals, from the errors of surfaces that lack some of its rows.

Three questions, three ways of leaving out. Near: how wrong between rows of the data? Rows left out at random. Far: how
wrong in a gap? All rows of one value of an axis left out, and those at random that had no near neighbours. Below and
above, axis by axis: how wrong past the last value? All rows from a value on left out, a few of the largest or smallest
values at a time; hyperparameters are then sought anew, since they are what the missing rows would have taught. How far
past the others those values lie is kept: farther out, ends widen in proportion. Scores are log ratios over the stated
standard deviation.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.surface.family import Axis, Counted, Family
from hwsim.cost_models.surface.gaussian_process import Hyperparameters, fit_hyperparameters
from hwsim.cost_models.surface.surface import FAR, NEAR, Law, Reach, Surface, above, below, process_of
from hwsim.stats import ConformalBand, conformal_quantile

Floats = NDArray[np.float64]
Rows = Mapping[str, Floats]
Mask = NDArray[np.bool_]
SEARCH_ROWS, AGAIN_ROWS = 160, 100  # rows on which hyperparameters are sought at first and anew
_FOLDS = 10
_NEAR_SHARE = 0.8  # of rows left out at random that count as near
_MOST_OUT = 0.5  # share of rows that may be left out together
_CUTS = (0.0, 0.1, 0.3)  # shares of rows left out at an end of an axis; one value at least
_AGAIN_STEPS = 10


@dataclass(frozen=True, slots=True)
class _Scores:
    stratum: str
    score: Floats
    distance: Floats

    def where(self, mask: Mask, stratum: str) -> _Scores:
        return _Scores(stratum, self.score[mask], self.distance[mask])


def folds_of(keys: Sequence[Hashable], count: int, seed: int) -> NDArray[np.intp]:
    """A fold of each row at random, 0 up to the count; rows of equal keys together."""
    place = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    fold = np.random.default_rng(seed).permutation(len(place)) % min(count, len(place))
    return np.asarray(fold[[place[key] for key in keys]])


def search(family: Family, law: Law, rows: Rows, start: Hyperparameters | None = None) -> Hyperparameters:
    """Hyperparameters of log ratios of counts and law; from a start only a few steps are taken."""
    columns = {axis.name: rows[axis.name] for axis in family.axes}
    base = law.values(family, columns)
    ratio = np.log((rows["count"] + law.offset) / base)
    rows_used, steps = (SEARCH_ROWS, 0) if start is None else (AGAIN_ROWS, _AGAIN_STEPS)
    picked = np.random.default_rng(0).permutation(len(base))[:rows_used]
    return fit_hyperparameters(family.positions(columns)[picked], ratio[picked], base[picked], start, steps)


def calibrate(
    family: Family, data: Counted, law: Law, h: Hyperparameters, coverage: float
) -> tuple[ConformalBand, Reach]:
    """Ends by stratum, and the distances up to which they hold."""
    fold = folds_of(family.keys(data.rows), _FOLDS, 1)
    kin = np.zeros(len(data.kin.get("count", ())), dtype=np.bool_)
    folds = [(fold == k, kin) for k in range(int(fold.max()) + 1)]
    random = [_scores(family, data, law.offset, h, NEAR, out) for out in folds]
    near = float(np.quantile(np.concatenate([r.distance for r in random]), _NEAR_SHARE))
    found = [part for r in random for part in (r.where(r.distance <= near, NEAR), r.where(r.distance > near, FAR))]
    past: dict[str, float] = {}
    for axis in family.axes:
        values, twins = data.rows[axis.name], family.with_twin(axis.name)
        for value in _gaps(values):
            scores = _scores(family, data, law.offset, h, FAR, data.between(twins, value, value))
            found.append(scores.where(scores.distance > near, FAR))
        for stratum, low, high in _ends(axis, values):
            out = data.between(twins, max(low, axis.nodes[0]), high)
            if out[0].mean() > _MOST_OUT:
                continue
            found.append(_scores(family, data, law.offset, h, stratum, out, anew=True))
            gone, kept = (axis.position(part) for part in (values[out[0]], values[~out[0]]))
            distance = max(float(gone.max() - kept.max()), float(kept.min() - gone.min()))
            past[stratum] = max(past.get(stratum, 0.0), distance)
    most = max(float(f.distance.max(initial=0.0)) for f in found)
    return _band(found, coverage), Reach(near, most, past)


def _band(found: list[_Scores], coverage: float) -> ConformalBand:
    """Ends by stratum. A stratum with too few scores for a rank has those of all sides together, or the worst score."""
    strata = np.repeat([f.stratum for f in found], [len(f.score) for f in found])
    scores = np.concatenate([f.score for f in found])
    band = ConformalBand.fit(scores, coverage, strata=strata, symmetric=True)
    sides = np.abs(scores[(strata != NEAR) & (strata != FAR)])
    wide = conformal_quantile(sides, coverage)
    if not np.isfinite(wide):
        wide = float(np.abs(scores).max())
    ends = {name: (low, high) if np.isfinite(high) else (-wide, wide) for name, (low, high) in band.ends.items()}
    return ConformalBand(ends, band.residual, coverage)


def _scores(
    family: Family,
    data: Counted,
    offset: float,
    h: Hyperparameters,
    stratum: str,
    out: tuple[Mask, Mask],
    anew: bool = False,
) -> _Scores:
    """Of the rows left out, by a surface of the others; `out` masks rows and kin."""
    known = data.take(~out[0], ~out[1])
    law = Law.of(family, known, offset)
    if anew:
        h = search(family, law, known.rows, h)
    held = Surface(family, "", law, process_of(family, law, h, known.rows), _NO_BAND, Reach(1, 1), known)
    tested = data.take(out[0]).rows
    log, scale, distance = held.raw({axis.name: tested[axis.name] for axis in family.axes})
    return _Scores(stratum, (np.log(tested["count"] + offset) - log) / scale, distance)


def _gaps(values: Floats) -> Iterator[float]:
    """Values that are neither the smallest nor the largest, nor those of more than half the rows."""
    for value in np.unique(values)[1:-1]:
        if (values == value).mean() <= _MOST_OUT:
            yield float(value)


def _ends(axis: Axis, values: Floats) -> Iterator[tuple[str, float, float]]:
    """Ranges of values at either end, for a few choices of how many rows; none with less than three values."""
    if len(np.unique(values)) < 3:
        return
    for stratum, sign in ((above(axis), 1.0), (below(axis), -1.0)):
        seen = set()
        for share in _CUTS:
            least = float(np.quantile(sign * values, 1 - share))
            out = sign * values >= least
            if out.mean() <= _MOST_OUT and int(out.sum()) not in seen:
                seen.add(int(out.sum()))
                yield (stratum, least, np.inf) if sign > 0 else (stratum, -np.inf, -least)


def strata_of(axes: tuple[Axis, ...]) -> tuple[str, ...]:
    """All names of strata."""
    return (NEAR, FAR, *(side(axis) for axis in axes for side in (below, above)))


_NO_BAND = ConformalBand({"": (0.0, 0.0)}, "log", 0.9)
