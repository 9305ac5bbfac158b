"""Re-calibration of batch normalisation after folding: each channel's output gets back the mean and the deviation that
the normalisation would give it if its statistics were taken again on the quantized network.

The factor goes into the channel's weight scale where the format has one that is free (`@channel` or groups, `:f32`);
elsewhere the mean alone is restored. Layers without a folded normalisation are left.
"""

from __future__ import annotations

import torch

from hwsim.quant.correct.bias import channel_moments
from hwsim.quant.draft import Draft, DraftWeight
from hwsim.quant.statistics import statistics_of
from hwsim.quant.walk import LayerByLayer, each_layer

LARGEST_FACTOR = 2.0
_EPSILON = 1e-8


def recalibrate(draft: Draft, config: LayerByLayer) -> None:
    """Restore the statistics of every layer that a batch normalisation was folded into, in order of execution."""
    for stage, weight in each_layer(draft, config, "bn", follow_float=False):
        name = weight.layer.name
        wanted, bias = statistics_of(draft.nodes[name]), draft.bias(name)
        if wanted is None or bias is None:
            continue
        mean, variance = channel_moments(stage, weight.layer, floating=False)
        factor = torch.ones_like(mean)
        if _scales_freely(weight):
            ratio = wanted.std / (variance + _EPSILON).sqrt()
            factor = torch.where(variance > _EPSILON, ratio, factor).clamp(1 / LARGEST_FACTOR, LARGEST_FACTOR)
            _scale_rows(draft, name, factor)
        draft.set_bias(name, ((bias.double() - mean) * factor + wanted.mean).to(bias.dtype))


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
