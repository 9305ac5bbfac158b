"""Cross-conformal intervals (CV+): no row is spent on calibration alone.

Rows are left out in folds, or in the groups given; every fold has a model that never saw it. The interval of a new
point runs from the lower to the upper finite-sample quantile of {model without i's fold at the point, minus or plus
i's left-out residual} over all rows i. It covers at least 1 - 2 alpha of exchangeable rows whatever the model, and
about 1 - alpha in practice; with one row a fold it is the jackknife+ (Barber, Candes, Ramdas and Tibshirani,
Predictive inference with the jackknife+, Ann. Statist. 2021, theorems 1 and 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError
from hwsim.stats.conformal import Floats, Residual, scores_of

_TINY = 1e-12


class Regressor(Protocol):
    """What scikit-learn calls a regressor."""

    def fit(self, x: Any, y: Any) -> Any: ...

    def predict(self, x: Any) -> Any: ...


@dataclass
class CrossConformal:
    """CV+ around any regressor.

    Parameters
    ----------
    make : makes a new, unfitted regressor.
    coverage : nominal, 1 - alpha.
    folds, seed : random folds where `fit` gets no groups.
    residual : `absolute`, `relative` or `log`, see `stats.conformal.scores_of`.

    Attributes
    ----------
    models_ : one a fold.
    fold_of_ : of each training row.
    residuals_ : |residual| of each training row by the model without its fold.
    """

    make: Callable[[], Regressor]
    coverage: float = 0.9
    folds: int = 10
    seed: int = 0
    residual: Residual = "absolute"
    models_: list[Regressor] = field(default_factory=list, init=False)
    fold_of_: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp), init=False)
    residuals_: Floats = field(default_factory=lambda: np.zeros(0), init=False)

    def fit(self, x: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit one model a fold; rows of a group are left out together."""
        a, b = np.asarray(x), np.asarray(y, dtype=np.float64)
        self.fold_of_ = _folds(len(b), self.folds, self.seed) if groups is None else _codes(groups)
        if self.fold_of_.max(initial=0) == 0:
            raise InputError("one fold leaves no row to fit on", where="cross-conformal", hint="two groups at least")
        self.models_, self.residuals_ = [], np.zeros(len(b))
        for fold in range(int(self.fold_of_.max()) + 1):
            out = self.fold_of_ == fold
            model = self.make()
            model.fit(a[~out], b[~out])
            self.models_.append(model)
            self.residuals_[out] = np.abs(scores_of(b[out], model.predict(a[out]), 1.0, self.residual))
        return self

    def predict(self, x: ArrayLike) -> Floats:
        """Median of the models."""
        return np.asarray(np.median(self._predictions(np.asarray(x)), axis=0))

    def predict_interval(self, x: ArrayLike) -> tuple[Floats, Floats]:
        """(low, high) of each row; infinite where there are too few training rows for the coverage."""
        p, r = self._predictions(np.asarray(x))[self.fold_of_], self.residuals_[:, None]
        if self.residual == "absolute":
            below, above = p - r, p + r
        elif self.residual == "relative":
            below, above = p * (1 - r), p * (1 + r)
        else:
            below, above = p * np.exp(-r), p * np.exp(r)
        n = len(r)
        k_low = floor((n + 1) * (1 - self.coverage) + _TINY)
        k_high = ceil((n + 1) * self.coverage - _TINY)
        low = np.sort(below, axis=0)[k_low - 1] if k_low >= 1 else np.full(p.shape[1], -np.inf)
        high = np.sort(above, axis=0)[k_high - 1] if k_high <= n else np.full(p.shape[1], np.inf)
        return low, high

    def _predictions(self, x: NDArray[Any]) -> Floats:
        """Of every model, (folds, rows)."""
        if not self.models_:
            raise InputError("predict before fit", where="cross-conformal")
        return np.stack([np.asarray(model.predict(x), dtype=np.float64) for model in self.models_])


def _folds(rows: int, folds: int, seed: int) -> NDArray[np.intp]:
    order = np.random.default_rng(seed).permutation(rows)
    found = np.empty(rows, dtype=np.intp)
    found[order] = np.arange(rows) % min(folds, rows)
    return found


def _codes(groups: ArrayLike) -> NDArray[np.intp]:
    return np.asarray(np.unique(np.asarray(groups), return_inverse=True)[1], dtype=np.intp)
