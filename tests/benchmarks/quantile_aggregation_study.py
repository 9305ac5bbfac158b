"""Base models of log-latency against their plain mean and median and against the six schemes of aggregation.

    python tests/benchmarks/quantile_aggregation_study.py [--seed N] [--no-net] [--unsorted] [--crossing W]

Data are synthetic: three platforms, a roofline with launch overhead as location, jitter that grows with platform and
falls with size, stalls in one run of twenty. 1,500 rows train the base models, 400 the weights, 500 calibrate, 4,000
test. Scores are in units of log-latency.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hwsim.stats.conformal_quantiles import ConformalQuantiles
from hwsim.stats.crossing_penalty import CrossingPenalty
from hwsim.stats.monotone_quantiles import monotone
from hwsim.stats.quantile_aggregation import QuantileAggregation
from hwsim.stats.quantile_metrics import crossing_rate, interval_widths, pinball_loss, weighted_interval_score

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
SIZES = {"train": 1500, "aggregate": 400, "calibrate": 500, "test": 4000}
SCHEMES = [(scope, resolution) for scope in ("global", "local") for resolution in ("coarse", "medium", "fine")]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one purpose: features (log flops, log bytes, log batch, one-hot platform), log-latency, platform."""

    x: Any
    y: Any
    platform: Any


def latencies(rows: int, rng: np.random.Generator) -> Part:
    """Draw rows; see the module."""
    platform = rng.integers(0, 3, rows)
    flops, size, batch = rng.uniform(4, 11, rows), rng.uniform(3, 8, rows), rng.uniform(0, 3, rows)
    peak, bandwidth = np.array([6.0, 7.5, 9.0])[platform], np.array([4.0, 5.0, 6.5])[platform]
    overhead = np.array([0.2, 0.08, 0.03])[platform]
    bound = np.maximum(np.exp(flops + 0.8 * batch - peak - 2), np.exp(size + 0.5 * batch - bandwidth - 2))
    located = np.log(overhead + bound)
    jitter = np.array([0.03, 0.06, 0.12])[platform] * (1 + 1.5 * np.exp(-(flops - 4) / 2))
    stalls = (rng.random(rows) < 0.05) * (0.2 + rng.exponential(0.3, rows))
    y = located + jitter * rng.standard_normal(rows) + stalls
    return Part(np.column_stack([flops, size, batch, np.eye(3)[platform]]), y, platform)


def parts(seed: int) -> dict[str, Part]:
    rng = np.random.default_rng(seed)
    return {name: latencies(rows, rng) for name, rows in SIZES.items()}


class Neighbours:
    """Quantiles of the targets of the 40 nearest rows."""

    def fit(self, x: Any, y: Any) -> Self:
        from sklearn.neighbors import NearestNeighbors

        self.centre, self.spread = x.mean(axis=0), x.std(axis=0)
        self.y, self.tree = y, NearestNeighbors(n_neighbors=40).fit((x - self.centre) / self.spread)
        return self

    def predict(self, x: Any) -> Any:
        near = self.tree.kneighbors((x - self.centre) / self.spread, return_distance=False)
        return np.quantile(self.y[near], LEVELS, axis=1).T


class PerLevel:
    """One scikit-learn regressor a level."""

    def __init__(self, make: Callable[[float], Any]) -> None:
        self.models = [make(level) for level in LEVELS]

    def fit(self, x: Any, y: Any) -> Self:
        for model in self.models:
            model.fit(x, y)
        return self

    def predict(self, x: Any) -> Any:
        return np.column_stack([model.predict(x) for model in self.models])


class JointNet:
    """One network for all levels: two hidden layers of 64, Adam on the mean pinball loss."""

    def __init__(self, steps: int = 2500, seed: int = 0) -> None:
        self.steps, self.seed = steps, seed

    def fit(self, x: Any, y: Any) -> Self:
        import torch

        self.centre, self.spread, self.mean, self.unit = x.mean(axis=0), x.std(axis=0), y.mean(), y.std()
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            nn = torch.nn
            self.net = nn.Sequential(
                nn.Linear(x.shape[1], 64), nn.ELU(), nn.Linear(64, 64), nn.ELU(), nn.Linear(64, len(LEVELS))
            ).double()
            a, b = torch.from_numpy((x - self.centre) / self.spread), torch.from_numpy((y - self.mean) / self.unit)
            tau, optimiser = torch.tensor(LEVELS), torch.optim.Adam(self.net.parameters(), lr=2e-3)
            for _ in range(self.steps):
                rows = torch.randint(0, len(a), (128,))
                u = b[rows, None] - self.net(a[rows])
                optimiser.zero_grad()
                torch.maximum(tau * u, (tau - 1) * u).mean().backward()
                optimiser.step()
        return self

    def predict(self, x: Any) -> Any:
        import torch

        with torch.no_grad():
            return self.net(torch.from_numpy((x - self.centre) / self.spread)).numpy() * self.unit + self.mean


def learners(joint: bool = True) -> dict[str, Callable[[], Any]]:
    from sklearn.ensemble import HistGradientBoostingRegressor as Trees
    from sklearn.linear_model import QuantileRegressor

    made: dict[str, Callable[[], Any]] = {
        "kNN quantiles": Neighbours,
        "HistGB per level": lambda: PerLevel(lambda t: Trees(loss="quantile", quantile=t, max_iter=60, random_state=0)),
        "linear QR": lambda: PerLevel(lambda t: QuantileRegressor(quantile=t, alpha=0.0, solver="highs")),
    }
    return {**made, "joint net": JointNet} if joint else made


def base_predictions(data: Mapping[str, Part], joint: bool = True) -> dict[str, dict[str, Any]]:
    """Part -> model -> (rows, levels); models see the training part alone."""
    fitted = {name: make().fit(data["train"].x, data["train"].y) for name, make in learners(joint).items()}
    return {p: {n: m.predict(data[p].x) for n, m in fitted.items()} for p in ("aggregate", "calibrate", "test")}


def line(name: str, y: Any, raw: Any, seconds: float = 0.0) -> str:
    ordered = monotone(raw)
    scores = pinball_loss(y, raw, LEVELS), pinball_loss(y, ordered, LEVELS), weighted_interval_score(y, ordered, LEVELS)
    return f"{name:<20}" + "".join(f"{s:>11.4f}" for s in scores) + f"{crossing_rate(raw):>10.1%}{seconds:>9.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-net", action="store_true", help="without the joint network among the base models")
    parser.add_argument("--unsorted", action="store_true", help="mix base quantiles as they come")
    parser.add_argument("--crossing", type=float, default=1.0, help="weight of the penalty")
    given = parser.parse_args()
    data = parts(given.seed)
    began = time.perf_counter()
    base = base_predictions(data, not given.no_net)
    print(f"base models fitted in {time.perf_counter() - began:.1f} s")
    y, test = data["test"].y, base["test"]
    print(f"{'':<20}{'PL':>11}{'PL sorted':>11}{'WIS':>11}{'crossing':>10}{'fit s':>9}")
    for name, raw in test.items():
        print(line(name, y, raw))
    print(line("plain mean", y, np.mean(list(test.values()), axis=0)))
    print(line("plain median", y, np.median(list(test.values()), axis=0)))
    aggregate = data["aggregate"]
    for scope, resolution in SCHEMES:
        penalty = CrossingPenalty(given.crossing)
        model = QuantileAggregation(LEVELS, scope, resolution, penalty, None, not given.unsorted)
        began = time.perf_counter()
        model.fit(base["aggregate"], aggregate.y, aggregate.x)
        seconds = time.perf_counter() - began
        print(line(f"{scope} {resolution}", y, model.predict(test, data["test"].x), seconds))
    model = QuantileAggregation(LEVELS, "local", order_base=not given.unsorted)
    model.fit(base["aggregate"], aggregate.y, aggregate.x)
    held, raw = data["calibrate"], model.predict(test, data["test"].x)
    predicted = model.predict(base["calibrate"], held.x)
    mended = ConformalQuantiles.fit(held.y, predicted, LEVELS, held.platform).calibrated(raw, data["test"].platform)
    print("\nlocal fine, conformal by platform: coverage and width before -> after")
    for k, level in enumerate(LEVELS[: len(LEVELS) // 2]):
        inside = [float(((y >= q[:, k]) & (y <= q[:, -1 - k])).mean()) for q in (raw, mended)]
        width = [interval_widths(q, LEVELS)[k] for q in (raw, mended)]
        shown = f"{inside[0]:.1%} -> {inside[1]:.1%}   {width[0]:.3f} -> {width[1]:.3f}"
        print(f"nominal {1 - 2 * level:.0%}   {shown}")


if __name__ == "__main__":
    main()
