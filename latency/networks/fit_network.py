"""Fits a network model, and finds its errors on networks and on families that a fit did not see.

Errors on unseen networks come from five fits that each leave out a fifth of the models (variants of a model and its
sizes stay together), errors on unseen families from one fit a family. Both together make the spread, which reads how
unlike the measured networks one is; families are split into those that make its base laws, those that mix them and
those that calibrate it. Where few networks were measured there are no trees, and the errors are those of left-out
families, widened for their number (conformal.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.conformal import errors_of, left_out_coverage, median_of
from hwsim.latency.errors import Errors
from hwsim.latency.learned.fit_expert import spread_of
from hwsim.latency.learned.spread import HIGH, LOW, Spread
from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.fit_classes import Prior, fit_classes, row_weights, told_by
from hwsim.latency.networks.lateness import Lateness, fit_lateness
from hwsim.latency.networks.likeness import Likeness, description
from hwsim.latency.networks.network_model import LABEL, NetworkModel, correction, with_distance
from hwsim.latency.networks.work_classes import LAUNCHES, TERMS
from hwsim.latency.simulator.table import Array
from hwsim.stats.oblivious_boosting import ObliviousBoosting, ObliviousTrees

MANY = 300  # networks from which trees are fitted
LEAST_FAMILY = 8  # networks of a family that is left out by itself to be scored
_TREES = ObliviousBoosting(trees=300, depth=4, rate=0.1)
_LEAST_CUT = 1e-3  # of residuals that trees are fitted to
_FOLDS = 5
_MANY_FAMILIES = 20  # from which families, not models, are split among the roles


@dataclass(frozen=True, slots=True)
class NetworkSet:
    """Measured networks of one device, runtime, precision, layout and stack.

    Attributes
    ----------
    sums : (networks, `TERMS`).
    family, model : what is left out together; `macs` an image.
    """

    sums: Array
    latency_us: Array
    family: NDArray[np.str_]
    model: NDArray[np.str_]
    batch: Array
    macs: Array

    def __getitem__(self, rows: NDArray[np.bool_]) -> NetworkSet:
        return NetworkSet(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Networks that a fit did not see: predicted time, description and distance by that fit; `rows` says which.

    `coverage` is the share that 90 % intervals held which saw none of their family, where trees were fitted.
    """

    rows: NDArray[np.int64]
    predicted_us: Array
    described: Array
    distance: Array
    coverage: float = float("nan")


def fit_network(data: NetworkSet, prior: Prior, stack: str, fused: bool) -> tuple[NetworkModel, dict[str, LeftOut]]:
    """The model fitted on all networks, and what fits without some of them said of those: `models` and `families`."""
    classes, trees, likeness = _fit(data, prior)
    if len(data.latency_us) < MANY:
        left = {"families": _families(data, prior, 1)}
        residual = np.log(data.latency_us[left["families"].rows] / left["families"].predicted_us)
        family = data.family[left["families"].rows]
        errors = errors_of(residual - median_of(residual, family), family, left_out_coverage(residual, family))
        spread: Spread | Errors = errors
        coverage, lateness = errors.coverage, None
    else:
        left = {"models": models_left_out(data, prior), "families": _families(data, prior, LEAST_FAMILY)}
        spread, held, lateness = _spread(data, left)
        coverage = float(held.mean())
        ends = np.cumsum([len(part.rows) for part in left.values()])[:-1]
        left = {
            name: replace(part, coverage=float(own.mean()) if len(own) else float("nan"))
            for (name, part), own in zip(left.items(), np.split(held, ends), strict=True)
        }
    families = len(set(data.family.tolist()))
    launches = data.sums[:, TERMS.index(LAUNCHES)]
    ranges = {"macs": _span(data.macs), "batch": _span(data.batch), "launches": _span(launches)}
    seen = tuple(np.array(TERMS)[told_by(data.sums, classes.factors)].tolist())
    model = NetworkModel(
        stack, classes, trees, likeness, spread, ranges, families, len(data.latency_us), seen, lateness, fused, coverage
    )
    return model, left


def _fit(data: NetworkSet, prior: Prior) -> tuple[ClassModel, ObliviousTrees | None, Likeness | None]:
    classes = fit_classes(data.sums, data.latency_us, prior, row_weights(data.family))
    if len(data.latency_us) < MANY:
        return scaled(classes, data.latency_us / classes.network_us(data.sums)), None, None
    described = description(classes, data.sums)
    likeness = Likeness.of(described)
    residual = np.log(data.latency_us / classes.network_us(data.sums))
    trees = fit_trees(described, residual)
    fitted = residual - correction(trees, described, likeness.distance(described))
    return scaled(classes, np.exp(fitted)), trees, likeness


def fit_trees(described: Array, residual: Array) -> ObliviousTrees:
    """Trees of log residuals, which are cut at their own median size: nearly least absolute error.

    A host that stalls makes a launch-bound network take up to a fifth longer and hardly ever shorter. Means would
    follow such runs, and a wider cut would let the noise of small batches outweigh the large ones of the same set.
    """
    size = float(np.median(np.abs(residual - np.median(residual))))
    return replace(_TREES, clip=max(size, _LEAST_CUT)).fit(described, residual)


def scaled(classes: ClassModel, ratio: Array) -> ClassModel:
    """Factors times the one number that makes the mean of |predicted / measured - 1| least.

    That number is the median of measured over predicted, each weighed with predicted over measured.
    """
    order = np.argsort(ratio)
    weight = np.cumsum(1 / ratio[order])
    best = float(ratio[order][np.searchsorted(weight, weight[-1] / 2)])
    return replace(classes, factors=classes.factors * best, host_us=classes.host_us * best)


def models_left_out(data: NetworkSet, prior: Prior) -> LeftOut:
    """Every model predicted by a fit that saw neither it nor its variants."""
    fold = np.array([crc32(name.encode()) % _FOLDS for name in data.model])
    return _joined([_left_out(data, fold == k, prior) for k in range(_FOLDS)])


def _families(data: NetworkSet, prior: Prior, least: int) -> LeftOut:
    names, counts = np.unique(data.family, return_counts=True)
    chosen = names[(counts >= least) & (counts < len(data.family))]
    return _joined([_left_out(data, data.family == name, prior) for name in chosen])


def _left_out(data: NetworkSet, out: NDArray[np.bool_], prior: Prior) -> LeftOut:
    classes, trees, likeness = _fit(data[~out], prior)
    sums = data.sums[out]
    predicted = classes.network_us(sums)
    described = description(classes, sums)
    distance = np.ones(len(sums))
    if trees is not None and likeness is not None:
        distance = likeness.distance(described)
        predicted = predicted * np.exp(correction(trees, described, distance))
    return LeftOut(np.flatnonzero(out), predicted, described, distance)


def _joined(parts: Sequence[LeftOut]) -> LeftOut:
    if not parts:
        none = np.zeros(0)
        return LeftOut(none.astype(np.int64), none, np.zeros((0, len(TERMS) + 3)), none)
    return LeftOut(
        np.concatenate([part.rows for part in parts]), np.concatenate([part.predicted_us for part in parts]),
        np.concatenate([part.described for part in parts]), np.concatenate([part.distance for part in parts]),
    )  # fmt: skip


def _spread(data: NetworkSet, left: dict[str, LeftOut]) -> tuple[Spread, NDArray[np.bool_], Lateness | None]:
    """Quantiles of both kinds of left-out residual; and which of them spreads held that did not see a family."""
    both = _joined(list(left.values()))
    residual = np.log(data.latency_us[both.rows] / both.predicted_us)
    x = with_distance(both.described, both.distance)
    many = len(set(data.family.tolist())) >= _MANY_FAMILIES
    together = (data.family if many else data.model)[both.rows]
    fold = np.array([crc32(name.encode()) % 8 for name in together])
    label = np.full(len(x), LABEL)
    spread = spread_of(x, residual, label, fold)
    held = np.zeros(len(x), dtype=bool)
    for turn in range(4):  # families take turns in each role; those of the last two folds are what is scored
        turned = (fold + 2 * turn) % 8
        scored = turned >= 6
        shifted = np.where(turned == 5, 7, np.where(scored, -1, turned))
        trial = spread_of(x[~scored], residual[~scored], label[~scored], _three_roles(shifted[~scored]))
        quantiles = trial.quantiles(x[scored], LABEL, np.zeros(int(scored.sum())))
        held[scored] = (residual[scored] >= quantiles[:, LOW]) & (residual[scored] <= quantiles[:, HIGH])
    return spread, held, fit_lateness(x, residual)


def _three_roles(fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """Folds 0 to 3 make laws, 4 mixes, 7 calibrates: as roles 0 to 4, 5 and 6 to 7 of a spread."""
    return np.where(fold == 4, 5, np.where(fold == 7, 7, fold))


def _span(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())
