"""A class model drawn to measured rows of another device, as far as rows left out say that this helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.fit_shared import Freedom, fit_shared
from hwsim.latency.networks.network_model import NetworkModel
from hwsim.latency.networks.work_classes import TERMS
from hwsim.latency.simulator.table import Array

ADDED = 1.001  # an exponent q by which the times of host and device add up
_OF_KERNELS = (0.1, 0.3, 1.0)  # how far factors may go each by itself, from least
_OF_NETWORKS = (0.02, 0.1, 0.3, 1.0)
_LITTLE, _MANY_NAMES = 0.1, 8  # networks from which a factor may go further by itself
_MANY_SHAPES = 30  # likewise of kernels
_KERNEL_NOISE = 0.3  # of single kernels about their class
_OUTER, _INNER = 10, 5
NOBODY_US = 1e-9  # host cost of kernels that no host launched, us
_HELD = 1e-6  # a freedom of factors that keeps them


@dataclass(frozen=True, slots=True)
class Rows:
    """Measured rows: sums (rows, `TERMS`), times, and what is left out together (a shape, a network)."""

    sums: Array
    latency_us: Array
    group: NDArray[np.str_]

    @classmethod
    def of(cls, rows: Sequence[tuple[Array, float, str]]) -> Rows:
        sums = np.array([row[0] for row in rows]).reshape(len(rows), len(TERMS))
        return cls(sums, np.array([row[1] for row in rows]), np.array([row[2] for row in rows], dtype=np.str_))

    def __len__(self) -> int:
        return len(self.latency_us)

    @property
    def names(self) -> int:
        """How many groups there are."""
        return len(set(self.group.tolist()))

    def __getitem__(self, kept: NDArray[np.bool_]) -> Rows:
        return Rows(self.sums[kept], self.latency_us[kept], self.group[kept])


@dataclass(frozen=True, slots=True)
class Drawn:
    """Fits that start from one model; `synchronous` for devices that nothing overlaps on."""

    model: NetworkModel
    synchronous: bool = False

    @property
    def start(self) -> ClassModel:
        return self.model.classes

    def kernels(self, alone: Rows, launched: Rows) -> tuple[ClassModel, ClassModel]:
        """Models of kernels by themselves and of those launched by an idle host, whose cost adds up with theirs."""
        by_itself = replace(self.start, host_us=NOBODY_US, overlap=ADDED)
        by_itself = nearer(alone, [by_itself], [Freedom(own, 0.0, 0.0, _KERNEL_NOISE) for own in _owns(alone)])
        if not len(launched):
            return by_itself, by_itself
        owns = (_HELD,) if len(alone) else _owns(launched)
        with_host = replace(by_itself, host_us=self.start.host_us)
        return by_itself, nearer(launched, [with_host], [Freedom(own, noise=_KERNEL_NOISE) for own in owns])

    def kernels_left_out(self, alone: Rows, launched: Rows) -> Array:
        """Times of the launched kernels, else of those alone, by fits that saw none of their shapes."""
        shown = launched if len(launched) else alone
        found = np.full(len(shown), np.nan)
        for out in folds(shown.group, _OUTER):
            left = np.unique(shown.group[out])
            parts = [rows[~np.isin(rows.group, left)] for rows in (alone, launched)]
            found[out] = self.kernels(*parts)[1].network_us(shown.sums[out])
        return found

    def networks(self, rows: Rows, factors: ClassModel) -> NetworkModel:
        """A model of networks that starts from `factors`, or as if no kernel was measured where that does better.

        The trees' corrections stay as they are.
        """
        if not len(rows):
            return replace(self.model, classes=factors)
        ratio = self.model.network_us(rows.sums) / self.start.network_us(rows.sums)
        owns = [own for own in _OF_NETWORKS if own <= _LITTLE or rows.names >= _MANY_NAMES]
        freedoms = [Freedom(own, overlap=0.0 if self.synchronous else 0.3) for own in owns]
        plain = replace(factors, factors=self.start.factors)
        starts = [factors] if np.array_equal(factors.factors, plain.factors) else [factors, plain]
        return replace(self.model, classes=nearer(replace(rows, latency_us=rows.latency_us / ratio), starts, freedoms))

    def networks_left_out(self, rows: Rows, factors: ClassModel) -> Array:
        """Times of networks by fits that saw none of their name."""
        found = np.full(len(rows), np.nan)
        for out in folds(rows.group, _OUTER):
            found[out] = self.networks(rows[~out], factors).network_us(rows.sums[out])
        return found


def nearer(rows: Rows, starts: Sequence[ClassModel], freedoms: Sequence[Freedom]) -> ClassModel:
    """The start and the freedom that do best on groups left out; a start as it is where no fit does better."""

    def kept(start: ClassModel) -> Callable[[Rows], ClassModel]:
        return lambda some: start

    def fitted(start: ClassModel, freedom: Freedom) -> Callable[[Rows], ClassModel]:
        return lambda some: fit_shared(some.sums, some.latency_us, start, freedom) if len(some) else start

    if not len(rows):
        return starts[0]
    if rows.names == 1:  # nothing can be left out: the fit with least freedom
        return fitted(starts[0], freedoms[0])(rows)
    ways = [*map(kept, starts), *(fitted(start, freedom) for freedom in freedoms for start in starts)]
    return min(ways, key=lambda way: _loss(rows, way))(rows)


def _owns(kernels: Rows) -> Sequence[float]:
    """How far the factors of kernels may go by themselves."""
    return _OF_KERNELS if kernels.names >= _MANY_SHAPES else _OF_KERNELS[:-1]


def _loss(rows: Rows, way: Callable[[Rows], ClassModel]) -> float:
    """Mean absolute log error of groups left out."""
    total = 0.0
    for out in folds(rows.group, _INNER):
        left = rows[out]
        total += float(np.abs(np.log(left.latency_us / way(rows[~out]).network_us(left.sums))).sum())
    return total / len(rows)


def folds(group: NDArray[np.str_], count: int) -> Iterator[NDArray[np.bool_]]:
    """Which rows to leave out, in at most `count` turns; which group in which turn is the same each time."""
    names, inverse = np.unique(group, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(names))
    turn = order[inverse] % count
    for k in range(min(count, len(names))):
        yield turn == k


def figures(measured: Array, predicted: Array) -> dict[str, float]:
    """Rows; mean and median of |predicted / measured - 1|, and the shares within 10 and 20 %, all in percent."""
    error = np.abs(predicted / measured - 1)
    return {
        "rows": float(len(measured)),
        "mape_pct": 100 * float(error.mean()), "median_pct": 100 * float(np.median(error)),
        "within10_pct": 100 * float(np.mean(error <= 0.1)), "within20_pct": 100 * float(np.mean(error <= 0.2)),
    }  # fmt: skip
