"""How an expert is fitted: offsets and trees on folds 0 to 7, what they leave over on folds that they did not see.

Residuals come from two fits that each leave half of the folds out. Folds 0 to 4 of them make the base laws of
the spread, fold 5 their aggregation, folds 6 and 7 the conformal shifts; folds 8 and 9 are never touched here. Folds
are of shapes: a shape is on one side on all devices. scikit-learn is imported inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.learned.expert import Expert, Setting, family_of, features, label_of, ranged
from hwsim.latency.learned.spread import LEVELS, Spread
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.ratios import NAMES, RATIOS
from hwsim.latency.simulator.table import Array, KernelTable
from hwsim.stats.conformal_quantiles import ConformalQuantiles
from hwsim.stats.oblivious_boosting import ObliviousBoosting, ObliviousTrees
from hwsim.stats.quantile_aggregation import QuantileAggregation

_FLOOR = 0.01  # quantile of times that stands for the cost of a launch
_SHRINK_ROWS = 10.0  # rows' worth of the common offset in that of a device
_SMALL = 1e-3  # of absolute log residuals, before their logarithm is taken
_LINE_ROWS = 600
_EDGE = 0.002  # share of the training rows outside the range on either side


@dataclass(frozen=True, slots=True)
class Sample:
    """Kernels measured in one setting: times without drift, and the fold of each row's shape.

    Attributes
    ----------
    typical : whether its offsets say something of devices that were not measured; those of a GPU that ran throttled
        (products of the P4 in the NeuSight tables) do not.
    hosted : whether its least times are those of the runtime; a benchmark that calls the library itself lacks the
        runtime's work on the host.
    """

    setting: Setting
    table: KernelTable
    latency_us: Array
    fold: NDArray[np.int64]
    typical: bool = True
    hosted: bool = True

    @property
    def chip(self) -> str:
        """Of the device: one name for all its boards and memories."""
        return self.setting.gpu.name.partition("-")[0].lower()

    def __getitem__(self, rows: NDArray[np.bool_]) -> Sample:
        return replace(self, table=self.table[rows], latency_us=self.latency_us[rows], fold=self.fold[rows])


def _default_trees() -> ObliviousBoosting:
    return ObliviousBoosting(trees=1000, depth=8, rate=0.1, feature_share=0.5, bins=254, clip=0.3)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Sizes of an expert's trees."""

    trees: ObliviousBoosting = field(default_factory=_default_trees)
    members: int = 1


def fit_expert(
    name: str, runtime: str, kinds: tuple[str, ...], samples: Sequence[Sample], recipe: Recipe | None = None
) -> Expert:
    """Fit on folds 0 to 7 of the samples."""
    how = recipe or Recipe()
    train = [s[s.fold < 8] for s in samples]
    bare = centred(name, runtime, kinds, train)
    x, residual, label, fold = rows_of(bare, train)
    trees = _ensemble(how, x, residual)
    left = np.empty(len(residual))
    for half in (0, 1):
        out = fold % 2 == half
        left[out] = residual[out] - np.mean(
            [t.predict(x[out]) for t in _ensemble(how, x[~out], residual[~out])], axis=0
        )
    low, high = ranges(x)
    return replace(bare, trees=trees, low=low, high=high, spread=spread_of(x, left, label, fold))


def centred(name: str, runtime: str, kinds: tuple[str, ...], samples: Sequence[Sample]) -> Expert:
    """An expert without trees: floors and offsets."""
    floors: dict[str, float] = {}
    relative: dict[str, list[float]] = {}
    for sample in samples:
        for kind in np.unique(sample.table.kind):
            rows = sample.table.kind == kind
            floor = float(np.quantile(sample.latency_us[rows], _FLOOR))
            label = label_of(sample.setting, CLASSES[kind])
            floors[label] = min(floor, floors.get(label, floor))
            for key in (f"{sample.setting.precision}/{CLASSES[kind]}", CLASSES[kind], "") if sample.hosted else ():
                relative.setdefault(key, []).append(floor / sample.setting.gpu.launch_us[runtime])
    floors |= {key: float(np.exp(np.mean(np.log(values)))) for key, values in relative.items()}
    edge = np.zeros((len(CLASSES), len(RATIOS) + 1), dtype=np.float32)
    bare = Expert(name, runtime, kinds, floors, {"": 0.0}, (), edge, edge, _no_spread())
    _, residual, labels, _ = rows_of(bare, samples)
    families = {s.setting.device: family_of(s.setting.gpu) for s in samples}
    return replace(bare, offsets=_offsets(residual, labels, _typical(samples), families))


def ranges(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Least and greatest of what has a range, by kind, but for a share `_EDGE` of the rows on either side."""
    seen, kind = ranged(x), x[:, NAMES.index("kind")].astype(int)
    low, high = (
        np.tile(edge, (len(CLASSES), 1)) for edge in np.quantile(seen, [_EDGE, 1 - _EDGE], axis=0).astype(np.float32)
    )
    for k in np.unique(kind):
        low[k], high[k] = np.quantile(seen[kind == k], [_EDGE, 1 - _EDGE], axis=0)
    return low, high


def _typical(samples: Sequence[Sample]) -> frozenset[str]:
    """Devices whose offsets stand for others; all where none is typical."""
    return frozenset(s.setting.device for s in samples if s.typical) or frozenset(s.setting.device for s in samples)


def _offsets(
    residual: Array, label: NDArray[np.str_], typical: frozenset[str], families: Mapping[str, str]
) -> dict[str, float]:
    """Medians by device, precision and kind, shrunk to that of precision and kind over typical devices.

    Parameters
    ----------
    families : of every device.
    """
    own = {str(k): float(np.median(residual[label == k])) for k in np.unique(label)}
    common_of = {k: v for k, v in own.items() if k.partition("/")[0] in typical} or own
    found = {"": float(np.median(list(common_of.values())))}
    groups: dict[str, list[float]] = {}
    for key, value in common_of.items():
        device, precision, kind = key.split("/")
        for group in (kind, f"{precision}/{kind}", f"{families[device]}/{precision}/{kind}"):
            groups.setdefault(group, []).append(value)
    found |= {key: float(np.median(values)) for key, values in groups.items()}
    for key, value in own.items():
        n = float((label == key).sum())
        common = found.get(key.partition("/")[2], found[""])
        found[key] = common + (value - common) * n / (n + _SHRINK_ROWS)
    return found


def rows_of(
    expert: Expert, samples: Sequence[Sample]
) -> tuple[NDArray[np.float32], Array, NDArray[np.str_], NDArray[np.int64]]:
    """Features, residual log times, labels and folds of all samples."""
    parts = []
    for s in samples:
        simulated = expert.simulated(s.table, s.setting)
        labels = np.array([label_of(s.setting, kind) for kind in CLASSES])[s.table.kind]
        offset = expert._by_kind(expert.offsets, s.setting)[s.table.kind]
        residual = np.log(s.latency_us) - np.log(simulated.time_us) - offset
        parts.append((features(simulated, s.table, s.setting), residual, labels, s.fold))
    x, residual, label, fold = (np.concatenate(column) for column in zip(*parts, strict=True))
    return x, residual, label, fold


def _ensemble(how: Recipe, x: NDArray[np.float32], residual: Array) -> tuple[ObliviousTrees, ...]:
    return tuple(replace(how.trees, seed=seed).fit(x, residual) for seed in range(how.members))


def spread_of(x: NDArray[np.float32], left: Array, label: NDArray[np.str_], fold: NDArray[np.int64]) -> Spread:
    """Quantiles of out-of-fold residuals."""
    base, mixed, shifted = fold <= 4, fold == 5, fold >= 6
    size = np.log(np.abs(left[base]) + _SMALL)
    scale = ObliviousBoosting(trees=80, depth=4, rate=0.1, feature_share=0.3).fit(x[base], size)
    shape = np.quantile(left[base] / np.exp(scale.predict(x[base])), LEVELS)
    tables = {
        str(k): np.quantile(left[base & (label == k)], LEVELS) for k in np.unique(label) if (base & (label == k)).any()
    }
    tables[""] = np.quantile(left[base], LEVELS)
    mean, deviation = x[base].mean(axis=0), x[base].std(axis=0) + 1e-6
    lines = _lines(np.clip((x[base] - mean) / deviation, -3, 3), left[base])
    standard = (mean.astype(np.float64), deviation.astype(np.float64))
    found = Spread(
        LEVELS,
        tables,
        scale,
        shape,
        lines,
        standard,
        QuantileAggregation(LEVELS),
        ConformalQuantiles(LEVELS, {"": (0.0, 0.0)}),
    )
    found.aggregation.fit(_base_of(found, x[mixed], label[mixed]), left[mixed])
    quantiles = found.aggregation.predict(_base_of(found, x[shifted], label[shifted]))
    return replace(found, conformal=ConformalQuantiles.fit(left[shifted], quantiles, LEVELS, label[shifted]))


def _base_of(spread: Spread, x: NDArray[np.float32], label: NDArray[np.str_]) -> dict[str, Array]:
    found = {name: np.empty((len(x), len(LEVELS))) for name in ("table", "scale", "lines")}
    for key in np.unique(label):
        rows = label == key
        for name, values in spread.base(x[rows], str(key)).items():
            found[name][rows] = values
    return found


def _lines(z: NDArray[np.floating], left: Array) -> Array:
    """Linear quantile regression of every level on at most `_LINE_ROWS` evenly spaced rows."""
    from sklearn.linear_model import QuantileRegressor

    step = max(1, len(z) // _LINE_ROWS)
    lines = [
        QuantileRegressor(quantile=level, alpha=1e-3, solver="highs").fit(z[::step], left[::step]) for level in LEVELS
    ]
    return np.vstack([np.stack([m.coef_ for m in lines], axis=1), [m.intercept_ for m in lines]])


def _no_spread() -> Spread:
    none = np.zeros((0, 1), dtype=np.float32)
    trees = ObliviousTrees(none.astype(np.int16), none, none, 0.0)
    zero = np.zeros(len(LEVELS))
    return Spread(
        LEVELS, {"": zero}, trees, zero, np.zeros((1, len(LEVELS))), (zero, zero), QuantileAggregation(LEVELS),
        ConformalQuantiles(LEVELS, {"": (0.0, 0.0)}),
    )  # fmt: skip
