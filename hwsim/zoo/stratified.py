"""An order of labelled rows that keeps the class shares in every stretch: how data are split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_order(y: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """An order of the rows in which every contiguous stretch has nearly the class shares of the whole."""
    rng = np.random.default_rng(seed)
    position = np.empty(len(y))
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        position[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return np.argsort(position, kind="stable")
