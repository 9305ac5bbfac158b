"""What is known of networks on one device, runtime, precision and layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.errors import Errors
from hwsim.latency.learned.spread import Spread
from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.lateness import Lateness
from hwsim.latency.networks.likeness import Likeness, description
from hwsim.latency.networks.work_classes import TERMS
from hwsim.latency.simulator.table import Array
from hwsim.stats.oblivious_boosting import ObliviousTrees

LABEL = "network"
_UNLIKE = 3.0  # distance at which half of the trees' correction is left
STRANGE = 5.0  # distance from which a network is out of domain


@dataclass(frozen=True, slots=True)
class NetworkForecast:
    """Times of networks.

    Attributes
    ----------
    ratio : on the class model's time, from the trees.
    levels, log_quantiles : of log(measured / predicted), (levels) or (networks, levels).
    distance : from the measured networks; see `Likeness`.
    described : what spread and lateness read, (networks, columns); empty where too few networks were measured.
    """

    ratio: Array
    levels: tuple[float, ...]
    log_quantiles: Array
    distance: Array
    described: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NetworkModel:
    """One fit.

    Attributes
    ----------
    stack : software of the measurements.
    classes : factors by class.
    trees : of the log residual, read from descriptions; None where too few networks were measured.
    likeness : None likewise.
    spread : quantiles of what is left: of descriptions and distance where many networks were measured, else `Errors`.
    ranges : of `macs` an image, `batch` and `launches`, least and largest measured.
    families : how many kinds of network the errors rest on; `networks` how many measurements.
    seen : terms that measured networks held.
    lateness : probabilities of missing a deadline, where many networks were measured.
    fused : whether it was fitted on fused kernels.
    coverage : share of held-out measurements that 90 % intervals held.
    by_kernels : whether its sums are of times by the experts of single kernels (kernel_sums.py).
    """

    stack: str
    classes: ClassModel
    trees: ObliviousTrees | None
    likeness: Likeness | None
    spread: Spread | Errors
    ranges: Mapping[str, tuple[float, float]]
    families: int
    networks: int
    seen: tuple[str, ...]
    lateness: Lateness | None
    fused: bool
    coverage: float
    by_kernels: bool = False

    def forecast(self, sums: Array) -> NetworkForecast:
        """Corrections and quantiles of networks given as sums over `TERMS`."""
        described, distance, ratio = self._read(sums)
        if isinstance(self.spread, Errors):
            values = np.tile(self.spread.values, (len(sums), 1))
            none = np.zeros((len(sums), 0), dtype=np.float32)
            return NetworkForecast(ratio, self.spread.levels, values, distance, none)
        x = with_distance(described, distance)
        quantiles = self.spread.quantiles(x, LABEL, np.zeros(len(x)))
        return NetworkForecast(ratio, self.spread.levels, quantiles, distance, x)

    def unseen_share(self, sums: Array) -> float:
        """Share of a network's time in classes that no measured network held."""
        parts = sums * self.classes.factors
        return float(parts[~np.isin(TERMS, self.seen)].sum() / max(float(parts.sum()), 1e-9))

    def network_us(self, sums: Array) -> Array:
        """Times of networks given as sums, microseconds."""
        return np.asarray(self.classes.network_us(sums) * self._read(sums)[2])

    def _read(self, sums: Array) -> tuple[Array, Array, Array]:
        """Descriptions, distances and the trees' corrections; ones where there are no trees."""
        described, one = description(self.classes, sums), np.ones(len(sums))
        if self.trees is None or self.likeness is None:
            return described, one, one
        distance = self.likeness.distance(described)
        return described, distance, np.exp(correction(self.trees, described, distance))


def correction(trees: ObliviousTrees, described: Array, distance: Array) -> Array:
    """Log correction, less of it for networks unlike the measured ones."""
    return np.asarray(trees.predict(described) / (1 + (distance / _UNLIKE) ** 2))


def with_distance(described: Array, distance: Array) -> NDArray[np.float32]:
    """What the spread reads."""
    return np.column_stack([described, np.log(np.maximum(distance, 1e-3))]).astype(np.float32)
