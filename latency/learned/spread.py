"""Quantiles of what an expert leaves over: base learners, their aggregation, conformal shifts by device and class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.simulator.table import Array
from hwsim.stats.conformal_quantiles import ConformalQuantiles
from hwsim.stats.oblivious_boosting import ObliviousTrees
from hwsim.stats.quantile_aggregation import QuantileAggregation

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
LOW, HIGH = LEVELS.index(0.05), LEVELS.index(0.95)  # ends of a 90 % interval
_WIDER = 2.0  # how much wider, relatively, an interval is at a log ratio of 1 beyond the training rows


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of a log residual.

    Three base laws: of each device, precision and class (`tables`); the law of all, scaled by what trees expect of
    the absolute residual (`scale`); and lines in the ratios (`lines`).

    Attributes
    ----------
    levels : of all quantiles.
    tables : (levels) by label; "" is all rows together.
    scale, shape : trees of the log absolute residual, and quantiles of the residual over what they say.
    lines : (features + 1, levels), the constant last; of standardised features with mean and deviation `standard`.
    aggregation, conformal : fitted on rows that the base laws did not see, each on its own.
    transfer : factor on the width for a label that was not measured.
    """

    levels: tuple[float, ...]
    tables: dict[str, Array]
    scale: ObliviousTrees
    shape: Array
    lines: Array
    standard: tuple[Array, Array]
    aggregation: QuantileAggregation
    conformal: ConformalQuantiles
    transfer: float = 1.0

    def base(self, x: NDArray[np.float32], label: str) -> dict[str, Array]:
        """Quantiles of each base law for rows of one label, (rows, levels)."""
        table = np.broadcast_to(self.tables.get(label, self.tables[""]), (len(x), len(self.levels)))
        scaled = np.exp(self.scale.predict(x))[:, None] * self.shape
        mean, deviation = (part.astype(np.float32) for part in self.standard)
        z = x - mean
        z /= deviation
        np.clip(z, -3, 3, out=z)
        return {"table": table, "scale": scaled, "lines": z @ self.lines[:-1].astype(np.float32) + self.lines[-1]}

    def quantiles(self, x: NDArray[np.float32], label: str, distance: Array) -> Array:
        """Quantiles of the residual, wider with the distance from the training rows and where the label is unknown."""
        found = self.conformal.of_group(self.aggregation.predict(self.base(x, label)), label)
        known = 1.0 if label in self.tables else self.transfer
        return np.asarray(found * (known * (1 + _WIDER * distance))[:, None])
