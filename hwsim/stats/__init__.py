"""Statistics behind every interval and risk: conformal calibration, coverage, aggregated quantiles, rare classes.

numpy only at import.
"""

from hwsim.stats.conformal import ConformalBand, conformal_quantile, hierarchical_quantile, scores_of
from hwsim.stats.conformal_quantiles import ConformalQuantiles
from hwsim.stats.coverage import Coverage, coverage
from hwsim.stats.cross_conformal import CrossConformal
from hwsim.stats.presto import OrdinalRisk
from hwsim.stats.quantile_aggregation import QuantileAggregation
from hwsim.stats.quantile_folds import out_of_fold_quantiles
from hwsim.stats.quantile_metrics import weighted_interval_score

__all__ = [
    "ConformalBand",
    "ConformalQuantiles",
    "Coverage",
    "CrossConformal",
    "OrdinalRisk",
    "QuantileAggregation",
    "conformal_quantile",
    "coverage",
    "hierarchical_quantile",
    "out_of_fold_quantiles",
    "scores_of",
    "weighted_interval_score",
]
