"""A measurement that slowed down as it went: what its place in the table adds to a time.

The convolutions of the NeuSight tables carry an overhead that grows with their place in the table: on each of the five
GPUs the smallest times of every twentieth of the rows rise (on the V100 from 88 to 333 us), whatever the shapes. The
rows' shapes are in random order, so that place says nothing else. Matrix products and element-wise rows of the same
authors do not show it. The rise is near to a line, but steeper towards the end: a line (`drift_us`) leaves up to 35 us
of an A100's and 80 us of a P100's times; a curve through what a model leaves over (`drift_curve`) finds those, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.latency.simulator.table import Array

_PARTS = 20
_FLOOR = 0.01  # quantile that stands for the smallest times of a part


def drift_us(place: Array, latency_us: Array) -> float:
    """Overhead of the last row over the first: the median slope between the floors of all parts (Theil and Sen).

    Parameters
    ----------
    place : 0 for the first row, 1 for the last.
    """
    part = np.minimum((place * _PARTS).astype(int), _PARTS - 1)
    filled = [p for p in range(_PARTS) if (part == p).any()]
    floor = np.array([np.quantile(latency_us[part == p], _FLOOR) for p in filled])
    where = np.array([float(np.mean(place[part == p])) for p in filled])
    i, j = np.triu_indices(len(filled), 1)
    return max(0.0, float(np.median((floor[j] - floor[i]) / (where[j] - where[i]))))


@dataclass(frozen=True, slots=True)
class DriftCurve:
    """Overhead by place: a line between the middles of equal parts, never negative.

    Attributes
    ----------
    knots_us : of each part.
    """

    knots_us: Array

    def at(self, place: Array) -> Array:
        """Overhead of rows at places 0 to 1, microseconds."""
        n = len(self.knots_us)
        where = np.clip(place * n - 0.5, -0.5, n - 0.5)
        left = np.clip(np.floor(where).astype(int), 0, n - 2)
        line = self.knots_us[left] + (self.knots_us[left + 1] - self.knots_us[left]) * (where - left)
        return np.asarray(np.maximum(line, 0.0))


def drift_curve(place: Array, latency_us: Array, expected_us: Array) -> DriftCurve:
    """What times exceed expectation by, in each twentieth of the rows, smoothed and rising from nothing.

    Medians weighted by one over the expected time: errors of a model are relative, so that short rows tell most.

    Parameters
    ----------
    expected_us : without drift, by a model that did not see the row.
    """
    part = np.minimum((place * _PARTS).astype(int), _PARTS - 1)
    left = latency_us - expected_us
    knots = np.array([_weighted_median(left[part == p], 1 / expected_us[part == p]) for p in range(_PARTS)])
    ends = np.r_[2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]]
    smooth = np.maximum.accumulate(np.convolve(ends, (0.25, 0.5, 0.25), "valid"))
    return DriftCurve(smooth - max(0.0, 1.5 * smooth[0] - 0.5 * smooth[1]))


def _weighted_median(values: Array, weight: Array) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)]) if len(values) else 0.0
