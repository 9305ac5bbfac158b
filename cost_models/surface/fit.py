"""Fitting a surface: its law, its process, and its intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hwsim.core.errors import InputError
from hwsim.cost_models.surface.calibrate import calibrate, search, strata_of
from hwsim.cost_models.surface.family import Columns, Family
from hwsim.cost_models.surface.surface import Law, Reach, Surface, process_of
from hwsim.stats import ConformalBand

COVERAGE = 0.9
LEAST_ROWS = 8
_EXACT = 1e-6  # a law that misses no count by more than this share has no correction


def fit_surface(
    family: Family, parameters: Columns, counts: ArrayLike, resource: str = "lut", coverage: float = COVERAGE
) -> Surface:
    """A surface through counts of units.

    Parameters
    ----------
    parameters : columns of the units' parameters, as `Family.axis_columns` takes them.
    counts : (rows,), not negative.
    coverage : nominal, of the intervals.

    Raises
    ------
    InputError
        With fewer than eight rows, or negative counts.
    """
    y = np.asarray(counts, dtype=np.float64)
    axes = family.axis_columns(parameters)
    rows = {**axes, "count": y}
    if len(y) < LEAST_ROWS or np.any(y < 0):
        raise InputError(f"{len(y)} rows, least count {y.min(initial=0):g}", where=f"surface of {family.name}")
    law = Law.of(family, rows)
    if np.abs(law.values(family, axes) / (y + law.offset) - 1).max() < _EXACT:
        band = ConformalBand(dict.fromkeys(strata_of(family.axes), (0.0, 0.0)), "log", coverage)
        return Surface(family, resource, law, None, band, Reach(0.5, 0.5), rows)
    h = search(family, law, rows)
    band, reach = calibrate(family, rows, law, h, coverage)
    return Surface(family, resource, law, process_of(family, law, h, rows), band, reach, rows)
