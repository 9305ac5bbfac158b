"""Clip points of least Kullback-Leibler divergence between a tensor's histogram and that of its quantized values.

Source of the search: S. Migacz, "8-bit inference with TensorRT", GTC 2017: a histogram of magnitudes, thresholds at
its bin edges; what is clipped counts in the last bin kept, levels spread their mass evenly over those of their bins
that are not empty. There the levels are 128 equal intervals. Here a bin belongs to the level that its centre is rounded
to, so the search serves integers, minifloats, powers and zero points alike. A level covers consecutive bins, so with
running sums a threshold costs as many operations as there are levels, and every threshold is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.core.errors import InputError
from hwsim.core.formats import Format, Int, Power
from hwsim.core.scaled import Scaled
from hwsim.quant.ranges import scale_of_range

Variant = Literal["tensorrt", "clipped", "positive"]
Array = NDArray[np.float64]

_AT_ONCE = 1 << 19  # thresholds times levels
_OCTAVES = 8  # of power-of-two scales to try


@dataclass(frozen=True, slots=True)
class KL:
    """The scale of least Kullback-Leibler divergence between the histograms before and after quantization.

    Parameters
    ----------
    bins : of the histogram; formats with as many levels or more get the full range.
    variant : `tensorrt`: clipped mass is added to the last bin kept. `clipped`: the divergence within the clip points,
        both histograms normalised there, plus -log(1 - clipped mass), which is the divergence from a quantizer
        that holds only the mass kept. `positive`: as `tensorrt`, but of the values above zero alone where a
        tensor is never negative or its format has no negative values. Ours after CFWS (arXiv 2312.10588), whose
        own code was closed and whose text was not within reach: there, histograms before a ReLU count positive values
        only. Here a tensor is observed where a compute layer reads it, so after the ReLU; what is
        left of the negatives is a heap of exact zeros, which every format represents without error but which
        would count in the bins around zero. Tensors with both signs in a signed format are treated as by `tensorrt`.
    weights : whether weights are calibrated so too, instead of by squared error; usual practice is not to.

    Notes
    -----
    Rows with fewer elements than bins have no shape to compare: they get the scale of least squared error. Zeros after
    a ReLU mislead `tensorrt` and `clipped`: of a rectified normal tensor in uint8 they clip at 1.7 deviations
    (signal-to-noise 15 dB), `positive` at 4.1 (46 dB). Very heavy tails are clipped more than squared errors would ask.
    """

    bins: int = 2048
    variant: Variant = "positive"
    weights: bool = False

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            allowed = ", ".join(get_args(Variant))
            raise InputError(f"variant {self.variant!r}", where="kl", hint=f"allowed: {allowed}")
        if not 16 <= self.bins <= 1 << 16:
            raise InputError(f"{self.bins} bins", where="kl", hint="allowed: 16..65536; usual: 2048")


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of equal bins from `start` on."""

    counts: Array
    start: float
    width: float

    @property
    def centers(self) -> Array:
        return np.asarray(self.start + self.width * (np.arange(len(self.counts)) + 0.5), dtype=np.float64)


def kl_range(
    samples: Sequence[tuple[Array, Array]], low: Tensor, high: Tensor, spec: Scaled, method: KL
) -> tuple[Tensor, Tensor]:
    """Clip points of rows, for `scale_of_range`.

    Parameters
    ----------
    samples : for each row its values and how many each stands for.
    low, high : extremes of each row, shape (R,); may reach beyond the values.

    Returns
    -------
    low, high
        float64, shape (R,).
    """
    ends = list(zip(low.tolist(), high.tolist(), strict=True))
    factors = [
        _factor(histogram, pair, spec, method) if (histogram := _histogram(*sample, pair, spec, method)) else 1.0
        for sample, pair in zip(samples, ends, strict=True)
    ]
    factor = torch.tensor(factors, dtype=torch.float64)
    return low.double() * factor, high.double() * factor


def _histogram(values: Array, counts: Array, ends: tuple[float, float], spec: Scaled, method: KL) -> Histogram | None:
    """The histogram that a format is compared with; None where there is nothing to compare."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    one_sided = spec.format.min == 0.0 and not spec.zero_point
    if method.variant == "positive" and (one_sided or low == 0.0):
        values, counts = values[values > 0], counts[values > 0]
    elif one_sided:
        values = np.maximum(values, 0.0)
    if not spec.zero_point:
        values = np.abs(values)
        low, high = 0.0, high if one_sided else max(high, -low)
    if high <= low or len(values) == 0:
        return None
    found, _ = np.histogram(values, method.bins, (low, high), weights=counts)
    return Histogram(found, low, (high - low) / method.bins)


def _factor(histogram: Histogram, ends: tuple[float, float], spec: Scaled, method: KL) -> float:
    """The factor of the range whose divergence is least; of equals the largest."""
    levels = _levels(spec)
    factors = np.arange(len(levels), method.bins + 1, dtype=np.float64)[::-1] / method.bins
    if spec.scale == "pow2":
        factors = 2.0 ** -np.arange(_OCTAVES, dtype=np.float64)
    if len(levels) >= method.bins:
        return 1.0
    low, high = (torch.from_numpy(factors) * end for end in ends)
    scale, zero = scale_of_range(low, high, spec)
    offset = np.zeros(len(factors)) if zero is None else zero.numpy()
    step = max(1, _AT_ONCE // len(levels))
    found = [
        divergence(histogram, levels, _boundaries(spec), scale.numpy()[cut], offset[cut], method.variant == "clipped")
        for cut in (slice(start, start + step) for start in range(0, len(factors), step))
    ]
    return float(factors[np.concatenate(found).argmin()])


def divergence(
    histogram: Histogram, levels: Array, boundaries: Array, scale: Array, zero_point: Array, renormalised: bool
) -> Array:
    """Divergence in nats of a histogram from its quantized version, for each scale; infinite where mass has no level.

    Parameters
    ----------
    levels, boundaries : values of the format in rising order and where rounding passes from one to the next.
    scale, zero_point : shape (K,).
    renormalised : variant `clipped`.
    """
    counts, centers = histogram.counts, histogram.centers
    ends = (levels[[0, -1]] - zero_point[:, None]) * scale[:, None]
    if histogram.start == 0.0 and levels[0] >= 0.0:
        ends[:, 0] = 0.0  # magnitudes: nothing is clipped at zero
    slack = 1e-9 * histogram.width
    first = np.searchsorted(centers, ends[:, 0] - slack)
    last = np.maximum(np.searchsorted(centers, ends[:, 1] + slack), first + 1)  # one behind
    edges = np.searchsorted(centers, ((boundaries - zero_point[:, None]) * scale[:, None]).ravel())
    edges = np.clip(edges.reshape(len(scale), -1), first[:, None], last[:, None])
    edges = np.concatenate([first[:, None], edges, last[:, None]], axis=1)
    running = np.concatenate([[0.0], np.cumsum(counts)])
    bins = np.concatenate([[0], np.cumsum(counts > 0)])
    surprise = np.concatenate([[0.0], np.cumsum(_xlogx(counts))])
    mass, occupied = np.diff(running[edges]), np.diff(bins[edges]).astype(np.float64)
    kept, total = running[last] - running[first], running[-1]
    own = surprise[last] - surprise[first]
    reference = mass.copy()
    if not renormalised:
        _add_clipped(reference, occupied, own, counts, edges, running)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(reference > 0, reference * np.log(mass / occupied), 0.0).sum(1)
        held = kept if renormalised else np.full(len(kept), total)
        sign = -1.0 if renormalised else 1.0
        found = (own - spread) / held + sign * np.log(kept / total)
    return np.where(kept > 0, found, np.inf)


def _add_clipped(
    reference: Array, occupied: Array, own: Array, counts: Array, edges: NDArray[np.int64], running: Array
) -> None:
    """Move what lies beyond the ends into the outermost bins that are kept, in place."""
    rows = np.arange(len(edges))
    for at, clipped in (
        (edges[:, 0], running[edges[:, 0]]),
        (edges[:, -1] - 1, running[-1] - running[edges[:, -1]]),
    ):
        level = (edges[:, 1:] > at[:, None]).argmax(1)  # the level of that bin
        reference[rows, level] += clipped
        occupied[rows, level] += (clipped > 0) & (counts[at] == 0)
        own += _xlogx(counts[at] + clipped) - _xlogx(counts[at])


def _levels(spec: Scaled) -> Array:
    """Values of a format; of those without a zero point, which are symmetric, the half that magnitudes use."""
    fmt = spec.format
    if isinstance(fmt, Int) and fmt.bits > 16:
        return np.arange(1 << 16, dtype=np.float64)  # more than any histogram has bins
    values = fmt.values()
    return values if spec.zero_point else values[values >= 0]


def _boundaries(spec: Scaled) -> Array:
    """Where rounding passes from a level to the next; a tie belongs to the even code."""
    levels = _levels(spec)
    middle = _in_power_domain(levels, spec.format) if isinstance(spec.format, Power) else (levels[1:] + levels[:-1]) / 2
    # a centre on the boundary below an odd code stays down: it is even
    even_below = (np.arange(len(middle)) + (int(levels[0]) if spec.zero_point else 0)) % 2 == 0
    return np.asarray(middle + np.where(even_below, 1.0, -1.0) * 1e-12 * np.abs(middle))


def _in_power_domain(levels: Array, fmt: Format) -> Array:
    assert isinstance(fmt, Power)
    return np.asarray(((np.arange(len(levels) - 1) + 0.5) / fmt.max_code) ** (1.0 / fmt.exponent))


def _xlogx(x: Array) -> Array:
    return np.where(x > 0, x * np.log(np.where(x > 0, x, 1.0)), 0.0)
