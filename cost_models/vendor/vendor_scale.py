"""From a few reports of a vendor's tool to one factor a resource, and how far single designs scatter around it.

log(reported / predicted) of a design is normal around the log of the factor. The factor itself is drawn towards 1, the
scatter towards a usual one, so that one report moves a prediction little and thirty decide it: a normal prior of
standard deviation `PRIOR_SPREAD` on the log factor and `PRIOR_ROWS` rows of scatter `PRIOR_SCATTER` (Gelman et al.,
Bayesian Data Analysis, 3rd ed., sections 2.5 and 3.3). The three numbers are assumptions: tools differ by less than 2.7
times in nineteen of twenty cases, single designs by a fifth. A design that lies more than `FAR` spreads from the median
counts as if it lay there, so that one report of another design than was meant does not move the factor (winsorizing;
the spread is the median absolute deviation made comparable to a standard deviation, and at least the prior scatter).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError

Floats = NDArray[np.float64]
PRIOR_SPREAD = 0.5
PRIOR_SCATTER = 0.2
PRIOR_ROWS = 3
FAR = 3.0
NORMAL_MAD = 1.4826  # standard deviation over median absolute deviation, of a normal variable
LIKELY = 1.645  # standard deviations on either side that hold 90 %


@dataclass(frozen=True, slots=True)
class VendorScale:
    """The factor of one resource.

    Attributes
    ----------
    factor : reported over predicted.
    low, high : factors between which a new design lies nine times in ten.
    scatter : standard deviation of the log of a design's own factor.
    rows : designs used: those where both counts are positive.
    raw : geometric mean of reported / predicted as they came; 1 without rows.
    outliers : designs so far from the others that they were drawn in.
    """

    factor: float
    low: float
    high: float
    scatter: float
    rows: int
    raw: float
    outliers: int = 0


def vendor_scale(
    predicted: Mapping[str, ArrayLike], reported: Mapping[str, Sequence[float | None]]
) -> dict[str, VendorScale]:
    """A factor for each resource in `predicted`.

    Parameters
    ----------
    predicted, reported : counts of the same designs in the same order, by resource; a report may lack a count (None).
    """
    found = {}
    for resource, guesses in predicted.items():
        p = np.asarray(guesses, dtype=np.float64)
        r = np.array([np.nan if v is None else v for v in reported.get(resource, [None] * len(p))], dtype=np.float64)
        if p.shape != r.shape:
            raise InputError(f"{len(p)} predicted and {len(r)} reported designs", where=f"scale of {resource}")
        used = (p > 0) & (r > 0)
        found[resource] = _scale(np.log(r[used] / p[used]))
    return found


def _scale(logs: Floats) -> VendorScale:
    n = len(logs)
    raw = float(np.exp(logs.mean())) if n else 1.0
    drawn_in = _drawn_in(logs)
    outliers, logs = int(np.sum(drawn_in != logs)), drawn_in
    mean = float(logs.mean()) if n else 0.0
    squares = float(((logs - mean) ** 2).sum())
    scatter2 = (PRIOR_ROWS * PRIOR_SCATTER**2 + squares) / (PRIOR_ROWS + max(n - 1, 0))
    weight = n / (n + scatter2 / PRIOR_SPREAD**2)
    centre = weight * mean
    spread = np.sqrt(scatter2 + PRIOR_SPREAD**2 * (1 - weight))
    low, high = np.exp(centre - LIKELY * spread), np.exp(centre + LIKELY * spread)
    return VendorScale(float(np.exp(centre)), float(low), float(high), float(np.sqrt(scatter2)), n, raw, outliers)


def _drawn_in(logs: Floats) -> Floats:
    """Logs with those far from the median moved to where far begins."""
    if len(logs) < 3:
        return logs
    middle = np.median(logs)
    spread = FAR * max(NORMAL_MAD * float(np.median(np.abs(logs - middle))), PRIOR_SCATTER)
    return np.asarray(np.clip(logs, middle - spread, middle + spread))
