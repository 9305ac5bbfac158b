"""Scales from what tensors hold: of weights at once, of activations batch by batch in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.core.errors import InputError
from hwsim.core.scaled import Scaled
from hwsim.quant.block_kernels import block_scales, tensor_scale_of
from hwsim.quant.calibrate.kl import KL, kl_range
from hwsim.quant.groups import group_count, group_views
from hwsim.quant.ranges import MSE, Lp, MinMax, Percentile, scale_of_range, search_range, search_ranges
from hwsim.quant.streaming import BatchPercentiles, Keep, Reservoir, Tails, fold, rank_from_top

__all__ = ["KL", "MSE", "Lp", "Method", "MinMax", "Observer", "Percentile", "weight_scale"]

Method = MinMax | Percentile | MSE | Lp | KL
EVERYTHING = Keep(tails=True, sample=True)
Scale = tuple[Tensor, Tensor | None]


def weight_scale(w: Tensor, spec: Scaled, method: Method) -> Scale:
    """Scale and zero point (None unless `spec.zero_point`) of a weight, output channels first.

    Returns
    -------
    scale, zero_point
        In the type of `w` (float32 for 16-bit types); shape () by tensor, (C, 1, ...) by channel, (C, groups) by group.
        Block formats get the scales of their rule, whatever the method; machine formats get 1. `KL` is for
        activations: a weight gets the scale of least squared error unless `KL(weights=True)`.

    Raises
    ------
    InputError
        For an empty tensor, NaN or infinite values.
    """
    if w.numel() == 0 or not torch.isfinite(w).all():
        raise InputError("empty, or NaN or infinite values", where="weight", hint="repair the checkpoint")
    dtype = torch.float64 if w.dtype == torch.float64 else torch.float32
    w = w.detach().to(dtype).contiguous()
    if spec.is_native:
        return torch.ones((), dtype=dtype), None
    matrix = w.reshape(w.shape[0] if w.dim() else 1, -1)
    if spec.scale in ("e8m0", "e4m3"):
        return block_scales(matrix, spec), None
    if isinstance(spec.block, int):
        return _group_scales(matrix, spec, spec.block, method)
    by_channel = spec.block == "channel"
    shape = (w.shape[0], *(1,) * (w.dim() - 1)) if by_channel else ()
    return _shaped(_scale_of_rows(matrix if by_channel else matrix.view(1, -1), spec, method), shape, dtype)


class Observer:
    """What passed through one tensor of a network: extremes, and what else is to be kept, in bounded memory.

    Parameters
    ----------
    axis : the channel axis.
    keep : tails and a seeded sample serve every method but averaged percentiles.
    samples : elements to keep, about; at least 256 positions with all their channels.
    seed : of the sample.
    name : of the tensor, for messages.
    """

    def __init__(
        self,
        *,
        axis: int = 1,
        keep: Keep = EVERYTHING,
        samples: int = 1 << 17,
        seed: int = 0,
        name: str = "activation",
    ) -> None:
        self.axis, self.keep, self.name = axis, keep, name
        self.elements = 0
        self._reservoir = Reservoir(samples, seed)
        self._tails = Tails()
        self._batches = {key: BatchPercentiles(*key[:2]) for key in sorted(keep.batch_percentiles)}
        self._dtype = torch.float32
        self._shape: tuple[int, ...] = ()
        self._low: NDArray[np.float64] = np.zeros(0)
        self._high: NDArray[np.float64] = np.zeros(0)

    def update(self, x: Tensor) -> None:
        """Take in a batch.

        Raises
        ------
        InputError
            For an empty tensor, NaN or infinite values, or a number of channels that changes.
        """
        if x.numel() == 0 or not x.is_floating_point():
            raise InputError(
                f"a tensor of {x.dtype}, shape {tuple(x.shape)}", where=self.name, hint="wanted: floats, at least one"
            )
        x = x.detach().cpu()
        x = x if x.dtype == torch.float64 else x.float()
        axis = self.axis % x.dim() if -x.dim() <= self.axis < x.dim() else max(0, x.dim() - 1)
        batch = fold(x, axis if x.dim() > 1 else None)
        low, high = (ends.astype(np.float64) for ends in batch.extremes)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise InputError("NaN or infinite values", where=self.name, hint="check weights and calibration data")
        if self.elements and low.shape != self._low.shape:
            raise InputError(
                f"{len(low)} channels, {len(self._low)} before", where=self.name, hint="batches may differ in rows only"
            )
        self._low = np.minimum(self._low, low) if self.elements else low
        self._high = np.maximum(self._high, high) if self.elements else high
        self._dtype, self.elements = x.dtype, self.elements + x.numel()
        self._shape = tuple(size if i == axis else 1 for i, size in enumerate(x.shape))
        if self.keep.sample:
            self._reservoir.update(batch.x)
        if self.keep.tails:
            self._tails.update(batch)
        for percentiles in self._batches.values():
            percentiles.update(batch)

    def adopt(self, other: Observer) -> None:
        """Take over the averaged percentiles of another pass over the same rows."""
        self._batches |= other._batches
        self.keep |= Keep(batch_percentiles=other.keep.batch_percentiles)

    def needs(self, spec: Scaled, method: Method) -> Keep:
        """What has to be kept for `scale(spec, method)`."""
        by_channel = spec.block == "channel"
        if spec.is_native or spec.scale in ("e8m0", "e4m3") or isinstance(method, MinMax):
            return Keep()
        if isinstance(method, Percentile):
            if method.batch:
                return Keep(batch_percentiles=frozenset({(method.percent, by_channel, method.batch)}))
            if not by_channel and rank_from_top(method.percent, self.elements) < self._tails.size:
                return Keep(tails=True)
            return Keep(sample=True)
        return Keep(tails=isinstance(method, KL) and not by_channel, sample=True)

    @property
    def low(self) -> float:
        """The smallest value seen."""
        return float(self._low.min())

    @property
    def high(self) -> float:
        """The largest value seen."""
        return float(self._high.max())

    @property
    def non_negative(self) -> bool:
        """Whether values were seen and none of them was negative."""
        return self.elements > 0 and self.low >= 0.0

    @property
    def sample(self) -> Tensor:
        """Positions drawn evenly from all batches, shape (positions, channels)."""
        return torch.from_numpy(self._reservoir.rows)

    def scale(self, spec: Scaled, method: Method) -> Scale:
        """Scale and zero point (None unless `spec.zero_point`): shape () by tensor, (1, C, 1, ...) by channel.

        Extremes are exact. Percentiles by tensor are exact while at most 4,096 values lie beyond, else of the sample;
        by channel they are of the sample, or the extremes where it is too small to tell. Errors are summed over the
        sample. The histogram of `KL` is that of the sample between the tails and of every value in the tails by tensor,
        of the sample by channel. MX and machine formats get 1, NVFP4 the scale of its tensor: block scales follow from
        each batch.

        Raises
        ------
        InputError
            When nothing was observed, or for groups, which activations do not have.
        ValueError
            When what the method `needs` was not kept.
        """
        fixed = self._fixed_scale(spec)
        if fixed is not None:
            return fixed, None
        if not self.keep.covers(wanted := self.needs(spec, method)):
            raise ValueError(f"{self.name}: {method} needs {wanted}, kept: {self.keep}")
        rows, low, high = self._rows(spec)
        if isinstance(method, Percentile):
            low, high = self._percentiles(rows, spec, method)
        if isinstance(method, KL) and spec.block == "tensor":
            low, high = kl_range([self.weighted_sample()], low, high, spec, method)
            return self._in_shape(scale_of_range(low, high, spec), spec)
        return self._in_shape(_scale_of_rows(rows, spec, method, (low, high)), spec)

    def scales(self, spec: Scaled, ps: Sequence[float], candidates: int = 100) -> list[Scale]:
        """`scale(spec, Lp(p, candidates))` for each p, every candidate quantized once for all of them."""
        fixed = self._fixed_scale(spec)
        if fixed is not None:
            return [(fixed, None) for _ in ps]
        rows, low, high = self._rows(spec)
        return [self._in_shape(found, spec) for found in search_ranges(rows, low, high, spec, ps, candidates)]

    def weighted_sample(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values of the tensor and how many each stands for: both tails in full, the sample between them.

        A histogram of it has exact tails, needs no range in advance, and costs nothing while data stream by.
        """
        values = self._reservoir.rows.ravel().astype(np.float64)
        top, bottom = self._tails.top.astype(np.float64), self._tails.bottom.astype(np.float64)
        if self.elements < 2 * self._tails.size or self.elements == len(values):
            return values, np.full(len(values), self.elements / len(values))
        between = values[(values >= bottom.max()) & (values <= top.min())]
        rest = self.elements - len(top) - len(bottom)
        counts = np.full(len(between), rest / max(1, len(between)))
        return np.concatenate([bottom, between, top]), np.concatenate([np.ones(len(bottom)), counts, np.ones(len(top))])

    def _fixed_scale(self, spec: Scaled) -> Tensor | None:
        """The scale of formats whose scale is not searched, or None."""
        if self.elements == 0:
            raise InputError("nothing was observed", where=self.name, hint="run calibration data through first")
        if spec.is_native or spec.scale == "e8m0":
            return torch.ones((), dtype=self._dtype)
        if spec.scale == "e4m3":
            return tensor_scale_of(torch.tensor([self.low, self.high], dtype=self._dtype), spec)
        if isinstance(spec.block, int):
            raise InputError(
                f"{spec} on an activation", where=self.name, hint="use @tensor, @channel or a block format"
            )
        return None

    def _rows(self, spec: Scaled) -> tuple[Tensor, Tensor, Tensor]:
        """The sample as rows that share a scale, with their exact extremes."""
        if spec.block == "channel":
            return self.sample.t().contiguous(), torch.from_numpy(self._low), torch.from_numpy(self._high)
        return self.sample.reshape(1, -1), torch.tensor([self.low]).double(), torch.tensor([self.high]).double()

    def _in_shape(self, found: Scale, spec: Scaled) -> Scale:
        return _shaped(found, self._shape if spec.block == "channel" else (), self._dtype)

    def _percentiles(self, rows: Tensor, spec: Scaled, method: Percentile) -> tuple[Tensor, Tensor]:
        percent = method.percent
        if method.batch:
            key = percent, spec.block == "channel", method.batch
            smallest, largest, magnitude = torch.from_numpy(self._batches[key].ends)
            if spec.zero_point:
                return smallest, largest
            return (-magnitude, magnitude) if spec.format.min < 0 else (torch.zeros_like(largest), largest)
        rank = rank_from_top(percent, self.elements)
        if spec.block == "tensor" and rank < self._tails.size:
            tails = self._tails
            if spec.zero_point:
                ends = tails.smallest(rank), tails.largest(rank)
            elif spec.format.min < 0:
                ends = -tails.largest_magnitude(rank), tails.largest_magnitude(rank)
            else:
                ends = 0.0, tails.largest(rank)
            return torch.tensor([ends[0]]).double(), torch.tensor([ends[1]]).double()
        if rank_from_top(percent, rows.shape[1]) == 0:
            return torch.from_numpy(self._low), torch.from_numpy(self._high)
        return _percentiles_of_rows(rows, spec, percent)


def _percentiles_of_rows(rows: Tensor, spec: Scaled, percent: float) -> tuple[Tensor, Tensor]:
    """Smallest and largest value that a percentile leaves of each row."""
    rank = rank_from_top(percent, rows.shape[1])
    if spec.format.min < 0 and not spec.zero_point:
        high = rows.abs().kthvalue(rows.shape[1] - rank, dim=1).values
        return -high, high
    high = rows.kthvalue(rows.shape[1] - rank, dim=1).values
    low = rows.kthvalue(rank + 1, dim=1).values if spec.zero_point else torch.zeros_like(high)
    return low, high


def _scale_of_rows(rows: Tensor, spec: Scaled, method: Method, ends: tuple[Tensor, Tensor] | None = None) -> Scale:
    if isinstance(method, Percentile) and ends is None:
        ends = _percentiles_of_rows(rows, spec, method.percent)
    low, high = ends if ends is not None else (rows.amin(1), rows.amax(1))
    if isinstance(method, KL):
        if rows.shape[1] < method.bins or (ends is None and not method.weights):
            method = MSE()
        else:
            samples = [(row, np.ones(len(row))) for row in rows.double().numpy()]
            low, high = kl_range(samples, low, high, spec, method)
    if isinstance(method, MSE):
        return search_range(rows, low, high, spec, 2.0, method.candidates)
    if isinstance(method, Lp):
        return search_range(rows, low, high, spec, method.p, method.candidates)
    return scale_of_range(low, high, spec)


def _group_scales(matrix: Tensor, spec: Scaled, size: int, method: Method) -> Scale:
    shape = (matrix.shape[0], group_count(matrix.shape[1], size))
    scale, zero = matrix.new_ones(shape), matrix.new_zeros(shape)
    for view, columns in group_views(matrix, size):
        found, offset = _scale_of_rows(view.reshape(-1, view.shape[-1]), spec, method)
        scale[:, columns] = found.to(matrix.dtype).view(shape[0], -1)
        if offset is not None:
            zero[:, columns] = offset.to(matrix.dtype).view(shape[0], -1)
    return scale, zero if spec.zero_point else None


def _shaped(found: Scale, shape: tuple[int, ...], dtype: torch.dtype) -> Scale:
    scale, zero = (None if f is None else f.to(dtype).reshape(shape) for f in found)
    assert scale is not None
    return scale, zero
