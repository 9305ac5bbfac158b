"""Which strength of the penalty: stratified cross-validation with proper scores.

Left-out rows are predicted from the cumulated weights; the public R code of the paper takes differences for weights
there, and so tunes another predictor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hwsim.core.errors import InputError
from hwsim.stats.ordinal_logit import Codes, Floats
from hwsim.stats.presto_path import PathRules, fit_path

Score = Literal["brier", "log_loss", "rare_brier"]
_LEAST_PROBABILITY = 1e-8  # a projection may leave a class none; the floor of the paper's code


@dataclass(frozen=True, slots=True, eq=False)
class Tuning:
    """What cross-validation found, strongest penalty first.

    Attributes
    ----------
    strengths : lambda.
    score : mean over folds, smaller is better.
    error : standard error of `score` over folds.
    crossing : share of left-out rows whose cumulative probabilities cross.
    chosen : index of the largest lambda that attains the smallest score.
    folds : used; fewer than asked for where a class has fewer rows.
    """

    strengths: Floats
    score: Floats
    error: Floats
    crossing: Floats
    chosen: int
    folds: int

    def as_dict(self) -> dict[str, Any]:
        """Lists of numbers."""
        lists = {name: getattr(self, name).tolist() for name in ("strengths", "score", "error", "crossing")}
        return lists | {"chosen": self.chosen, "folds": self.folds}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tuning:
        lists = {name: np.asarray(data[name], dtype=np.float64) for name in ("strengths", "score", "error", "crossing")}
        return cls(**lists, chosen=int(data["chosen"]), folds=int(data["folds"]))


def stratified_folds(codes: Codes, folds: int, seed: int) -> Codes:
    """Fold of each row: the shuffled rows of the classes are dealt in turn, so every class is spread evenly.

    A class with fewer rows than folds lowers the number of folds to its rows; two are the least.
    """
    counts = np.bincount(codes)
    folds = min(folds, int(counts.min()))
    if folds < 2:
        raise InputError(
            f"class number {int(counts.argmin()) + 1} of {len(counts)} has one row, and cross-validation needs two",
            where="presto",
            hint="merge it with its neighbour, give more rows, or give the penalty's strength",
        )
    shuffled = np.random.default_rng(seed).permutation(len(codes))
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    found = np.empty(len(codes), dtype=np.intp)
    found[order] = np.arange(len(codes)) % folds
    return found


def scores(probabilities: Floats, codes: Codes, score: Score) -> Floats:
    """Mean score of class probabilities (..., rows, classes) against the rows' codes.

    `brier` sums squared errors over all classes (Brier, Monthly Weather Review 1950), `rare_brier` has the last alone.
    """
    if score == "log_loss":
        own = probabilities[..., np.arange(len(codes)), codes]
        return np.asarray(-np.log(np.maximum(own, _LEAST_PROBABILITY)).mean(axis=-1))
    truth = np.eye(probabilities.shape[-1])[codes]
    if score == "rare_brier":
        return np.asarray(((probabilities[..., -1] - truth[..., -1]) ** 2).mean(axis=-1))
    return np.asarray(((probabilities - truth) ** 2).sum(axis=-1).mean(axis=-1))


def cross_validate(
    x: Floats, codes: Codes, strengths: Floats, rules: PathRules, folds: int, score: Score, seed: int
) -> Tuning:
    """Score every strength on rows that its fits did not see."""
    fold = stratified_folds(codes, folds, seed)
    used = int(fold.max()) + 1
    found, crossing = np.empty((used, len(strengths))), np.zeros(len(strengths))
    for number in range(used):
        out = fold == number
        path = fit_path(x[~out], codes[~out], rules, strengths)
        found[number] = scores(path.probabilities(x[out]), codes[out], score)
        crossing += path.crossing(x[out]) * out.sum() / len(codes)
    mean = found.mean(axis=0)
    error = found.std(axis=0, ddof=1) / np.sqrt(used)
    return Tuning(strengths, mean, error, crossing, int(np.argmin(mean)), used)
