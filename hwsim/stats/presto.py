"""PRESTO: the probability of the last, rare step of a graded failure, by shrinking towards proportional odds.

Proportional odds (McCullagh, Regression models for ordinal data, JRSS B 1980) lend the rare boundary the weights of
the common ones and are wrong where those differ; logistic regression on the rare class is right in the limit and noisy
with few positives. PRESTO lets the weights of neighbouring boundaries differ where the data ask for it: an L1 penalty
on beta_1 and on beta_k - beta_(k-1) (Faletto and Bien, ICML 2023, equation 6), its strength by cross-validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError, nearest
from hwsim.stats.ordinal_logit import Codes, Floats
from hwsim.stats.presto_path import OrdinalPath, PathRules, fit_path
from hwsim.stats.presto_tuning import Score, Tuning, cross_validate

Penalty = Literal["presto", "proportional_odds", "logistic"]


@dataclass(eq=False)
class OrdinalRisk:
    """Probabilities of K >= 2 ordered classes, the last of which may be rare.

    Parameters
    ----------
    penalty : `presto`; or, without any penalty, `proportional_odds` (one weight vector for all boundaries) or
        `logistic` (the last class against the rest, which is one class under the name of its highest).
    strength : lambda on standardised features; None chooses it by cross-validation.
    penalize_base : beta_1 is penalised too, see `stats.presto_path.PathRules`.
    score : that cross-validation minimises: multi-class `brier`, `log_loss`, or `rare_brier` of the last class.
    folds : of cross-validation, stratified; a class with fewer rows lowers them to its rows, two at least.
    strengths, least : values of lambda on the path, and the last as a share of the first.
    tolerance, max_iterations : of each fit, see `stats.proximal.minimise`.
    seed : of the folds.

    Attributes
    ----------
    classes_ : labels, ascending.
    alpha_ : intercepts, (K - 1,).
    psi_ : beta_1 and the differences beta_k - beta_(k-1), in the units of the features, (K - 1, features): a feature
        whose psi_k is not zero is one "whose effect changes at step k".
    beta_ : weights of the boundaries, (K - 1, features); P(Y <= k | x) = sigmoid(alpha_k + beta_k'x).
    lambda_ : chosen strength, 0 without penalty.
    crossing_rate_ : share of training rows whose cumulative probabilities cross and are projected.
    path_ : fits on all rows at every strength; one without penalty or with a strength given.
    cv_ : cross-validation, None where there was none; its `crossing` is that of left-out rows.
    converged_ : the fit met its tolerance; a class that features separate exactly has no finite fit without penalty.
    """

    penalty: Penalty = "presto"
    strength: float | None = None
    penalize_base: bool = True
    score: Score = "brier"
    folds: int = 5
    strengths: int = 20
    least: float = 0.01
    tolerance: float = 1e-5
    max_iterations: int = 10_000
    seed: int = 0
    classes_: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64), init=False, repr=False)
    path_: OrdinalPath | None = field(default=None, init=False, repr=False)
    cv_: Tuning | None = field(default=None, init=False, repr=False)
    chosen_: int = field(default=0, init=False, repr=False)
    crossing_rate_: float = field(default=0.0, init=False, repr=False)

    def fit(self, x: ArrayLike, y: ArrayLike) -> Self:
        """Fit on features (rows, features) and integer labels (rows,), any integers in the order of severity."""
        self._check()
        features = _features(x)
        self.classes_, codes = _classes(y, len(features))
        if self.penalty == "logistic":
            self.classes_, codes = self.classes_[-2:], (codes == len(self.classes_) - 1).astype(np.intp)
        rules = PathRules(
            penalize_base=self.penalize_base,
            parallel=self.penalty != "presto",
            count=self.strengths,
            least=self.least,
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
        )
        given = None if self.strength is None else np.array([float(self.strength)])
        path = fit_path(features, codes, rules, given)
        self.cv_, self.chosen_ = None, 0
        if self.penalty == "presto" and given is None:
            self.cv_ = cross_validate(features, codes, path.strengths, rules, self.folds, self.score, self.seed)
            self.chosen_ = self.cv_.chosen
        self.path_ = path
        self.crossing_rate_ = self.crossing_rate(features)
        return self

    def predict_proba(self, x: ArrayLike) -> Floats:
        """(rows, classes), in the order of `classes_`; cumulative probabilities that cross are projected first."""
        return np.asarray(self._at().probabilities(self._known(x))[0])

    def rare_probability(self, x: ArrayLike) -> Floats:
        """Of the last class, (rows,)."""
        return self.predict_proba(x)[:, -1]

    def predict(self, x: ArrayLike) -> NDArray[np.int64]:
        """The most probable label of each row."""
        return np.asarray(self.classes_[self.predict_proba(x).argmax(axis=1)])

    def crossing_rate(self, x: ArrayLike) -> float:
        """Share of rows whose cumulative probabilities cross before the projection."""
        return float(self._at().crossing(self._known(x))[0])

    @property
    def alpha_(self) -> Floats:
        return np.asarray(self._at().alpha[0])

    @property
    def psi_(self) -> Floats:
        return np.asarray(self._at().psi[0])

    @property
    def beta_(self) -> Floats:
        return np.asarray(self._at().beta[0])

    @property
    def lambda_(self) -> float:
        return float(self._at().strengths[0])

    @property
    def converged_(self) -> bool:
        return bool(self._at().converged[0])

    def as_dict(self) -> dict[str, Any]:
        """Settings and fit as JSON."""
        path = self._path().as_dict()
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        fitted = {"classes": self.classes_.tolist(), "chosen": self.chosen_, "crossing_rate": self.crossing_rate_}
        return settings | fitted | {"path": path, "cv": None if self.cv_ is None else self.cv_.as_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OrdinalRisk:
        found = cls(**{f.name: data[f.name] for f in fields(cls) if f.init})
        found.classes_ = np.asarray(data["classes"], dtype=np.int64)
        found.chosen_, found.crossing_rate_ = int(data["chosen"]), float(data["crossing_rate"])
        found.path_ = OrdinalPath.from_dict(data["path"])
        found.cv_ = None if data["cv"] is None else Tuning.from_dict(data["cv"])
        return found

    def _path(self) -> OrdinalPath:
        if self.path_ is None:
            raise InputError("it is not fitted yet", where="presto", hint="call fit first")
        return self.path_

    def _at(self) -> OrdinalPath:
        """The path at the chosen strength alone."""
        return self._path().only(self.chosen_)

    def _known(self, x: ArrayLike) -> Floats:
        features, width = _features(x), self._path().psi.shape[2]
        if features.shape[1] != width:
            raise InputError(f"{features.shape[1]} features, fitted on {width}", where="presto")
        return features

    def _check(self) -> None:
        for name, word, allowed in (
            ("penalty", self.penalty, get_args(Penalty)),
            ("score", self.score, get_args(Score)),
        ):
            if word not in allowed:
                raise InputError(f"{name} {word!r}", where="presto", hint=nearest(str(word), allowed))
        if self.strength is not None and not 0 <= self.strength < np.inf:
            raise InputError(f"strength {self.strength}", where="presto", hint="allowed: 0 and above, finite; or None")
        if self.folds < 2:
            raise InputError(f"{self.folds} folds", where="presto", hint="allowed: 2 and above")
        if self.strengths < 1 or not 0 < self.least < 1:
            raise InputError(
                f"a path of {self.strengths} strengths down to {self.least} of the first",
                where="presto",
                hint="allowed: 1 strength and above, down to a share between 0 and 1",
            )


def _features(x: ArrayLike) -> Floats:
    try:
        found = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"features that are not numbers: {error}", where="presto") from None
    if found.ndim != 2:
        raise InputError(f"features of shape {found.shape}", where="presto", hint="allowed: (rows, features)")
    wrong = ~np.isfinite(found)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise InputError(
            f"{int(wrong.sum())} features are not finite, the first in row {row}, column {column}", where="presto"
        )
    return found


def _classes(y: ArrayLike, rows: int) -> tuple[NDArray[np.int64], Codes]:
    """(labels in ascending order, code of each row)."""
    labels = np.asarray(y)
    if labels.shape != (rows,):
        raise InputError(f"labels of shape {labels.shape} for {rows} rows", where="presto", hint="one label a row")
    whole = labels.dtype.kind in "iub" or (labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all()))
    if not whole or not np.isfinite(labels).all():
        odd = next((v for v in labels.tolist() if not isinstance(v, int | float) or v % 1 != 0), labels.dtype)
        raise InputError(
            f"labels are not integers, for instance {odd!r}",
            where="presto",
            hint="number the classes in their order, the last one the rare one",
        )
    classes, codes = np.unique(labels.astype(np.int64), return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"{len(classes)} class among {rows} labels", where="presto", hint="two at least")
    return classes, np.asarray(codes.reshape(-1), dtype=np.intp)
