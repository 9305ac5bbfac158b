"""Refitting surfaces on a table of synthesised units, and their errors before and after on units left out.

Rows are left out a fold at a time, units of equal axes together. After: a fit of the other rows of the table,
hyperparameters included. Before: the surface that there was, refitted without those rows of its own that are in the
fold, so that rows that it has seen do not flatter it. Both are compared before their projection onto monotone tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.surface.calibrate import search
from hwsim.cost_models.surface.catalogue import family
from hwsim.cost_models.surface.family import Counted
from hwsim.cost_models.surface.fit import LEAST_ROWS, fit_units, missing
from hwsim.cost_models.surface.gaussian_process import Hyperparameters
from hwsim.cost_models.surface.surface import Law, Reach, Surface, process_of
from hwsim.cost_models.surface.synthesised_rows import UnitRows
from hwsim.stats import ConformalBand

Floats = NDArray[np.float64]
Rows = Mapping[str, Floats]
Plain = tuple[str, dict[str, list[float]], list[float], Any]  # family, parameters, counts, and the same of the kin
Job = tuple[str, Plain, dict[str, Any] | None]
FOLDS = 5
_NO_BAND = ConformalBand({"": (0.0, 0.0)}, "log", 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class Refit:
    """One surface on a table.

    Attributes
    ----------
    surface : fitted to all rows.
    before, after : |predicted - count| / count of each row left out (count + 1 where counts may be 0); `before` is
        None where there was no such surface, and lacks folds that leave fewer than eight of its own rows.
    """

    surface: Surface
    before: Floats | None
    after: Floats

    @property
    def worse(self) -> bool:
        """Whether there was a better surface: more wrong now both in the middle and for the worst tenth."""
        if self.before is None or not len(self.before) or not len(self.after):
            return self.before is not None and not len(self.after)
        return all(np.quantile(self.after, q) > np.quantile(self.before, q) for q in (0.5, 0.9))


def refit(rows: UnitRows, resource: str, old: Surface | None = None) -> Refit:
    """A surface through rows of a table, in the place of an old one.

    Raises
    ------
    InputError
        With fewer than eight rows.
    """
    new = fit_units(rows, resource)
    after = _left_out(new, new.rows)
    if old is None:
        return Refit(new, None, after)
    return Refit(new, after if _same(old.data, new.data) else _left_out(old, new.rows), after)


def refit_all(
    table: Mapping[str, UnitRows],
    resources: Sequence[str],
    old: Mapping[tuple[str, str], Surface],
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Refit]:
    """A surface for each family with enough units (see `missing`) and each resource, largest families first."""
    chosen = sorted(((len(r), n) for n, r in table.items() if not missing(r)), reverse=True)
    keys = [(name, resource) for _, name in chosen for resource in resources]
    if workers <= 1 or len(keys) <= 1:
        for done, key in enumerate(keys, 1):
            yield refit(table[key[0]], key[1], old.get(key))
            if progress:
                progress(done, len(keys))
        return
    jobs = [(key[1], _plain(table[key[0]], key[1]), old[key].as_dict() if key in old else None) for key in keys]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done, future in enumerate(as_completed([pool.submit(_run, job) for job in jobs]), 1):
            data, before, after = future.result()
            surface = Surface.from_dict(family(data["family"]), data)
            yield Refit(surface, before, after)
            if progress:
                progress(done, len(keys))


def _plain(rows: UnitRows, resource: str) -> Plain:
    """What travels to another process: families are code and do not."""
    columns = {name: np.asarray(values).tolist() for name, values in rows.parameters.items()}
    return rows.family.name, columns, rows.counts[resource].tolist(), [_plain(k, resource) for k in rows.kin.values()]


def _units(plain: Plain, resource: str) -> UnitRows:
    name, columns, counts, kin = plain
    parameters = {key: np.array(values) for key, values in columns.items()}
    counted = {resource: np.array(counts, dtype=np.float64)}
    return UnitRows(family(name), parameters, counted, {k[0]: _units(k, resource) for k in kin})


def _run(job: Job) -> tuple[dict[str, Any], Floats | None, Floats]:
    resource, plain, old = job
    rows = _units(plain, resource)
    found = refit(rows, resource, None if old is None else Surface.from_dict(rows.family, old))
    return found.surface.as_dict(), found.before, found.after


def _left_out(surface: Surface, tested: Rows) -> Floats:
    """Relative errors on `tested` of the surface refitted without the units that are tested."""
    groups, own = surface.family.keys(tested), surface.family.keys(surface.rows)
    fold_of = dict(zip(sorted(set(groups)), _folds(len(set(groups))), strict=True))
    fold = np.array([fold_of[g] for g in groups])
    errors = np.empty(len(fold))
    offset = 0.0 if tested["count"].min() > 0 else 1.0
    for k in range(int(fold.max()) + 1):
        out = fold == k
        known = np.array([fold_of.get(g) != k for g in own])
        if known.sum() < LEAST_ROWS:
            errors[out] = np.nan
            continue
        columns = {axis.name: tested[axis.name][out] for axis in surface.family.axes}
        predicted = np.exp(_without(surface, known).raw(columns)[0]) - surface.law.offset
        truth = tested["count"][out]
        errors[out] = np.abs(np.maximum(predicted, 0.0) - truth) / (truth + offset)
    return np.asarray(errors[~np.isnan(errors)])


def _without(surface: Surface, known: NDArray[np.bool_]) -> Surface:
    """The surface of some of its rows."""
    if known.all():
        return surface
    kept = surface.family
    data = surface.data.take(known)
    law = Law.of(kept, data, surface.law.offset)
    process = None
    if surface.process is not None:
        start: Hyperparameters = surface.process.hyperparameters
        process = process_of(kept, law, search(kept, law, data.rows, start), data.rows)
    return Surface(kept, surface.resource, law, process, _NO_BAND, Reach(1, 1), data)


def _folds(groups: int) -> list[int]:
    return [int(f) for f in np.random.default_rng(0).permutation(groups) % min(FOLDS, groups)]


def _same(a: Counted, b: Counted) -> bool:
    pairs = ((a.rows, b.rows), (a.kin, b.kin))
    return all(set(x) == set(y) and all(np.array_equal(x[name], y[name]) for name in x) for x, y in pairs)
