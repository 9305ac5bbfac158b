"""Times of a table as they would be without the drift of its measurement.

A line first, then twice: trees fitted on one half of the shapes expect the times of the other, and a curve by place
goes through what rows exceed that by. Folds 8 and 9 take no part in either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hwsim.core.devices import Gpu
from hwsim.latency.learned.expert import Setting
from hwsim.latency.learned.fit_expert import Sample, centred, rows_of
from hwsim.latency.measured.drift import drift_curve, drift_us
from hwsim.latency.measured.kernel_rows import KernelRows
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.table import Array
from hwsim.stats.oblivious_boosting import ObliviousBoosting

_TREES = ObliviousBoosting(trees=400, depth=6, rate=0.1, feature_share=0.5, clip=0.3)
_LEAST_US = 20.0  # an overhead never leaves less than this
_ROUNDS = 2


def steady_samples(rows: Sequence[KernelRows], gpus: Mapping[str, Gpu]) -> tuple[list[Sample], list[Array]]:
    """Samples without drift, and the overhead that was taken off each row, microseconds.

    Parameters
    ----------
    rows : one table a device, in the order of measurement.
    """
    overhead = [drift_us(r.place, r.latency_us) * r.place for r in rows]
    for _ in range(_ROUNDS):
        expected = _expected(_samples(rows, gpus, overhead))
        curves = [
            drift_curve(r.place[r.fold < 8], r.latency_us[r.fold < 8], e[r.fold < 8])
            for r, e in zip(rows, expected, strict=True)
        ]
        overhead = [c.at(r.place) for c, r in zip(curves, rows, strict=True)]
    return _samples(rows, gpus, overhead), overhead


def _samples(rows: Sequence[KernelRows], gpus: Mapping[str, Gpu], overhead: Sequence[Array]) -> list[Sample]:
    return [
        Sample(Setting(gpus[r.device], r.device, r.precision), r.table, np.maximum(r.latency_us - o, _LEAST_US), r.fold)
        for r, o in zip(rows, overhead, strict=True)
    ]


def _expected(samples: Sequence[Sample]) -> list[Array]:
    """Times of folds 0 to 7 by trees fitted on the other half of these folds; NaN elsewhere."""
    bare = centred("", "eager", CLASSES, [s[s.fold < 8] for s in samples])
    x, residual, _, fold = rows_of(bare, samples)
    found = np.full(len(fold), np.nan)
    for half in (0, 1):
        fitted, asked = (fold < 8) & (fold % 2 != half), (fold < 8) & (fold % 2 == half)
        found[asked] = _TREES.fit(x[fitted], residual[fitted]).predict(x[asked]) - residual[asked]
    latency = np.concatenate([s.latency_us for s in samples]) * np.exp(found)
    return np.split(latency, np.cumsum([len(s.fold) for s in samples])[:-1])
