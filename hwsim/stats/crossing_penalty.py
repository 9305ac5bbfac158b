"""What training pays for quantiles that cross, or come nearer to each other than a margin.

The mean over rows and over pairs of levels tau < tau' of max(0, q(tau) - q(tau') + margin(tau, tau')); margins are one
constant, proportional to tau' - tau, or adapted to the spread of the residuals between the two levels (Fakoor et al.,
JMLR 2023, arXiv 2103.00083, section 5.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwsim.core.errors import InputError, nearest
from hwsim.stats.quantile_metrics import Floats

Margin = Literal["constant", "proportional", "adaptive"]
MARGINS: tuple[Margin, ...] = ("constant", "proportional", "adaptive")


@dataclass(frozen=True, slots=True)
class CrossingPenalty:
    """Weight and margins of the penalty.

    Parameters
    ----------
    weight : times the penalty is added to the mean pinball loss; 0 turns it off.
    margin : `constant`: `scale`; `proportional`: `scale` (tau' - tau); `adaptive`: `scale` times the positive part of
        the difference of the residuals' quantiles at tau' and tau.
    scale : of the margins; aggregation trains on targets over their standard deviation, so that is the unit.
    """

    weight: float = 1.0
    margin: Margin = "adaptive"
    scale: float = 0.01

    def __post_init__(self) -> None:
        if self.margin not in MARGINS:
            raise InputError(f"margin {self.margin!r}", where="crossing", hint=nearest(self.margin, MARGINS))
        for name, value in (("weight", self.weight), ("scale", self.scale)):
            if not (np.isfinite(value) and value >= 0):
                raise InputError(f"{name} {value}", where="crossing", hint="allowed: 0 and above")

    def margins(self, levels: Floats, residuals: Floats) -> Floats:
        """Of each pair of levels, in the order of `differences`; `residuals` are those to a central prediction."""
        first, second = np.triu_indices(len(levels), 1)
        if self.margin == "constant":
            return np.full(len(first), self.scale)
        if self.margin == "proportional":
            return np.asarray(self.scale * (levels[second] - levels[first]))
        spread = np.quantile(residuals, levels)
        return np.asarray(self.scale * np.maximum(spread[second] - spread[first], 0))


def differences(levels: int) -> Floats:
    """(pairs, levels): times a column of quantiles it gives q(tau) - q(tau') of each pair tau < tau'."""
    first, second = np.triu_indices(levels, 1)
    out = np.zeros((len(first), levels))
    out[np.arange(len(first)), first] = 1
    out[np.arange(len(first)), second] = -1
    return out


def penalty_and_slope(quantiles: Floats, pairs: Floats, margins: Floats, smoothing: float) -> tuple[float, Floats]:
    """Mean of the hinge over rows and pairs, and its derivative by each quantile.

    With `smoothing` h > 0 the hinge is u^2 / 2h on [0, h] and u - h / 2 beyond: differentiable, lower by h / 2 at most.
    """
    if len(pairs) == 0:
        return 0.0, np.zeros_like(quantiles)
    gap = np.maximum(quantiles @ pairs.T + margins, 0)
    if smoothing > 0:
        slope = np.minimum(gap / smoothing, 1)
        value = float(np.mean(slope * (gap - smoothing * slope / 2)))
    else:
        slope, value = (gap > 0).astype(np.float64), float(gap.mean())
    return value, slope @ pairs / gap.size
