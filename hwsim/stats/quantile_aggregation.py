"""One predictive law out of many: quantiles of base models, mixed by weights that a proper score chooses.

Quantile functions are averaged, not distribution functions: averages keep the shape of location-scale families and
stay sharp. Weights are convex, the same everywhere or a function of features, one a model, one a model and level, or
one a model, level and level it predicts. They are trained on base predictions of rows that the base models did not see
(`quantile_folds`), by the pinball loss averaged over levels plus a penalty of crossing. Convex weights never leave the
range of the base predictions: model multiplicative targets, such as latencies, by their logarithm.

Source: Fakoor, Kim, Mueller, Smola and Tibshirani, Flexible Model Aggregation for Quantile Regression, JMLR 2023,
arXiv 2103.00083.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError, nearest
from hwsim.stats.aggregation_weights import (
    RESOLUTIONS,
    AggregationLoss,
    Resolution,
    fit_global,
    logits_shape,
    mix,
    softmax,
)
from hwsim.stats.crossing_penalty import CrossingPenalty
from hwsim.stats.local_weights import Training, WeightNet, fit_local, refitted
from hwsim.stats.monotone_quantiles import Monotonise, checked_operator, monotone
from hwsim.stats.quantile_folds import split_groups
from hwsim.stats.quantile_metrics import Floats, checked_finite, checked_levels

Scope = Literal["global", "local"]
Base = Mapping[str, ArrayLike] | ArrayLike
_WHERE = "quantile-aggregation"


@dataclass
class QuantileAggregation:
    """Weights over base models, and the quantiles they give.

    Parameters
    ----------
    levels : of base predictions and of the aggregate, ascending in (0, 1).
    scope : `global` weights, or `local` ones, a small network of features (trained by torch, evaluated by numpy).
    resolution : `coarse`, `medium` or `fine`, see `aggregation_weights`.
    crossing : penalty in training.
    monotonise : what makes predictions ascend, see `monotone_quantiles`; None leaves them as mixed.
    order_base : sort each model's quantiles before they are mixed. That costs no model anything (see
        `monotone_quantiles`), and coarse weights then never cross; the paper mixes them as they come.
    training : of local weights.
    seed : of the validation part, the network and its batches.

    Attributes
    ----------
    models_ : names of the base models, "0", "1", ... where they came as an array.
    logits_ : of global weights; of local ones the shape counts.
    net_ : the network of local weights, or None.
    validation_rows_ : rows of `fit` that chose when local training stops. No conformal score may come from them, nor
        from any other row of `fit`.
    """

    levels: tuple[float, ...]
    scope: Scope = "global"
    resolution: Resolution = "fine"
    crossing: CrossingPenalty = field(default_factory=CrossingPenalty)
    monotonise: Monotonise | None = "sort"
    order_base: bool = True
    training: Training = field(default_factory=Training)
    seed: int = 0
    models_: tuple[str, ...] = field(default=(), init=False)
    logits_: Floats = field(default_factory=lambda: np.zeros(0), init=False)
    net_: WeightNet | None = field(default=None, init=False)
    validation_rows_: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp), init=False)

    def __post_init__(self) -> None:
        self.levels = tuple(checked_levels(self.levels).tolist())
        if self.scope not in ("global", "local"):
            raise InputError(f"scope {self.scope!r}", where=_WHERE, hint=nearest(self.scope, ("global", "local")))
        if self.resolution not in RESOLUTIONS:
            raise InputError(
                f"resolution {self.resolution!r}", where=_WHERE, hint=nearest(self.resolution, RESOLUTIONS)
            )
        checked_operator(self.monotonise)

    def fit(self, base: Base, truth: ArrayLike, x: ArrayLike | None = None, groups: ArrayLike | None = None) -> Self:
        """Choose the weights.

        Parameters
        ----------
        base : predictions of rows that the base models did not see: (rows, levels) by name, or one array of (rows,
            models, levels).
        truth : (rows), in the units of the predictions.
        x : features (rows, features), for local weights.
        groups : rows of a group go to the validation part of local training together; without them rows go alone.
        """
        self.models_ = _names(base)
        stacked = self._stacked(base)
        y = checked_finite(truth, (len(stacked),), "truth")
        if len(y) == 0:
            raise InputError("no row to fit on", where=_WHERE)
        unit = float(y.std()) or 1.0
        stacked, y = stacked / unit, y / unit
        if self.scope == "global":
            self.logits_ = fit_global(self._loss(stacked, y))
            self.net_, self.validation_rows_ = None, np.zeros(0, dtype=np.intp)
            return self
        features = self._features(x, len(y), None)
        held = split_groups(np.arange(len(y)) if groups is None else groups, self.training.validation, self.seed)
        if len(held) != len(y):
            raise InputError(f"{len(held)} groups of {len(y)} rows", where=_WHERE, hint="one label a row")
        self._fit_local(stacked, y, features, held)
        return self

    def _loss(self, base: Floats, truth: Floats) -> AggregationLoss:
        return AggregationLoss.of(base, truth, np.array(self.levels), self.resolution, self.crossing)

    def _fit_local(self, base: Floats, y: Floats, x: Floats, held: NDArray[np.bool_]) -> None:
        loss, self.validation_rows_ = self._loss(base[~held], y[~held]), np.flatnonzero(held)
        self.logits_ = fit_global(loss)
        early_stop = base[held], y[held], x[held]
        self.net_, steps = fit_local(
            loss, x[~held], self.logits_, self.training, early_stop, self.monotonise, self.seed
        )
        if self.training.refit:
            loss = self._loss(base, y)
            self.logits_ = fit_global(loss)
            self.net_ = refitted(loss, x, self.logits_, self.training, steps, self.seed)

    def predict(self, base: Base, x: ArrayLike | None = None) -> Floats:
        """Quantiles (rows, levels), ascending unless `monotonise` is None."""
        stacked = self._stacked(base)
        if self.net_ is None:
            return monotone(mix(softmax(self.logits_), stacked, self.resolution), self.monotonise)
        out = np.empty((len(stacked), len(self.levels)))
        for rows, weights in self.net_.chunks(self._features(x, len(stacked), self.net_), self.logits_.shape):
            out[rows] = mix(weights, stacked[rows], self.resolution)
        return monotone(out, self.monotonise)

    def weights(self, x: ArrayLike | None = None) -> Floats:
        """Weights, >= 0 with sum 1 over models (coarse, medium) or models and levels (fine).

        Shapes are (models), (levels, models) and (levels to predict, models, levels); local ones have rows in front.
        """
        self._ask_fitted()
        if self.net_ is None:
            found = softmax(self.logits_)
        else:
            features = self._features(x, None, self.net_)
            found = np.concatenate([w for _, w in self.net_.chunks(features, self.logits_.shape)])
        if self.resolution == "fine":
            return found.reshape(*found.shape[:-1], len(self.models_), len(self.levels))
        return found

    def as_dict(self) -> dict[str, Any]:
        """JSON, exact in float64."""
        self._ask_fitted()
        return {
            "levels": list(self.levels),
            "scope": self.scope,
            "resolution": self.resolution,
            "crossing": asdict(self.crossing),
            "monotonise": self.monotonise,
            "order_base": self.order_base,
            "training": asdict(self.training),
            "seed": self.seed,
            "models": list(self.models_),
            "logits": self.logits_.tolist(),
            "net": None if self.net_ is None else self.net_.as_dict(),
            "validation_rows": self.validation_rows_.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `as_dict` gave; an error names models and weights that do not belong together."""
        training = Training(**{**data["training"], "hidden": tuple(data["training"]["hidden"])})
        crossing = CrossingPenalty(**data["crossing"])
        made = cls(
            tuple(data["levels"]),
            data["scope"],
            data["resolution"],
            crossing,
            data["monotonise"],
            bool(data["order_base"]),
            training,
            int(data["seed"]),
        )
        made.models_ = tuple(data["models"])
        made.logits_ = np.array(data["logits"], dtype=np.float64)
        made.net_ = None if data["net"] is None else WeightNet.from_dict(data["net"])
        made.validation_rows_ = np.array(data["validation_rows"], dtype=np.intp)
        expected = logits_shape(made.resolution, len(made.models_), len(made.levels))
        if made.logits_.shape != expected:
            names = ", ".join(made.models_)
            raise InputError(
                f"weights of shape {made.logits_.shape} for the models {names}",
                where=_WHERE,
                hint=f"expected {expected}",
            )
        if (made.net_ is None) != (made.scope == "global"):
            raise InputError(f"{made.scope} weights and net {data['net'] is not None}", where=_WHERE)
        return made

    def _ask_fitted(self) -> None:
        if not self.models_:
            raise InputError("not fitted", where=_WHERE, hint="call fit, or from_dict")

    def _stacked(self, base: Base) -> Floats:
        """(rows, models, levels) in the order of `models_`."""
        self._ask_fitted()
        given = _names(base)
        unknown, missing = sorted(set(given) - set(self.models_)), sorted(set(self.models_) - set(given))
        if unknown or missing:
            said = f"no predictions of {', '.join(missing)}" if missing else f"no weights of {', '.join(unknown)}"
            raise InputError(said, where=_WHERE, hint=f"the models are {', '.join(self.models_)}")
        levels = len(self.levels)
        if isinstance(base, Mapping):
            first = np.asarray(base[self.models_[0]])
            shape = (len(first) if first.ndim else None, levels)
            each = [checked_finite(base[m], shape, f"predictions of {m}") for m in self.models_]
            found = np.stack(each, axis=1)
        else:
            found = checked_finite(base, (None, len(self.models_), levels), "base predictions")
        return np.sort(found, axis=2) if self.order_base else found

    def _features(self, x: ArrayLike | None, rows: int | None, net: WeightNet | None) -> Floats:
        if x is None:
            raise InputError("local weights need features", where=_WHERE, hint="give x, or use scope='global'")
        return checked_finite(x, (rows, None if net is None else len(net.centre)), "features x")


def _names(base: Base) -> tuple[str, ...]:
    if isinstance(base, Mapping):
        names = tuple(str(name) for name in base)
    else:
        shape = np.shape(base)
        if len(shape) != 3:
            raise InputError(f"base predictions of shape {shape}", where=_WHERE, hint="expected (rows, models, levels)")
        names = tuple(str(j) for j in range(shape[1]))
    if not names:
        raise InputError("no base model", where=_WHERE)
    return names
