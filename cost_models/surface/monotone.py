"""Values on a lattice made non-decreasing along some of its axes.

The projection is the average of the running maximum from below and the running minimum from above. Both are monotone,
hence so is their average; monotone values stay as they are; and no monotone function is nearer in the largest
deviation: half the largest fall between two comparable points has to be given up by any of them, and that is what it
gives up.

Where some values are known better than others, one bad guess in a corner must not move them all. `monotone_by_trust`
therefore projects the most trusted points among themselves first, and moves the others into the bounds that these
set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def monotone(values: Floats, axes: Sequence[int]) -> Floats:
    """The projection of `values` along `axes`; other axes keep their points apart."""
    return np.asarray((highest_below(values, axes) + lowest_above(values, axes)) / 2)


def monotone_by_trust(values: Floats, axes: Sequence[int], distrust: Floats, steps: Sequence[float]) -> Floats:
    """The projection of points in groups of falling trust, each kept within the bounds of those before.

    Parameters
    ----------
    distrust : of each point, the shape of `values`.
    steps : ascending; a group holds the points up to a step and above the one before, the last group the rest.
    """
    found = np.array(values)
    done = np.zeros(values.shape, dtype=bool)
    for step in (*steps, np.inf):
        group = (distrust <= step) & ~done
        if not group.any():
            continue
        low = highest_below(np.where(done, found, -np.inf), axes)
        high = lowest_above(np.where(done, found, np.inf), axes)
        clipped = np.clip(found, low, high)
        below = highest_below(np.where(group, clipped, -np.inf), axes)
        above = lowest_above(np.where(group, clipped, np.inf), axes)
        found[group] = (below[group] + above[group]) / 2
        done |= group
    return found


def highest_below(values: Floats, axes: Sequence[int]) -> Floats:
    """The largest value at any point that is nowhere above along `axes`."""
    for axis in axes:
        values = np.maximum.accumulate(values, axis=axis)
    return values


def lowest_above(values: Floats, axes: Sequence[int]) -> Floats:
    """The smallest value at any point that is nowhere below along `axes`."""
    for axis in axes:
        values = np.flip(np.minimum.accumulate(np.flip(values, axis), axis=axis), axis)
    return values


def is_monotone(values: Floats, axes: Sequence[int], tolerance: float = 1e-12) -> bool:
    """Whether no step along `axes` falls by more than `tolerance`."""
    return all(bool(np.all(np.diff(values, axis=axis) >= -tolerance)) for axis in axes)
