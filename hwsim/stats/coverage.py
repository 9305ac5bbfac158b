"""How often intervals hold the truth, and how wide they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of intervals whose calibration saw none of the rows counted.

    Attributes
    ----------
    share : of rows inside.
    rows : counted.
    worst_group : smallest share among groups, 1 without groups.
    by_group : share of each group.
    median_width : of high / low - 1 where low > 0, of high - low elsewhere.
    standard_error : of `share`; groups are the units of sampling where there are any.
    """

    share: float
    rows: int
    worst_group: float
    by_group: Mapping[str, float]
    median_width: float
    standard_error: float


def coverage(truth: ArrayLike, low: ArrayLike, high: ArrayLike, groups: ArrayLike | None = None) -> Coverage:
    """Share of `truth` in the closed intervals [low, high]."""
    y, a, b = (np.asarray(v, dtype=np.float64) for v in (truth, low, high))
    inside = (y >= a) & (y <= b)
    with np.errstate(divide="ignore", invalid="ignore"):
        width = np.where(a > 0, b / a - 1, b - a)
    names = np.arange(len(y)) if groups is None else np.asarray(groups)
    labels, index = np.unique(names, return_inverse=True)
    counts = np.bincount(index)
    shares = np.bincount(index, weights=inside) / counts
    share = float(inside.mean())
    error = float(np.sqrt(np.sum((counts * (shares - share)) ** 2))) / len(y)
    by_group = {} if groups is None else {str(k): float(v) for k, v in zip(labels, shares, strict=True)}
    worst = 1.0 if groups is None else float(shares.min())
    return Coverage(share, len(y), worst, by_group, float(np.median(width)), error)
