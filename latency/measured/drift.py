"""A measurement that slowed down as it went: what its place in the table adds to a time.

The convolutions of the NeuSight tables carry an overhead that grows in proportion to their place in the table: on each
of the five GPUs the smallest times of every twentieth of the rows rise along a line (on the V100 from 88 to 333 us),
whatever the shapes. The rows' shapes are in random order, so that place says nothing else. Matrix products and
element-wise rows of the same authors do not show it.
"""

from __future__ import annotations

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
