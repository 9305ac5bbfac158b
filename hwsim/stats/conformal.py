"""Split-conformal intervals: calibrated on scores of rows that the model did not see, by strata and by groups.

A score is a residual over a local scale, so that intervals widen where the scale says that less is known. Three ways
of being wrong are kept apart:

- rows of one stratum (a Mondrian category: near or far from the data, a strategy, ...) get quantiles of their own
  (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, section 4.5);
- rows of one group (a layer shape, a format) resemble each other, so the scores have to come from models that saw no
  row of the group; with `by="groups"` each group then has the same weight and the guarantee is for a row of a new
  group (Lee, Barber and Willett, arXiv 2306.06342, theorem 1);
- ranks are those of finite samples: the ceil((n + 1) coverage)-th smallest of n scores, infinite where that is none
  (Lei et al., Distribution-Free Predictive Inference for Regression, JASA 2018, section 2).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError

Floats = NDArray[np.float64]
Residual = Literal["absolute", "relative", "log"]
Pooling = Literal["rows", "groups"]
_TINY = 1e-12  # a rank computed in floating point may lie this far above an integer


def conformal_quantile(scores: ArrayLike, coverage: float) -> float:
    """The least bound that holds a new exchangeable score with probability >= `coverage`; inf with too few scores."""
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    rank = ceil((len(ordered) + 1) * coverage - _TINY)
    return float(ordered[max(rank, 1) - 1]) if rank <= len(ordered) else inf


def hierarchical_quantile(scores: ArrayLike, groups: ArrayLike, coverage: float) -> float:
    """As `conformal_quantile`, for a score of a group not seen: all groups weigh the same, and so does the new one.

    With fewer than coverage / (1 - coverage) groups it is inf.
    """
    values, names = np.asarray(scores, dtype=np.float64), np.asarray(groups)
    _, index, counts = np.unique(names, return_inverse=True, return_counts=True)
    weights = 1.0 / ((len(counts) + 1) * counts[index])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    at = int(np.searchsorted(reached, coverage - _TINY))
    return float(values[order][at]) if at < len(values) else inf


def scores_of(truth: ArrayLike, predicted: ArrayLike, scale: ArrayLike = 1.0, residual: Residual = "log") -> Floats:
    """Signed residuals of `truth` over `scale`: truth - predicted, that over predicted, or log(truth / predicted)."""
    y, p = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    s = np.asarray(scale, dtype=np.float64)
    if np.any(s <= 0):
        raise InputError("scales of scores have to be positive", where="conformal")
    if residual == "absolute":
        return np.asarray((y - p) / s)
    if np.any(p <= 0) or (residual == "log" and np.any(y <= 0)):
        raise InputError(f"a {residual} residual needs positive values", where="conformal", hint="residual='absolute'")
    return np.asarray((y / p - 1.0) / s if residual == "relative" else np.log(y / p) / s)


@dataclass(frozen=True, slots=True)
class ConformalBand:
    """How far truths lie below and above predictions, in scores, by stratum.

    Attributes
    ----------
    ends : (low, high) of each stratum; without strata the only one is "".
    residual : what a score is, see `scores_of`.
    coverage : nominal.
    """

    ends: Mapping[str, tuple[float, float]]
    residual: Residual
    coverage: float

    @classmethod
    def fit(
        cls,
        scores: ArrayLike,
        coverage: float = 0.9,
        *,
        strata: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        by: Pooling = "rows",
        symmetric: bool = False,
        residual: Residual = "log",
    ) -> ConformalBand:
        """Calibrate on scores of rows that their predictions never saw.

        Parameters
        ----------
        scores : signed, see `scores_of`.
        strata : label of each row; each label gets ends of its own.
        groups, by : with `by="groups"` groups weigh the same and the guarantee is for a row of a new group.
        symmetric : one quantile of |score| instead of two, each at half of 1 - coverage: narrower in small samples.
        """
        if not 0 < coverage < 1:
            raise InputError(f"coverage {coverage}", where="conformal", hint="allowed: above 0 and below 1")
        values = np.asarray(scores, dtype=np.float64)
        labels = np.full(len(values), "") if strata is None else np.asarray(strata).astype(str)
        names = np.arange(len(values)) if groups is None else np.asarray(groups)
        ends = {}
        for label in np.unique(labels):
            rows = labels == label
            ends[str(label)] = _ends(values[rows], names[rows], coverage, by, symmetric)
        return cls(ends, residual, coverage)

    def interval(self, predicted: ArrayLike, scale: ArrayLike = 1.0, strata: ArrayLike | None = None) -> Any:
        """(low, high) of each prediction. A stratum that calibration never saw gets the widest ends of all."""
        p = np.asarray(predicted, dtype=np.float64)
        s = np.asarray(scale, dtype=np.float64)
        low, high = self._ends_of(p.shape, strata)
        if self.residual == "absolute":
            return p + low * s, p + high * s
        if self.residual == "relative":
            return p * (1 + low * s), p * (1 + high * s)
        return p * np.exp(low * s), p * np.exp(high * s)

    def _ends_of(self, shape: tuple[int, ...], strata: ArrayLike | None) -> tuple[Floats, Floats]:
        widest = min(low for low, _ in self.ends.values()), max(high for _, high in self.ends.values())
        if strata is None:
            low, high = self.ends.get("", widest)
            return np.full(shape, low), np.full(shape, high)
        labels, index = np.unique(np.asarray(strata).astype(str), return_inverse=True)
        table = np.array([self.ends.get(str(label), widest) for label in labels])
        found = table[index.reshape(shape)]
        return found[..., 0], found[..., 1]

    def as_dict(self) -> dict[str, Any]:
        """JSON without infinities: an end that no rank reaches is None."""
        finite = {k: [v if np.isfinite(v) else None for v in pair] for k, pair in self.ends.items()}
        return {"ends": finite, "residual": self.residual, "coverage": self.coverage}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ConformalBand:
        ends = {
            str(k): (-inf if low is None else float(low), inf if high is None else float(high))
            for k, (low, high) in data["ends"].items()
        }
        return cls(ends, data["residual"], float(data["coverage"]))


def _ends(scores: Floats, groups: NDArray[Any], coverage: float, by: Pooling, symmetric: bool) -> tuple[float, float]:
    def bound(values: Floats, share: float) -> float:
        return conformal_quantile(values, share) if by == "rows" else hierarchical_quantile(values, groups, share)

    if symmetric:
        high = bound(np.abs(scores), coverage)
        return -high, high
    share = (1 + coverage) / 2
    return -bound(-scores, share), bound(scores, share)


def group_folds(groups: ArrayLike) -> list[NDArray[np.bool_]]:
    """Masks of the rows to leave out together, one a group."""
    names = np.asarray(groups)
    found: dict[Hashable, None] = dict.fromkeys(names.tolist())
    return [names == name for name in found]
