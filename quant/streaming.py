"""What is kept of a stream of tensors in bounded memory: a fair sample, and both tails exactly."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.floating]


def rank_from_top(percent: float, elements: int) -> int:
    """How many of `elements` lie above their percentile: the smallest value with at least `percent` % not above it."""
    return int(np.floor((1.0 - percent / 100.0) * (elements - 1) + 1e-9))


class Reservoir:
    """Positions of a stream, each with all its channels, every position equally likely to be kept.

    Parameters
    ----------
    elements : to keep, about; at least 256 positions.
    seed : equal seeds and streams keep equal samples.
    """

    def __init__(self, elements: int, seed: int) -> None:
        self.rows: Array = np.zeros((0, 0), dtype=np.float32)
        self._elements = elements
        self._seen = 0
        self._random = np.random.default_rng(seed)

    def update(self, x: Tensor) -> None:
        """Take in a batch, channels last."""
        lead = x.shape[:-1]
        arriving, room = int(np.prod(lead)), max(256, self._elements // x.shape[-1])
        if self._seen + arriving <= room:
            taken, kept = arriving, len(self.rows)
        else:
            taken = int(self._random.hypergeometric(arriving, self._seen, room))
            kept = room - taken
        chosen = np.unravel_index(self._random.choice(arriving, taken, replace=False), tuple(lead))
        fresh = x[tuple(torch.from_numpy(axis) for axis in chosen)].numpy()
        old = self.rows.reshape(-1, x.shape[-1])
        if kept < len(old):
            old = old[self._random.choice(len(old), kept, replace=False)]
        self.rows = np.concatenate([old.astype(fresh.dtype, copy=False), fresh])
        self._seen += arriving


class Tails:
    """The largest and the smallest values of a stream, and so its extreme percentiles without error."""

    def __init__(self, size: int = 4096) -> None:
        self.size = size
        self.top: Array = np.zeros(0, dtype=np.float32)
        self.bottom: Array = np.zeros(0, dtype=np.float32)

    def update(self, x: Tensor) -> None:
        """Take in a batch, one axis."""
        full = len(self.top) == self.size
        above = x[x > float(self.top.min())] if full else x
        below = x[x < float(self.bottom.max())] if full else x
        self.top = _largest(np.concatenate([self.top, above.numpy()]), self.size)
        self.bottom = -_largest(-np.concatenate([self.bottom, below.numpy()]), self.size)

    def largest(self, rank: int) -> float:
        """The value with `rank` values above it; rank below `size`."""
        return float(np.sort(self.top)[::-1][rank])

    def smallest(self, rank: int) -> float:
        """The value with `rank` values below it."""
        return float(np.sort(self.bottom)[rank])

    def largest_magnitude(self, rank: int) -> float:
        """The magnitude with `rank` magnitudes above it."""
        # a value kept at both ends counts once: its other entry is negative and sorts last
        return float(np.sort(np.concatenate([self.top, -self.bottom]))[::-1][rank])


def _largest(values: Array, size: int) -> Array:
    return values if len(values) <= size else np.partition(values, len(values) - size)[-size:].copy()
