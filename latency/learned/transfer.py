"""How much wider intervals are on a device that was not measured: from leaving each measured one out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwsim.latency.learned.expert import Expert
from hwsim.latency.learned.fit_expert import Sample, centred, ranges, rows_of
from hwsim.latency.learned.spread import HIGH, LOW
from hwsim.latency.simulator.table import Array
from hwsim.stats.oblivious_boosting import ObliviousBoosting

_TREES = ObliviousBoosting(trees=150, depth=6, rate=0.1, feature_share=0.3, clip=0.3)
_ROWS = 4000  # of a device and precision, at most
_COVERED = 0.9
_FEWEST_CHIPS = 3


def transfer_factor(expert: Expert, samples: Sequence[Sample]) -> float:
    """Factor on the width of a fitted expert's intervals that makes them hold 90 % of an unmeasured device's rows.

    Every chip is left out once with all its boards and sources: floors, offsets and (fewer) trees come from the others,
    the spread from `expert`. Chips weigh the same; samples that are not typical, or not those of a runtime, are not
    asked. With fewer than three chips nothing is known, and the factor is 3.

    Parameters
    ----------
    samples : that the expert was fitted on; folds 0 to 7 are used.
    """
    thinned = [_thinned(s[s.fold < 8]) for s in samples]
    chips = sorted({s.chip for s in thinned if s.hosted and s.typical})
    if len(chips) < _FEWEST_CHIPS:
        return 3.0
    needed, weight = [], []
    for chip in chips:
        inside = [s for s in thinned if s.chip != chip]
        outside = [s for s in thinned if s.chip == chip and s.hosted and s.typical]
        found = _needed(without_device(expert, inside), outside)
        needed.append(found)
        weight.append(np.full(len(found), 1 / len(found)))
    factor, share = np.concatenate(needed), np.concatenate(weight)
    order = np.argsort(factor)
    total = np.cumsum(share[order])
    return max(1.0, float(factor[order][np.searchsorted(total, _COVERED * total[-1])]))


def without_device(expert: Expert, samples: Sequence[Sample]) -> Expert:
    """The expert refitted on some of its samples, with the spread of rows that have no label of their own."""
    bare = centred(expert.name, expert.runtime, expert.kinds, samples)
    x, residual, _, _ = rows_of(bare, samples)
    low, high = ranges(x)
    spread = replace(expert.spread, tables={"": expert.spread.tables[""]}, transfer=1.0)
    return replace(bare, trees=(_TREES.fit(x, residual),), low=low, high=high, spread=spread)


def _needed(expert: Expert, samples: Sequence[Sample]) -> Array:
    """Of each row the factor at which the interval reaches it."""
    found = []
    for s in samples:
        forecast = expert.predict(s.table, s.setting)
        off = np.log(s.latency_us / forecast.time_us)
        edges = np.log(forecast.quantiles_us[:, [LOW, HIGH]] / forecast.time_us[:, None])
        found.append(np.maximum(off / np.maximum(edges[:, 1], 1e-6), off / np.minimum(edges[:, 0], -1e-6)))
    return np.concatenate(found)


def _thinned(sample: Sample) -> Sample:
    rows = np.zeros(len(sample.fold), dtype=bool)
    rows[:: max(1, len(rows) // _ROWS)] = True
    return sample[rows]
