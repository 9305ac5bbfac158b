"""How likely a network takes a multiple of its predicted time: ordered outcomes, the last of which are rare.

Left-out networks are sorted by log(measured / predicted) into classes between `BOUNDS`; PRESTO (hwsim.stats.presto)
gives the probability of each boundary as a function of what describes a network. Between boundaries log-odds are
interpolated, beyond the outermost ones they go on at the last slope, and no probability is smaller than one in the
number of networks that it rests on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.simulator.table import Array
from hwsim.stats.presto import OrdinalRisk

BOUNDS = (-0.1, 0.0, 0.1, 0.2, 0.3)  # log ratios; the last is 35 % late
_LAST_COLUMNS = 4  # of what the spread reads: share of products, log time a launch, log launches, log distance
_LEAST_CLASS = 5


@dataclass(frozen=True, slots=True)
class Lateness:
    """Probabilities of log ratios above `bounds`.

    Attributes
    ----------
    risk : fitted ordinal regression on the standardised last columns of what the spread reads.
    rows : networks that it rests on.
    """

    bounds: tuple[float, ...]
    risk: OrdinalRisk
    mean: Array
    deviation: Array
    rows: int

    def share_above(self, x: NDArray[np.float32], log_ratio: float) -> float:
        """Probability that measured over predicted exceeds exp(log_ratio), for one row of what the spread reads."""
        z = np.clip((x[None, -_LAST_COLUMNS:] - self.mean) / self.deviation, -3, 3)
        below = np.cumsum(self.risk.predict_proba(z)[0])[:-1]
        least = 1 / self.rows
        above = np.clip(1 - below, least, 1 - least)
        odds = np.minimum.accumulate(np.log(above / (1 - above)))
        bounds = np.asarray(self.bounds)
        if log_ratio < bounds[0] or log_ratio > bounds[-1]:
            i, j = (0, 1) if log_ratio < bounds[0] else (-2, -1)
            slope = min((odds[j] - odds[i]) / (bounds[j] - bounds[i]), -1.0)
            edge = 0 if log_ratio < bounds[0] else -1
            value = odds[edge] + slope * (log_ratio - bounds[edge])
        else:
            value = float(np.interp(log_ratio, bounds, odds))
        return round(float(np.clip(1 / (1 + np.exp(-value)), least, 1 - least)), 6)


def fit_lateness(x: NDArray[np.float32], residual: Array) -> Lateness:
    """Fit on left-out networks; boundaries with fewer than five networks beyond them are left out."""
    kept = [b for b in BOUNDS if min((residual > b).sum(), (residual <= b).sum()) >= _LEAST_CLASS]
    columns = x[:, -_LAST_COLUMNS:].astype(np.float64)
    mean, deviation = columns.mean(axis=0), columns.std(axis=0) + 1e-6
    label = np.searchsorted(np.array(kept), residual, side="left")
    z = np.clip((columns - mean) / deviation, -3, 3)
    return Lateness(tuple(kept), OrdinalRisk().fit(z, label), mean, deviation, len(residual))
