"""How well three models find the probability of a rare class: the sparse-difference simulation of PRESTO's paper.

    python tests/benchmarks/presto_simulation.py --seeds 30

Faletto and Bien, Predicting rare events by shrinking towards proportional odds (ICML 2023), section 4: n = 2500,
p = 10, K = 4, X ~ U(-1, 1), intercepts (0, 3, 5); entries of beta_1 are 0.5, those of each difference +-0.5, with
probability q, else 0; drawn again where a probability is negative or a class is absent. The figure is the mean squared
error of the last class's probability against the truth on the rows of the fit.
"""

from __future__ import annotations

import argparse
import time
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray

from hwsim.stats import OrdinalRisk

Floats = NDArray[np.float64]
MODELS = {
    "logistic": OrdinalRisk("logistic"),
    "proportional odds": OrdinalRisk("proportional_odds"),
    "PRESTO": OrdinalRisk(),
    "PRESTO, beta_1 free": OrdinalRisk(penalize_base=False),
}


def draw(seed: int, n: int = 2500, p: int = 10, q: float = 0.5) -> tuple[Floats, NDArray[np.int64], Floats]:
    """(features, labels 0..3, true probabilities)."""
    rng = np.random.default_rng(seed)
    intercepts = np.array([0.0, 3.0, 5.0])
    while True:
        x = rng.uniform(-1, 1, (n, p))
        psi = 0.5 * (rng.random((3, p)) < q)
        psi[1:] *= rng.choice([-1.0, 1.0], (2, p))
        below = 1 / (1 + np.exp(-(intercepts + x @ np.cumsum(psi, axis=0).T)))
        truth = np.diff(np.column_stack([np.zeros(n), below, np.ones(n)]), axis=1)
        labels = (rng.random((n, 1)) > below).sum(axis=1)
        if (truth >= 0).all() and len(np.unique(labels)) == 4:
            return x, labels, truth


def rare_errors(seeds: range, names: tuple[str, ...] = tuple(MODELS)) -> dict[str, list[float]]:
    """Mean squared error of the rare probability of every model, a seed an entry."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for seed in seeds:
        x, y, truth = draw(seed)
        for name in names:
            predicted = MODELS[name].fit(x, y).rare_probability(x)
            found[name].append(float(np.mean((predicted - truth[:, -1]) ** 2)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    found = rare_errors(range(options.first, options.first + options.seeds))
    print(f"{'model':22s} {'mean e-5':>9s} {'median e-5':>11s} {'PRESTO wins':>12s}")
    for name, errors in found.items():
        wins = mean(a < b for a, b in zip(found["PRESTO"], errors, strict=True))
        shown = "" if name == "PRESTO" else f"{wins:.0%}"
        print(f"{name:22s} {mean(errors) * 1e5:9.2f} {median(errors) * 1e5:11.2f} {shown:>12s}")
    print(f"{options.seeds} seeds, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
