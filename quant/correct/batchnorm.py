"""Re-calibration of batch normalisation after folding: each channel's output gets back the mean and the deviation that
the normalisation would give it if its statistics were taken again on the quantized network.

The factor goes into the channel's weight scale where the format has one that is free (`@channel` or groups, `:f32`);
elsewhere the mean alone is restored. Layers without a folded normalisation are left. Where the float network
contradicts the kept statistics on the calibration rows, its own are taken.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hwsim.quant.correct.bias import channel_moments
from hwsim.quant.draft import Draft, DraftWeight
from hwsim.quant.statistics import BatchStatistics, statistics_of
from hwsim.quant.walk import LayerByLayer, each_layer

LARGEST_FACTOR = 2.0
_EPSILON = 1e-8
_FAR = 0.7  # the logarithm of a factor of two between deviations
_FAR_SHARE = 0.25  # of channels that may be far before the statistics are not believed


def recalibrate(draft: Draft, config: LayerByLayer) -> None:
    """Restore the statistics of every layer that a batch normalisation was folded into, in order of execution."""
    for stage, weight in each_layer(draft, config, "bn", follow_float=True):
        name = weight.layer.name
        kept, bias = statistics_of(draft.nodes[name]), draft.bias(name)
        if kept is None or bias is None:
            continue
        wanted = _believed(kept, *channel_moments(stage, weight.layer, floating=True))
        mean, variance = channel_moments(stage, weight.layer, floating=False)
        factor = torch.ones_like(mean)
        if _scales_freely(weight):
            ratio = wanted.std / (variance + _EPSILON).sqrt()
            factor = torch.where(variance > _EPSILON, ratio, factor).clamp(1 / LARGEST_FACTOR, LARGEST_FACTOR)
            _scale_rows(draft, name, factor)
        draft.set_bias(name, ((bias.double() - mean) * factor + wanted.mean).to(bias.dtype))


def _believed(kept: BatchStatistics, mean: Tensor, variance: Tensor) -> BatchStatistics:
    """What the normalisation kept; where the float network itself contradicts it on the calibration rows (random
    weights, other data), what that network gives."""
    std = variance.sqrt()
    usual = (kept.std > _EPSILON) & (std > _EPSILON)
    ratio = (std / kept.std.clamp(min=_EPSILON))[usual].log().abs()
    shift = ((mean - kept.mean).abs() / kept.std.clamp(min=_EPSILON))[usual]
    far = (ratio > _FAR) | (shift > 1.0)
    if len(far) and float(far.double().mean()) > _FAR_SHARE:
        return BatchStatistics(mean, std, kept.unit)
    return kept


def _scales_freely(weight: DraftWeight) -> bool:
    free = weight.spec.scale == "f32" and weight.spec.mx_name is None
    return weight.codes is not None and free and weight.spec.block != "tensor"


def _scale_rows(draft: Draft, name: str, factor: torch.Tensor) -> None:
    """The same codes, each output channel's scales times a factor."""
    weight = draft.weights[name]
    assert weight.codes is not None and weight.scale is not None
    rows = torch.from_numpy(weight.codes.dequantize()).to(weight.scale.dtype).reshape(weight.rows.shape)
    by_row = factor.to(rows.dtype).reshape(-1, *[1] * (rows.dim() - 1))
    scale = weight.scale * factor.to(weight.scale.dtype).reshape(-1, *[1] * (weight.scale.dim() - 1))
    draft.set_codes(name, rows * by_row, weight.spec, scale, weight.zero_point)
