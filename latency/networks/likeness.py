"""What describes a network to the learned part: shares of its time by class, and how unlike the measured ones it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.work_classes import LAUNCHES, TERMS
from hwsim.latency.simulator.table import Array

_COMPUTE = np.array([name.endswith(":compute") for name in TERMS])
_LAUNCHES = TERMS.index(LAUNCHES)
_RIDGE = 0.05  # variance added to every description: a class that no measured network holds is this unlike


def description(model: ClassModel, sums: Array) -> Array:
    """Square roots of the shares of `TERMS`, share of products, log time a launch and log launches; (networks, :)."""
    parts = sums * model.factors
    total = np.maximum(parts.sum(axis=1), 1e-9)
    share = parts / total[:, None]
    launches = np.maximum(sums[:, _LAUNCHES], 1.0)
    return np.column_stack([np.sqrt(share), share[:, _COMPUTE].sum(axis=1), np.log(total / launches), np.log(launches)])


@dataclass(frozen=True, slots=True)
class Likeness:
    """Mahalanobis distance from the measured networks, in units of their own median distance.

    Attributes
    ----------
    mean, whiten : of their descriptions; `unit` their median distance.
    """

    mean: Array
    whiten: Array
    unit: float

    @classmethod
    def of(cls, described: Array) -> Likeness:
        """From descriptions of measured networks."""
        mean = described.mean(axis=0)
        covariance = np.cov(described, rowvar=False) + _RIDGE**2 * np.eye(described.shape[1])
        values, vectors = np.linalg.eigh(covariance)
        whiten = vectors / np.sqrt(values)
        return cls(mean, whiten, float(np.median(np.linalg.norm((described - mean) @ whiten, axis=1))))

    def distance(self, described: Array) -> Array:
        """1 for a usual network, larger for an unusual one."""
        return np.asarray(np.linalg.norm((described - self.mean) @ self.whiten, axis=1) / self.unit)
