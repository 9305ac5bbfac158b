"""Statistics behind every interval and risk: conformal calibration, coverage, rare ordered classes. numpy only."""

from hwsim.stats.conformal import ConformalBand, conformal_quantile, hierarchical_quantile, scores_of
from hwsim.stats.coverage import Coverage, coverage
from hwsim.stats.cross_conformal import CrossConformal
from hwsim.stats.presto import OrdinalRisk
from hwsim.stats.presto_path import OrdinalPath
from hwsim.stats.presto_tuning import Tuning

__all__ = [
    "ConformalBand",
    "Coverage",
    "CrossConformal",
    "OrdinalPath",
    "OrdinalRisk",
    "Tuning",
    "conformal_quantile",
    "coverage",
    "hierarchical_quantile",
    "scores_of",
]
