"""Fits `expected.json` on graphs of random matrices.

    python -m hwsim.cost_models.adder_graph.fit [--matrices N]

draws shapes, formats, densities and input widths at random, builds every graph, fits the ratios of `expected` with
ridge regression, and prints and stores their errors by cross-validation (five folds). Minutes for the default.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.core.formats import Format, int_format, minifloat
from hwsim.cost_models.adder_graph.build import adder_graph
from hwsim.cost_models.adder_graph.expected import (
    FILE,
    RATIOS,
    all_multiples,
    digit_statistics,
    logarithms,
    quadratic,
    without_sharing,
)
from hwsim.cost_models.adder_graph.price import area
from hwsim.cost_models.adder_graph.stages import registers

FORMATS: tuple[Format, ...] = (
    *(int_format(bits) for bits in range(2, 9)),
    *(minifloat(e, m) for e, m in ((2, 0), (2, 1), (2, 3), (3, 0), (3, 2), (4, 2), (4, 3))),
)
LEAST_TERMS, LEAST_DIGITS, MOST_DIGITS, MOST_PAIRS = 4, 40, 6000, 200_000
RIDGE = 1e-4


@dataclass(frozen=True, slots=True)
class Sample:
    """A random matrix: logarithms as `expected.features` has them, and the ratios found."""

    logs: tuple[float, ...]
    ratios: tuple[float, ...]
    lut: float
    alone: float


def sample(rng: np.random.Generator) -> Sample | None:
    """One matrix and its graph; None for one too small or too large."""
    outputs, inputs = int(2 ** rng.uniform(0, 7)), int(2 ** rng.uniform(2, 7.5))
    values = all_multiples(FORMATS[int(rng.integers(len(FORMATS)))])
    keep = 1.0 if rng.random() < 0.5 else rng.uniform(0.1, 1.0)
    matrix = rng.choice(values, (outputs, inputs)) * (rng.random((outputs, inputs)) < keep)
    input_bits, signed, levels = int(rng.integers(3, 11)), bool(rng.integers(2)), int(rng.integers(1, 5))
    digits = digit_statistics(matrix)
    terms = digits.nonzero * digits.digits * inputs
    total = terms * outputs
    if terms < LEAST_TERMS or not LEAST_DIGITS <= total <= MOST_DIGITS or terms * total / 2 > MOST_PAIRS:
        return None
    low = -(1 << (input_bits - 1)) if signed else 0
    graph = adder_graph(matrix, [(low, low + (1 << input_bits) - 1)] * inputs, effort="fast")
    alone = without_sharing(terms, outputs)
    found = area(graph)
    ff = registers(graph, levels).ff
    if not (found.lut and ff):
        return None
    ratios = (
        graph.adders / alone,
        found.lut / graph.adders,
        (found.inverters + 0.1) / graph.adders,
        graph.depth / np.log2(1.0 + terms),
        ff / found.lut,
    )
    logs = logarithms(digits, terms, outputs, input_bits, levels)
    return Sample((*logs, float(signed)), ratios, found.lut, alone)


def fitted(form: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ridge regression; the constant is not penalised."""
    penalty = RIDGE * len(form) * np.diag([0.0] + [1.0] * (form.shape[1] - 1))
    return np.asarray(np.linalg.solve(form.T @ form + penalty, form.T @ target), dtype=np.float64)


def held_out(form: NDArray[np.float64], target: NDArray[np.float64], folds: int = 5) -> NDArray[np.float64]:
    """Predictions of each row by a fit without its fold."""
    found = np.empty_like(target)
    for fold in range(folds):
        out = np.arange(len(target)) % folds == fold
        found[out] = form[out] @ fitted(form[~out], target[~out])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--matrices", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    samples: list[Sample] = []
    while len(samples) < options.matrices:
        one = sample(rng)
        samples += [one] if one else []
    logs = np.array([s.logs for s in samples])
    targets = np.log([s.ratios for s in samples])
    form = quadratic(logs)
    predicted = np.array([held_out(form, column) for column in targets.T]).T
    lut = np.array([s.alone for s in samples]) * np.exp(predicted[:, 0] + predicted[:, 1])
    errors = np.abs(lut / np.array([s.lut for s in samples]) - 1.0)
    shown = {"lut": [round(float(np.quantile(errors, q)), 4) for q in (0.5, 0.9, 1.0)]}
    for place, name in enumerate(RATIOS):
        wrong = np.abs(np.expm1(predicted[:, place] - targets[:, place]))
        shown[f"{name} ratio"] = [round(float(np.quantile(wrong, q)), 4) for q in (0.5, 0.9, 1.0)]
    stored = {
        "matrices": len(samples),
        "errors, held out (median, p90, worst)": shown,
        "range": {"low": logs[:, :-1].min(axis=0).tolist(), "high": logs[:, :-1].max(axis=0).tolist()},
        "coefficients": {name: fitted(form, targets[:, k]).round(6).tolist() for k, name in enumerate(RATIOS)},
    }
    FILE.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
