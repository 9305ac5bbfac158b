"""Fitting a surface: its law, its process, and its intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError
from hwsim.cost_models.surface.calibrate import calibrate, search, strata_of
from hwsim.cost_models.surface.family import Columns, Counted, Family
from hwsim.cost_models.surface.surface import Law, Reach, Surface, process_of
from hwsim.cost_models.surface.synthesised_rows import UnitRows
from hwsim.stats import ConformalBand

Floats = NDArray[np.float64]
COVERAGE = 0.9
LEAST_ROWS = 8
SPARE_ROWS = 6  # more than terms: with none, intervals of 10 to 16 of 483 units could hold as few as 5 %
_EXACT = 1e-6  # a law that misses no count by more than this share has no correction


def fit_surface(
    family: Family,
    parameters: Columns,
    counts: ArrayLike,
    resource: str = "lut",
    coverage: float = COVERAGE,
    kin: Mapping[str, tuple[Columns, Floats]] | None = None,
) -> Surface:
    """A surface through counts of units.

    Parameters
    ----------
    parameters : columns of the units' parameters, as `Family.axis_columns` takes them.
    counts : (rows,), not negative.
    coverage : nominal, of the intervals.
    kin : of the family's kin, by name: axis columns and counts of units.

    Raises
    ------
    InputError
        With fewer different units than `units_wanted`, or negative counts.
    """
    y = np.asarray(counts, dtype=np.float64)
    data = family.counted(parameters, y, kin)
    distinct, wanted = distinct_units(data.rows), units_wanted(family, data)
    if distinct < wanted or np.any(y < 0):
        raise InputError(
            f"{distinct} different units in {len(y)} rows, least count {y.min(initial=0):g}",
            where=f"surface of {family.name}",
            hint=f"at least {wanted} different units, with counts from 0 up",
        )
    law = Law.of(family, data)
    values = law.values(family, {axis.name: data.rows[axis.name] for axis in family.axes})
    if np.abs(values / (y + law.offset) - 1).max() < _EXACT:
        band = ConformalBand(dict.fromkeys(strata_of(family.axes), (0.0, 0.0)), "log", coverage)
        return Surface(family, resource, law, None, band, Reach(0.5, 0.5), data)
    h = search(family, law, data.rows)
    band, reach = calibrate(family, data, law, h, coverage)
    return Surface(family, resource, law, process_of(family, law, h, data.rows), band, reach, data)


def distinct_units(rows: Columns) -> int:
    """How many units differ in some axis."""
    return len(set(zip(*(values.tolist() for name, values in rows.items() if name != "count"), strict=True)))


def units_wanted(family: Family, data: Counted) -> int:
    """Different units without which a law bends to any counts: six more than it has terms, kin counted, and eight."""
    names, _ = family.feature_matrix({axis.name: np.array(axis.nodes[:1]) for axis in family.axes})
    return max(LEAST_ROWS, len(names) + SPARE_ROWS - distinct_units(data.kin))


def missing(rows: UnitRows) -> int:
    """How many different units a table lacks for a surface; 0 where it has enough."""
    columns = rows.family.axis_columns(rows.parameters)
    data = rows.family.counted(columns, np.zeros(len(rows)), rows.kin_of(next(iter(rows.counts))))
    return max(0, units_wanted(rows.family, data) - distinct_units(data.rows))


def fit_units(rows: UnitRows, resource: str) -> Surface:
    """A surface through units of a table, which knows their kin."""
    return fit_surface(rows.family, rows.parameters, rows.counts[resource], resource, kin=rows.kin_of(resource))
