"""What a folded batch normalisation knew about the output of the layer that absorbed it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.fx import Node

KEY = "statistics"  # of `node.meta`


@dataclass(frozen=True, slots=True, eq=False)
class BatchStatistics:
    """Per-channel statistics of a layer's output over the training data, as its batch normalisation stored them.

    Attributes
    ----------
    mean : expected output, the normalisation's beta, shape (channels,), float64.
    std : standard deviation of the output, |gamma|, shape (channels,), float64.
    unit : units of the un-normalised activation per unit of output, sigma / |gamma|, shape (channels,), float64;
        a difference times `unit` weighs as before the normalisation. 0 where gamma is 0: a constant channel.
    """

    mean: Tensor
    std: Tensor
    unit: Tensor

    def scaled(self, factor: Tensor) -> BatchStatistics:
        """The statistics of the output times `factor` > 0, shape (channels,)."""
        factor = factor.to(self.mean)
        return BatchStatistics(self.mean * factor, self.std * factor, self.unit / factor)


def statistics_of(node: Node) -> BatchStatistics | None:
    """The statistics that a layer's node carries, or None where no normalisation was folded into it."""
    found = node.meta.get(KEY)
    return found if isinstance(found, BatchStatistics) else None
