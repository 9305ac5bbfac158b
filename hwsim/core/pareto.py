"""Pareto dominance, exact hypervolume, knee, and dominance that survives intervals. All objectives are minimised.

Values are arrays of shape (points, objectives); turn a maximised objective's sign before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError

Mask = NDArray[np.bool_]


def dominates(a: ArrayLike, b: ArrayLike) -> bool:
    """Whether point `a` is nowhere worse than `b` and somewhere better."""
    x, y = np.asarray(a, float), np.asarray(b, float)
    return bool(np.all(x <= y) and np.any(x < y))


def non_dominated(values: ArrayLike) -> Mask:
    """True for every point that no other dominates; equal points are all kept."""
    v = _points(values)
    keep = np.ones(len(v), dtype=bool)
    for i in np.argsort(v.sum(axis=1), kind="stable"):
        if keep[i]:
            worse = np.all(v >= v[i], axis=1) & np.any(v > v[i], axis=1)
            keep[worse] = False
    return keep


def robustly_non_dominated(lo: ArrayLike, hi: ArrayLike) -> Mask:
    """True unless another point is better even when it is at its worst and this one at its best.

    `lo` and `hi` are the ends of the interval of each objective, shape (points, objectives).
    """
    low, high = _points(lo), _points(hi)
    if low.shape != high.shape or np.any(low > high):
        raise InputError("lo and hi must have one shape with lo <= hi", where="pareto")
    keep = np.ones(len(low), dtype=bool)
    for i in range(len(low)):
        beaten = np.all(high <= low[i], axis=1) & np.any(high < low[i], axis=1)
        beaten[i] = False
        keep[i] = not beaten.any()
    return keep


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """Exact volume that the points dominate within the box up to `reference` (slicing by objectives)."""
    v, ref = _points(values), np.asarray(reference, float)
    if v.shape[1] != len(ref):
        raise InputError(f"{v.shape[1]} objectives, reference of {len(ref)}", where="hypervolume")
    inside = v[np.all(v < ref, axis=1)]
    return _volume(np.unique(inside, axis=0), ref)


def knee(values: ArrayLike) -> int:
    """Index of the point farthest below the line through the front's ends, each objective scaled to [0, 1].

    With more than two objectives: the front point nearest to the ideal point. Source: the angle-free form of Das 1999
    ("On characterizing the knee of the Pareto curve"), distance to the convex hull of individual minima.
    """
    v = _points(values)
    front = np.flatnonzero(non_dominated(v))
    if len(front) == 0:
        raise InputError("no points", where="knee")
    f = v[front]
    span = np.where(np.ptp(f, axis=0) > 0, np.ptp(f, axis=0), 1.0)
    scaled = (f - f.min(axis=0)) / span
    badness = scaled.sum(axis=1) if v.shape[1] == 2 else np.linalg.norm(scaled, axis=1)
    return int(front[np.argmin(badness)])


def _volume(v: NDArray[np.float64], ref: NDArray[np.float64]) -> float:
    if len(v) == 0:
        return 0.0
    if v.shape[1] == 1:
        return float(ref[0] - v[:, 0].min())
    if v.shape[1] > 2:
        v = v[non_dominated(v)]
    v = v[np.argsort(v[:, -1], kind="stable")]
    if v.shape[1] == 2:  # a staircase: the last objective rises, the least first one so far falls
        widths = ref[0] - np.minimum.accumulate(v[:, 0])
        heights = np.diff(np.append(v[:, 1], ref[1]))
        return float(np.dot(widths, heights))
    heights = np.diff(np.append(v[:, -1], ref[-1]))
    return float(sum(h * _volume(v[: i + 1, :-1], ref[:-1]) for i, h in enumerate(heights) if h > 0))


def _points(values: ArrayLike) -> NDArray[np.float64]:
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 2:
        raise InputError(f"an array of shape {v.shape}", where="pareto", hint="wanted: (points, objectives)")
    if np.isnan(v).any():
        raise InputError("NaN among the objectives", where="pareto", hint="leave out points that were not evaluated")
    return v
