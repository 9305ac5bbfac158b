"""What is kept of a stream of tensors in bounded memory: a fair sample, both tails exactly, percentiles of batches.

A batch is read twice, for the largest and for the smallest value of every short column of elements (`Folded`). The
extremes of channels follow from those, and only columns that reach into a tail are read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.floating]


def rank_from_top(percent: float, elements: int) -> int:
    """How many of `elements` lie above their percentile: the smallest value with at least `percent` % not above it."""
    return int(np.floor((1.0 - percent / 100.0) * (elements - 1) + 1e-9))


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept of a stream beside its extremes.

    Attributes
    ----------
    tails : the largest and the smallest values.
    sample : positions drawn evenly, with all their channels.
    batch_percentiles : (percentile, whether by channel, calibration rows of a batch) to take of each batch and to
        average.
    """

    tails: bool = False
    sample: bool = False
    batch_percentiles: frozenset[tuple[float, bool, int]] = frozenset()

    def __or__(self, other: Keep) -> Keep:
        batches = self.batch_percentiles | other.batch_percentiles
        return Keep(self.tails or other.tails, self.sample or other.sample, batches)

    def passes(self, batch: int) -> list[tuple[int, Keep]]:
        """Passes over the calibration rows that give it, each with its rows of a batch.

        A sample depends on the batches it is drawn from, and so do averaged percentiles: each has a pass of its own,
        whatever else is kept.
        """
        sizes = sorted({size for _, _, size in self.batch_percentiles})
        found = [
            (size, Keep(batch_percentiles=frozenset(key for key in self.batch_percentiles if key[2] == size)))
            for size in sizes
        ]
        if self.sample or not found:
            return [(batch, Keep(self.tails, self.sample)), *found]
        size, first = found[0]  # tails and extremes are the same in any pass
        return [(size, first | Keep(tails=self.tails)), *found[1:]]

    def covers(self, other: Keep) -> bool:
        """Whether all that `other` keeps is kept."""
        return self | other == self


_LONGEST, _SHORTEST = 32, 8  # elements of a column; shorter ones are not worth a reduction


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A batch as (outer, channels, inner), and the ends of its columns.

    Attributes
    ----------
    x : the batch, shape (outer, channels, inner), contiguous.
    columns : the same memory, shape (A, column, B).
    tops, bottoms : largest and smallest value of each column, shape (A, B).
    """

    x: Tensor
    columns: Tensor
    tops: Tensor
    bottoms: Tensor

    @property
    def extremes(self) -> tuple[Array, Array]:
        """Smallest and largest value of each channel; NaN where a channel holds NaN."""
        inner = self.columns.shape[2] if self._inner else self.x.shape[2]
        bottoms, tops = self.bottoms.view(-1, self.x.shape[1] * inner), self.tops.view(-1, self.x.shape[1] * inner)
        if (size := _column(len(tops))) > 1:  # long rows reduce faster
            bottoms, tops = bottoms.view(size, -1).amin(0), tops.view(size, -1).amax(0)
        shape = (-1, self.x.shape[1], inner)
        low, high = bottoms.numpy().reshape(shape), tops.numpy().reshape(shape)
        return low.min(2).min(0), high.max(2).max(0)

    @property
    def _inner(self) -> bool:
        return self.columns.shape[2] < self.x.shape[1] * self.x.shape[2]


def fold(x: Tensor, axis: int | None) -> Folded:
    """Fold a batch whose channels lie along `axis`; None: every element is a channel of its own."""
    if axis is None:
        x = x.reshape(1, -1, 1)
    else:
        if not x.is_contiguous():  # a batch with its channels last in memory stays as it is
            x, axis = x.movedim(axis, -1).contiguous(), x.dim() - 1
        x = x.view(prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :]))
    outer, channels, inner = x.shape
    if (size := _column(outer)) > 1:
        columns = x.view(1, size, -1)
    elif (size := _column(inner)) > 1:
        columns = x.view(outer * channels, size, inner // size)
    else:
        columns = x.view(outer, 1, channels * inner)
        return Folded(x, columns, columns[:, 0], columns[:, 0])
    return Folded(x, columns, columns.amax(1), columns.amin(1))


def _column(length: int) -> int:
    """The largest divisor that makes a good column, or 1."""
    return next((n for n in range(_LONGEST, _SHORTEST - 1, -1) if length % n == 0), 1)


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
        """Take in a batch, shape (outer, channels, inner); its positions are outer x inner."""
        outer, channels, inner = x.shape
        arriving, room = outer * inner, max(256, self._elements // channels)
        if self._seen + arriving <= room:
            taken, kept = arriving, len(self.rows)
        else:
            taken = int(self._random.hypergeometric(arriving, self._seen, room))
            kept = room - taken
        self._seen += arriving
        if taken == 0:
            return
        chosen = torch.from_numpy(np.sort(self._random.choice(arriving, taken, replace=False, shuffle=False)))
        fresh = (x[chosen, :, 0] if inner == 1 else x[chosen // inner, :, chosen % inner]).numpy()
        old = self.rows.reshape(-1, channels)
        if kept < len(old):
            old = old[self._random.choice(len(old), kept, replace=False)]
        self.rows = np.concatenate([old.astype(fresh.dtype, copy=False), fresh])


class Tails:
    """The largest and the smallest values of a stream, and so its extreme percentiles without error."""

    def __init__(self, size: int = 4096) -> None:
        self.size = size
        self.top: Array = np.zeros(0, dtype=np.float32)
        self.bottom: Array = np.zeros(0, dtype=np.float32)

    def update(self, batch: Folded) -> None:
        """Take in a batch of finite values."""
        self.top = self._largest(self.top, batch, 1)
        self.bottom = -self._largest(-self.bottom, batch, -1)

    def _largest(self, kept: Array, batch: Folded, sign: int) -> Array:
        """The largest of what was kept and of the batch; with sign -1, of its negative."""
        ends = (batch.tops if sign > 0 else -batch.bottoms).numpy().ravel()
        full = len(kept) == self.size
        reach = -np.inf
        if full:
            reach = kept.min()
        elif len(ends) >= self.size:  # so many columns end here or higher, and so many values at least
            reach = np.partition(ends, len(ends) - self.size)[len(ends) - self.size]
        hits = torch.from_numpy(np.flatnonzero(ends > reach))
        width = batch.columns.shape[2]
        found = sign * batch.columns[hits // width, :, hits % width].numpy().ravel()
        found = found[found > reach]
        if not full and np.isfinite(reach):  # ties at the threshold itself
            found = np.concatenate([found, np.full(max(0, self.size - len(found)), reach, dtype=found.dtype)])
        merged = np.concatenate([kept, found]) if len(found) else kept
        return _largest(merged, self.size)

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


class BatchPercentiles:
    """Ends that a percentile leaves of each batch, averaged over the batches.

    Parameters
    ----------
    percent : of the values of a batch, or of each of its channels.
    by_channel : one end a channel instead of one for all.
    """

    def __init__(self, percent: float, by_channel: bool) -> None:
        self._percent, self._by_channel = percent, by_channel
        self._batches = 0
        self._sums: Array = np.zeros(0)

    def update(self, batch: Folded) -> None:
        """Take in a batch of finite values."""
        found = self._of_channels(batch.x) if self._by_channel else self._of_all(batch)
        self._sums = found if not self._batches else self._sums + found
        self._batches += 1

    @property
    def ends(self) -> Array:
        """Rows smallest, largest, largest magnitude; columns channels, or one for all."""
        return self._sums / self._batches

    def _of_all(self, batch: Folded) -> Array:
        rank = rank_from_top(self._percent, batch.x.numel())
        low, high = float(batch.bottoms.min()), float(batch.tops.max())
        if rank == 0:
            return np.array([[low], [high], [max(-low, high)]])
        if low < 0:
            tails = Tails(rank + 1)
            tails.update(batch)
            return np.array([[tails.smallest(rank)], [tails.largest(rank)], [tails.largest_magnitude(rank)]])
        largest = _with_above(rank, batch.tops, batch.columns)
        if np.count_nonzero(batch.bottoms.numpy() == low) <= rank:
            low = -_with_above(rank, -batch.bottoms, -batch.columns)
        return np.array([[low], [largest], [largest]])

    def _of_channels(self, x: Tensor) -> Array:
        rows = x.movedim(1, 0).reshape(x.shape[1], -1)
        last = rows.shape[1] - rank_from_top(self._percent, rows.shape[1])
        ends = -(-rows).kthvalue(last).values, rows.kthvalue(last).values, rows.abs().kthvalue(last).values
        return torch.stack(ends).double().numpy()


def _largest(values: Array, size: int) -> Array:
    return values if len(values) <= size else np.partition(values, len(values) - size)[-size:].copy()


def _with_above(rank: int, tops: Tensor, columns: Tensor) -> float:
    """The value with `rank` values above it; `tops` are the largest of each column."""
    ends = tops.numpy().ravel()
    if len(ends) <= rank:
        values = columns.numpy().ravel()
        return float(np.partition(values, len(values) - 1 - rank)[len(values) - 1 - rank])
    least = np.partition(ends, len(ends) - 1 - rank)[len(ends) - 1 - rank]  # so many columns reach it at least
    hits = torch.from_numpy(np.flatnonzero(ends > least))
    width = columns.shape[2]
    held = columns[0].index_select(1, hits) if len(columns) == 1 else columns[hits // width, :, hits % width]
    above = held.numpy().ravel()
    above = above[above > least]
    return float(np.partition(above, len(above) - 1 - rank)[len(above) - 1 - rank] if len(above) > rank else least)
