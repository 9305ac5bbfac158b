"""Quantiles that do not cross: three operators on (rows, levels), each row made ascending on its own.

Sorting and isotonic regression never raise the pinball loss averaged over equally weighted levels, row by row, and so
never the weighted interval score (Chernozhukov, Fernandez-Val and Galichon, Quantile and Probability Curves without
Crossing, Econometrica 2010; Fakoor et al., JMLR 2023, arXiv 2103.00083, section 5). The sweep keeps the median; no such
promise holds for it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError, nearest
from hwsim.stats.quantile_metrics import Floats, checked_finite

Monotonise = Literal["sort", "isotonic", "sweep"]
OPERATORS: tuple[Monotonise, ...] = ("sort", "isotonic", "sweep")


def checked_operator(how: str | None) -> None:
    """An error unless `how` is one of `OPERATORS` or None."""
    if how is not None and how not in OPERATORS:
        raise InputError(f"monotonise={how!r}", where="quantiles", hint=nearest(str(how), OPERATORS) + ", or None")


def monotone(quantiles: ArrayLike, how: Monotonise | None = "sort") -> Floats:
    """`quantiles` (rows, levels), ascending along levels; None leaves them as they are."""
    checked_operator(how)
    q = checked_finite(quantiles, (None, None), "quantiles")
    if how is None:
        return q
    if how == "sort":
        return np.sort(q, axis=1)
    if how == "isotonic":
        return isotonic(q)
    return sweep(q, q.shape[1] // 2)


def isotonic(values: Floats) -> Floats:
    """The nearest ascending row in least squares, by pooling adjacent violators in all rows at once.

    Each level is pushed as a block of its own; while a block lies below the one before it, the two become their mean.
    Source: Barlow, Bartholomew, Bremner and Brunk, Statistical Inference under Order Restrictions, 1972, chapter 1.
    """
    crossing = np.flatnonzero(np.any(values[:, 1:] < values[:, :-1], axis=1))
    out = values.copy()
    if len(crossing) == 0:
        return out
    rows, levels = len(crossing), values.shape[1]
    means, sizes = np.zeros((rows, levels)), np.zeros((rows, levels), dtype=np.intp)
    top = np.full(rows, -1)
    for level in range(levels):
        top += 1
        everyone = np.arange(rows)
        means[everyone, top], sizes[everyone, top] = values[crossing, level], 1
        active = _violating(means, top, everyone)
        while len(active):
            _merge(means, sizes, top, active)
            active = _violating(means, top, active)
    held = sizes > 0
    out[crossing] = np.repeat(means[held], sizes[held]).reshape(rows, levels)
    return out


def sweep(values: Floats, middle: int) -> Floats:
    """From column `middle` outwards: running maxima above it, running minima below it."""
    above = np.maximum.accumulate(values[:, middle:], axis=1)
    below = np.minimum.accumulate(values[:, middle::-1], axis=1)[:, ::-1]
    return np.concatenate([below[:, :-1], above], axis=1)


def _violating(means: Floats, top: NDArray[np.intp], rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Those of `rows` whose last block lies below the one before it."""
    rows = rows[top[rows] > 0]
    at = top[rows]
    return rows[means[rows, at] < means[rows, at - 1]]


def _merge(means: Floats, sizes: NDArray[np.intp], top: NDArray[np.intp], rows: NDArray[np.intp]) -> None:
    """Pool the last two blocks of each of `rows`, in place."""
    at = top[rows]
    a, b = sizes[rows, at - 1], sizes[rows, at]
    means[rows, at - 1] = (means[rows, at - 1] * a + means[rows, at] * b) / (a + b)
    sizes[rows, at - 1] = a + b
    sizes[rows, at] = 0
    top[rows] = at - 1
