"""Gradient boosting of oblivious trees: every level of a tree asks one question, so that numpy evaluates it fast.

A tree of depth d is d pairs (feature, threshold) and 2^d values; a row's leaf is the number whose bits are its answers
(Prokhorenkova et al., CatBoost, NeurIPS 2018, section 4). scikit-learn's trees ask another question at every node: in
numpy they take ten times as long a row, and compiled code or a pickle to ship them is not wanted here. Fitting follows
Friedman (Annals of Statistics 29, 2001): squared loss on residuals cut at `clip` (Huber's), shrunken leaf means,
questions among quantiles of a feature, each tree on a random part of rows and features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_FEW_ROWS = 64
_BLOCK = 16384  # rows evaluated together: their columns stay in the cache


@dataclass(frozen=True, slots=True)
class ObliviousTrees:
    """A fitted sum of trees: plain arrays.

    Attributes
    ----------
    features, thresholds : (trees, depth); the answer is `x[feature] > threshold`, the first one the highest bit.
    values : (trees, 2^depth).
    start : added to the sum.
    """

    features: NDArray[np.int16]
    thresholds: NDArray[np.float32]
    values: NDArray[np.float32]
    start: float

    def predict(self, x: NDArray[np.floating[Any]]) -> Array:
        """Sum of the trees for every row of (n, features)."""
        if x.shape[0] <= _FEW_ROWS:
            return self._few(np.asarray(x, dtype=np.float32))
        total = np.full(x.shape[0], self.start, dtype=np.float32)
        for first in range(0, x.shape[0], _BLOCK):
            rows = slice(first, first + _BLOCK)
            self._add(np.ascontiguousarray(x[rows].T, dtype=np.float32), total[rows])
        return total.astype(np.float64)

    def _few(self, x: NDArray[np.float32]) -> Array:
        """All trees at once: for a few rows, calls of numpy take longer than what they do."""
        answers = x[:, self.features] > self.thresholds
        leaf = answers @ (1 << np.arange(self.features.shape[1] - 1, -1, -1))
        values = self.values[np.arange(len(self.values)), leaf]
        return np.asarray(self.start + values.sum(axis=1, dtype=np.float64), dtype=np.float64)

    def _add(self, columns: NDArray[np.float32], total: NDArray[np.float32]) -> None:
        """Add every tree's values in place, in buffers that are kept; to depth 8 a leaf's number is a byte."""
        n = columns.shape[1]
        answer = np.empty(n, dtype=np.bool_)
        leaf = np.empty(n, dtype=np.uint8 if self.values.shape[1] <= 256 else np.uint16)
        index, taken = np.empty(n, dtype=np.intp), np.empty(n, dtype=np.float32)
        for features, thresholds, values in zip(self.features.tolist(), self.thresholds, self.values, strict=True):
            leaf.fill(0)
            for feature, threshold in zip(features, thresholds, strict=True):
                np.greater(columns[feature], threshold, out=answer)
                np.add(leaf, leaf, out=leaf)
                np.bitwise_or(leaf, answer.view(np.uint8), out=leaf)
            np.copyto(index, leaf)
            np.take(values, index, out=taken, mode="wrap")  # "raise" would copy; every index is in range
            total += taken


@dataclass(frozen=True, slots=True)
class ObliviousBoosting:
    """How trees are grown.

    Attributes
    ----------
    trees, depth, rate : how many, how deep, and what share of each leaf's mean is taken.
    ridge : rows' worth of zero that every leaf mean is shrunk with.
    row_share, feature_share : of the training rows and of the features that a tree sees.
    bins : thresholds considered a feature, at most.
    clip : where residuals are cut, in units of the target; None does not.
    seed : of the random parts.
    """

    trees: int = 500
    depth: int = 6
    rate: float = 0.1
    ridge: float = 2.0
    row_share: float = 0.7
    feature_share: float = 0.4
    bins: int = 128
    clip: float | None = None
    seed: int = 0

    def fit(self, x: NDArray[np.floating[Any]], y: Array) -> ObliviousTrees:
        """Grow the trees on (n, features) and (n,)."""
        rng = np.random.default_rng(self.seed)
        edges = [_edges(x[:, f], self.bins) for f in range(x.shape[1])]
        codes = np.stack([np.searchsorted(e, x[:, f], side="left") for f, e in enumerate(edges)]).astype(np.int32)
        start = float(np.mean(y) if self.clip is None else np.median(y))
        predicted = np.full(len(y), start)
        chosen = max(1, round(self.feature_share * x.shape[1]))
        grown: list[tuple[list[int], list[int], Array]] = []
        for _ in range(self.trees):
            part = np.flatnonzero(rng.random(len(y)) < self.row_share)
            if not len(part):
                part = np.arange(len(y))
            gradient = y - predicted
            if self.clip is not None:
                gradient = np.clip(gradient, -self.clip, self.clip)
            asked = rng.choice(x.shape[1], chosen, replace=False)
            questions, leaf = _grow(codes[:, part], gradient[part], asked, self.depth, self.bins + 1, self.ridge)
            sums = np.bincount(leaf, gradient[part], 1 << self.depth)
            values = self.rate * sums / (np.bincount(leaf, minlength=1 << self.depth) + self.ridge)
            everywhere = np.zeros(len(y), dtype=np.int32)
            for feature, cut in questions:
                everywhere = everywhere * 2 + (codes[feature] > cut)
            predicted += values[everywhere]
            grown.append(([f for f, _ in questions], [c for _, c in questions], values))
        return _arrays(grown, edges, start)


def _edges(column: NDArray[np.floating[Any]], bins: int) -> Array:
    """Thresholds in rising order: between neighbours where they are few, else at quantiles."""
    values = np.unique(np.asarray(column, dtype=np.float64))
    if len(values) <= bins:
        return np.asarray((values[1:] + values[:-1]) / 2)
    return np.unique(np.quantile(column, np.linspace(0, 1, bins + 1)[1:-1]))


def _grow(
    codes: NDArray[np.int32], gradient: Array, asked: NDArray[np.int64], depth: int, width: int, ridge: float
) -> tuple[list[tuple[int, int]], NDArray[np.int32]]:
    """One question a level: the one that lowers the squared loss most over all leaves together."""
    leaf = np.zeros(len(gradient), dtype=np.int32)
    questions = []
    for level in range(depth):
        best = (-1.0, int(asked[0]), width)
        leaves = 1 << level
        for feature in asked:
            cell = leaf * width + codes[feature]
            sums = np.bincount(cell, gradient, leaves * width).reshape(leaves, width).cumsum(1)
            rows = np.bincount(cell, minlength=leaves * width).reshape(leaves, width).cumsum(1)
            right = (sums[:, -1:] - sums) ** 2 / (rows[:, -1:] - rows + ridge)
            gain = (sums**2 / (rows + ridge) + right).sum(0)
            cut = int(gain[:-1].argmax())
            if gain[cut] > best[0]:
                best = (float(gain[cut]), int(feature), cut)
        questions.append(best[1:])
        leaf = leaf * 2 + (codes[best[1]] > best[2])
    return questions, leaf


def _arrays(grown: list[tuple[list[int], list[int], Array]], edges: list[Array], start: float) -> ObliviousTrees:
    def threshold(feature: int, cut: int) -> float:
        return float(edges[feature][cut]) if cut < len(edges[feature]) else np.inf

    return ObliviousTrees(
        np.array([features for features, _, _ in grown], dtype=np.int16),
        np.array([[threshold(f, c) for f, c in zip(fs, cs, strict=True)] for fs, cs, _ in grown], dtype=np.float32),
        np.array([values for _, _, values in grown], dtype=np.float32),
        start,
    )
