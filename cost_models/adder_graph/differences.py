"""Rows of a matrix as other rows plus a difference.

Where many rows have few columns, some row is close to another, and the difference has fewer digits than the row.
The links form a minimum spanning tree over the rows and zero, counted in nonzero digits, found with Prim's algorithm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.adder_graph.digits import nonzero_digits


class Link(NamedTuple):
    """`row = sign * parent + difference`; `parent` is -1 for zero."""

    row: int
    parent: int
    sign: int


def spanning_links(weights: NDArray[np.int64]) -> list[Link]:
    """A link for every row, parents before children; adders are what counts: a row of d digits needs d - 1, a
    difference of d digits needs d with the one that joins it."""
    rows = weights.shape[0]
    adders = nonzero_digits(weights).sum(axis=1) - 1
    parent, sign = np.full(rows, -1), np.ones(rows, dtype=np.int64)
    waiting = np.ones(rows, dtype=bool)
    found = []
    for _ in range(rows):
        row = int(np.argmin(np.where(waiting, adders, np.iinfo(np.int64).max)))
        waiting[row] = False
        found.append(Link(row, int(parent[row]), int(sign[row])))
        for s in (1, -1):
            cost = nonzero_digits(weights - s * weights[row]).sum(axis=1) + (1 - s) // 2
            better = waiting & (cost < adders)
            adders = np.where(better, cost, adders)
            parent[better], sign[better] = row, s
    return found


def differences(weights: NDArray[np.int64], links: list[Link]) -> NDArray[np.int64]:
    """The difference of each link, a row each."""
    return np.array([weights[k.row] - (k.sign * weights[k.parent] if k.parent >= 0 else 0) for k in links])
