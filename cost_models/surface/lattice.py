"""Values on a lattice, read at any point: exact on nodes, linear on an axis's scale between, constant outside."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.surface.family import Axis, Columns

Floats = NDArray[np.float64]


def read(tables: Sequence[Floats], axes: Sequence[Axis], columns: Columns) -> list[Floats]:
    """Each table, of the shape of the lattice, at every row of the axis columns."""
    lower, share = [], []
    for axis in axes:
        nodes = np.array(axis.nodes, dtype=np.float64)
        values = np.clip(columns[axis.name], nodes[0], nodes[-1])
        index = np.clip(np.searchsorted(nodes, values, side="right") - 1, 0, max(len(nodes) - 2, 0))
        start, end = nodes[index], nodes[np.minimum(index + 1, len(nodes) - 1)]
        gap = axis.position(end) - axis.position(start)
        part = (axis.position(values) - axis.position(start)) / np.where(gap > 0, gap, 1.0)
        lower.append(index)
        share.append(np.where(values == start, 0.0, np.where(values == end, 1.0, part)))
    return _interpolated(tables, [len(axis.nodes) for axis in axes], lower, share)


def outside(axes: Sequence[Axis], columns: Columns) -> NDArray[np.bool_]:
    """Rows beyond the lattice along any axis."""
    found = np.zeros(len(next(iter(columns.values()))), dtype=bool)
    for axis in axes:
        found |= (columns[axis.name] < axis.nodes[0]) | (columns[axis.name] > axis.nodes[-1])
    return found


def _interpolated(
    tables: Sequence[Floats], shape: Sequence[int], lower: Sequence[NDArray[np.intp]], share: Sequence[Floats]
) -> list[Floats]:
    """Sums over the corners of the cell of each row; axes on whose nodes all rows lie have one corner."""
    found = [np.zeros(len(lower[0])) for _ in tables]
    choices: list[list[tuple[NDArray[np.intp], Floats | None]]] = []
    for index, part, size in zip(lower, share, shape, strict=True):
        if not part.any():
            choices.append([(index, None)])
        elif np.all((part == 0) | (part == 1)):  # the last node is the upper corner of the last cell
            upper = np.minimum(index + part.astype(np.intp), size - 1)
            choices.append([(upper, None)])
        else:
            choices.append([(index, 1 - part), (np.minimum(index + 1, size - 1), part)])
    for corner in product(*choices):
        flat = np.ravel_multi_index([index for index, _ in corner], tuple(shape))
        weight = np.ones(len(flat))
        for _, factor in corner:
            if factor is not None:
                weight = weight * factor
        for k, table in enumerate(tables):
            found[k] += weight * table.ravel()[flat]
    return found
