"""The 8x8 handwritten digits that scikit-learn carries, in three stratified splits."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hwsim.zoo.stratified import stratified_order

_TEST = 597
_CALIB = 176
_SEED = 0
Split = tuple[NDArray[np.float32], NDArray[np.int64]]


@cache
def _digits() -> dict[str, Split]:
    """The 1,797 8x8 digits bundled with scikit-learn (UCI optical recognition of handwritten digits, test part)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = (bunch.images / 16.0).astype(np.float32)[:, None]
    y = bunch.target.astype(np.int64)
    order = stratified_order(y, _SEED)
    ends = (0, _TEST, _TEST + _CALIB, len(y))
    parts = [order[a:b] for a, b in pairwise(ends)]
    return {name: (x[rows], y[rows]) for name, rows in zip(("test", "calib", "train"), parts, strict=True)}


def digits(split: str) -> Split:
    """One split: x float32 (N, 1, 8, 8) in [0, 1], y int64 (N,)."""
    return _digits()[split]
