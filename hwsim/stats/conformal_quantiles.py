"""Conformalized quantile regression of many central intervals at once, by groups.

The score of a row and a pair of levels (tau, 1 - tau) is how far its truth lies outside the interval, negative inside;
both ends move out by the ceil((n + 1)(1 - 2 tau))-th smallest of n scores, which may draw them in (Romano, Patterson
and Candes, Conformalized Quantile Regression, NeurIPS 2019, theorem 1). Each group has shifts of its own (Vovk,
Gammerman and Shafer, 2005, section 4.5). Each pair has its guarantee before quantiles are sorted again; sorting mends
what differing shifts have crossed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError
from hwsim.stats.conformal import conformal_quantile
from hwsim.stats.quantile_metrics import Floats, central_pairs, checked_finite, checked_levels

_ALL = ""  # the label of every row where no groups are given, and of the shifts of all rows together


@dataclass(frozen=True, slots=True)
class ConformalQuantiles:
    """Shifts of central intervals, calibrated on rows that neither base models nor weights nor early stops saw.

    Attributes
    ----------
    levels : symmetric around 1/2.
    shifts : of each pair of levels from the widest inwards, by group; "" is all rows together. Infinite where a group
        has too few rows for its coverage.
    """

    levels: tuple[float, ...]
    shifts: Mapping[str, tuple[float, ...]]

    @classmethod
    def fit(
        cls,
        truth: ArrayLike,
        quantiles: ArrayLike,
        levels: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        least_rows: int = 100,
    ) -> ConformalQuantiles:
        """Calibrate on (rows, levels).

        Parameters
        ----------
        groups : label of each row.
        least_rows : a group with fewer rows has no shifts of its own and takes those of all rows, for which coverage
            holds on average over groups alone.
        """
        tau = checked_levels(levels)
        pairs = central_pairs(tau)
        q = checked_finite(quantiles, (None, len(tau)), "quantiles")
        y = checked_finite(truth, (len(q),), "truth")
        labels = _labels(groups, len(y))
        shifts = {}
        for label in sorted({_ALL, *np.unique(labels).tolist()}):
            rows = np.ones(len(y), dtype=bool) if label == _ALL else labels == label
            if label == _ALL or rows.sum() >= least_rows:
                outside = [np.maximum(q[rows, a] - y[rows], y[rows] - q[rows, b]) for a, b in pairs]
                shifts[label] = tuple(
                    conformal_quantile(e, 1 - 2 * float(tau[a])) for e, (a, _) in zip(outside, pairs, strict=True)
                )
        return cls(tuple(tau.tolist()), shifts)

    def calibrated(self, quantiles: ArrayLike, groups: ArrayLike | None = None) -> Floats:
        """Shifted and sorted quantiles (rows, levels). Labels without shifts of their own take those of all rows."""
        q = checked_finite(quantiles, (None, len(self.levels)), "quantiles").copy()
        pairs = central_pairs(self.levels)
        labels, index = np.unique(_labels(groups, len(q)), return_inverse=True)
        table = np.array([self.shifts.get(str(label), self.shifts[_ALL]) for label in labels]).reshape(-1, len(pairs))
        for k, (low, high) in enumerate(pairs):
            by = table[index, k]
            q[:, low], q[:, high] = q[:, low] - by, q[:, high] + by
        return np.sort(q, axis=1)

    def of_group(self, quantiles: Floats, label: str) -> Floats:
        """`calibrated` for rows that all belong to one group."""
        q = quantiles.copy()
        shifts = self.shifts.get(label, self.shifts[_ALL])
        for by, (low, high) in zip(shifts, central_pairs(self.levels), strict=True):
            q[:, low] -= by
            q[:, high] += by
        return np.sort(q, axis=1)

    def as_dict(self) -> dict[str, Any]:
        """JSON without infinities: a shift that no rank reaches is None."""
        finite = {k: [s if isfinite(s) else None for s in v] for k, v in self.shifts.items()}
        return {"levels": list(self.levels), "shifts": finite}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ConformalQuantiles:
        pairs = len(central_pairs(data["levels"]))
        shifts = {str(k): tuple(inf if s is None else float(s) for s in v) for k, v in data["shifts"].items()}
        for label, found in shifts.items():
            if len(found) != pairs:
                raise InputError(f"{len(found)} shifts of {label!r}", where="conformal", hint=f"expected {pairs}")
        return cls(tuple(float(t) for t in data["levels"]), shifts)


def _labels(groups: ArrayLike | None, rows: int) -> NDArray[np.str_]:
    labels = np.full(rows, _ALL) if groups is None else np.asarray(groups).astype(str)
    if labels.shape != (rows,):
        raise InputError(f"groups of shape {labels.shape} for {rows} rows", where="conformal", hint="one label a row")
    if groups is not None and np.any(labels == _ALL):
        raise InputError("a group without a name", where="conformal", hint='"" stands for all rows together')
    return labels
