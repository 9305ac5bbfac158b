"""The probability that an HLS tool refuses a dense layer of hls4ml, or does not finish it.

The rule in words: the tool unrolls the products of one cycle, d_in d_out / reuse in the resource strategy and all
d_in d_out, whatever the reuse factor, in the latency strategy. From 4,096 of them on it never finished; below, it
nearly always did. Exceptions among 2,687 designs: three of 32 x 96 and all of 96 x 32 in the latency strategy (3,072
products), and 24 of 895 folded ones (four shapes, nearly all rows of neighbouring widths: they look like interrupted
jobs rather than like a limit). Between 128 and 1,024 products there are no data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError
from hwsim.cost_models.vendor.dense_rows import DenseDesigns, dense_failures, dense_reports
from hwsim.stats.conformal import group_folds

FILE = Path(__file__).parent.parent / "data" / "vendor_legality.json"
FINISHED_PRODUCTS = 3072  # the most that ever finished
REFUSED_PRODUCTS = 4096  # the least that always failed

Floats = NDArray[np.float64]


def unrolled_products(designs: DenseDesigns) -> NDArray[np.int64]:
    """Products that the tool lays out side by side."""
    return np.where(designs.latency, designs.macs, designs.multipliers)


def features(designs: DenseDesigns) -> dict[str, Floats]:
    """What the log odds are linear in."""
    products = np.log2(unrolled_products(designs))
    low, high = np.log2(FINISHED_PRODUCTS), np.log2(REFUSED_PRODUCTS)
    near = np.clip(1 - np.abs(products - low), 0, 1) * (products <= low)
    return {
        "beyond": np.clip((products - low) / (high - low), 0, 1),
        "near": near,
        "near latency": near * designs.latency,
        "near latency log2(d_in / d_out)": near * designs.latency * np.log2(designs.d_in / designs.d_out),
        "near latency bits": near * designs.latency * designs.bits / 16,
    }


@dataclass(frozen=True, slots=True)
class LegalityModel:
    """A logistic law.

    Attributes
    ----------
    intercept, coefficients : of the log odds of a refusal, by feature.
    """

    intercept: float
    coefficients: Mapping[str, float]

    def refusal(self, designs: DenseDesigns) -> Floats:
        """Probability that each design is refused or not finished."""
        odds = self.intercept + sum(self.coefficients[name] * values for name, values in features(designs).items())
        return np.asarray(1 / (1 + np.exp(-odds)))

    def as_dict(self) -> dict[str, Any]:
        return {
            "what": "log odds that HLS refuses a dense layer (hwsim.cost_models.vendor.legality)",
            "source": "github.com/Dendendelen/wa-hls4ml-search 8e70542, Apache-2.0; 1,700 of 2,687 designs failed",
            "intercept": self.intercept,
            "coefficients": dict(self.coefficients),
        }


@cache
def legality_model() -> LegalityModel:
    """The model that ships."""
    if not FILE.is_file():
        raise InputError("no coefficients", where=str(FILE), hint="python -m hwsim.cost_models.vendor.evaluate --write")
    data = json.loads(FILE.read_text())
    return LegalityModel(float(data["intercept"]), data["coefficients"])


def refusal_probability(
    d_in: ArrayLike, d_out: ArrayLike, bits: ArrayLike, reuse: ArrayLike, strategy: ArrayLike = "resource"
) -> Floats:
    """Probability that HLS refuses or does not finish dense layers; arguments broadcast, see `DenseDesigns.of`."""
    return legality_model().refusal(DenseDesigns.of(d_in, d_out, bits, reuse, strategy))


def fit_legality(designs: DenseDesigns, failed: NDArray[np.bool_]) -> LegalityModel:
    """Logistic regression with a weak ridge, which keeps the odds finite where the rule has no exception."""
    from sklearn.linear_model import LogisticRegression

    columns = features(designs)
    model = LogisticRegression(C=10.0, max_iter=10_000).fit(np.stack(list(columns.values()), axis=1), failed)
    fitted = {name: round(float(c), 4) for name, c in zip(columns, model.coef_[0], strict=True)}
    return LegalityModel(round(float(model.intercept_[0]), 4), fitted)


def legality_rows(folder: Path | None = None) -> tuple[DenseDesigns, NDArray[np.bool_]]:
    """All designs, and whether each failed."""
    done, failed = dense_reports(folder)[0], dense_failures(folder)
    columns = {n: np.concatenate([getattr(done, n), getattr(failed, n)]) for n in DenseDesigns.__slots__}
    return DenseDesigns(**columns), np.arange(len(done) + len(failed)) >= len(done)


def held_out_refusal(designs: DenseDesigns, failed: NDArray[np.bool_]) -> Floats:
    """Of each design, by a fit that saw no design of its layer shape.

    Among folded designs of the resource strategy alone it ranks backwards: nothing tells the few that failed from the
    others, and a fold that holds most of them leaves a fit with a lower rate of failures to predict them.
    """
    found = np.empty(len(designs))
    for out in group_folds(designs.shapes):
        found[out] = fit_legality(designs.take(~out), failed[~out]).refusal(designs.take(out))
    return found


def area_under_curve(failed: NDArray[np.bool_], probability: Floats) -> float:
    """Probability that a failed design ranks above a finished one; ties count half."""
    ordered = np.sort(probability[~failed])
    below = np.searchsorted(ordered, probability[failed], side="left")
    above = np.searchsorted(ordered, probability[failed], side="right")
    return float((below + above).mean() / 2 / len(ordered))
