"""Predictions of base models for rows that they did not see: groups, never rows, are left out together.

Rows of a group (a network, a layer shape, a device) resemble each other; left out one by one, they would let a base
model that remembers look better than it is, and get weight for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError
from hwsim.stats.quantile_metrics import Floats, checked_finite, checked_levels


class QuantileLearner(Protocol):
    """A regressor whose `predict` gives (rows, levels)."""

    def fit(self, x: Any, y: Any) -> Any: ...

    def predict(self, x: Any) -> Any: ...


def out_of_fold_quantiles(
    learners: Mapping[str, Callable[[], QuantileLearner]],
    x: ArrayLike,
    truth: ArrayLike,
    groups: ArrayLike,
    levels: ArrayLike,
    *,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, Floats]:
    """(rows, levels) by name: each row predicted by a learner that saw no row of its group.

    Parameters
    ----------
    learners : by name, makes a new, unfitted learner of the `levels`.
    x, truth, groups : features (rows, ...), targets (rows), and the group of each row.
    folds : at most; each holds whole groups, and folds are about equally large.
    """
    features, y = np.asarray(x), checked_finite(truth, (None,), "truth")
    tau, fold_of = checked_levels(levels), group_fold_of(groups, folds, seed)
    if not len(features) == len(y) == len(fold_of):
        raise InputError(
            f"{len(features)} rows of features, {len(y)} truths, {len(fold_of)} groups", where="quantile-folds"
        )
    found = {}
    for name, make in learners.items():
        out = np.empty((len(y), len(tau)))
        for fold in range(int(fold_of.max()) + 1):
            left = fold_of == fold
            model = make()
            model.fit(features[~left], y[~left])
            predicted = model.predict(features[left])
            out[left] = checked_finite(predicted, (int(left.sum()), len(tau)), f"predictions of {name}")
        found[name] = out
    return found


def group_fold_of(groups: ArrayLike, folds: int = 5, seed: int = 0) -> NDArray[np.intp]:
    """Fold of each row: groups in random order, the largest first, each into the fold with fewest rows so far."""
    names = np.asarray(groups)
    if names.ndim != 1:
        raise InputError(f"groups of shape {names.shape}", where="quantile-folds", hint="one label a row")
    _, index, counts = np.unique(names, return_inverse=True, return_counts=True)
    if len(counts) < 2 or folds < 2:
        raise InputError(
            f"{len(counts)} groups in {folds} folds leave no row to fit on", where="quantile-folds", hint="two of each"
        )
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order], kind="stable")]
    filled, fold_of = np.zeros(min(folds, len(counts)), dtype=np.intp), np.empty(len(counts), dtype=np.intp)
    for group in order:
        fold_of[group] = int(np.argmin(filled))
        filled[fold_of[group]] += counts[group]
    return np.asarray(fold_of[index], dtype=np.intp)


def split_groups(groups: ArrayLike, share: float, seed: int = 0) -> NDArray[np.bool_]:
    """Mask of about `share` of the rows, in whole groups, and of at least one group but not all."""
    names = np.asarray(groups)
    _, index, counts = np.unique(names, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise InputError(f"{len(counts)} groups cannot be split", where="quantile-folds", hint="two groups at least")
    order = np.random.default_rng(seed).permutation(len(counts))
    taken = np.cumsum(counts[order]) <= max(share * len(names), counts[order[0]])
    taken[0], taken[-1] = True, False
    chosen = np.zeros(len(counts), dtype=bool)
    chosen[order] = taken
    return np.asarray(chosen[index])
