"""Statistics behind every interval: conformal calibration by groups and by strata, and coverage. numpy only."""

from hwsim.stats.conformal import ConformalBand, conformal_quantile, hierarchical_quantile, scores_of
from hwsim.stats.coverage import Coverage, coverage
from hwsim.stats.cross_conformal import CrossConformal

__all__ = [
    "ConformalBand",
    "Coverage",
    "CrossConformal",
    "conformal_quantile",
    "coverage",
    "hierarchical_quantile",
    "scores_of",
]
