"""Bias correction: the mean error that quantization leaves on each output channel is taken off the bias.

Empirical, as in Nagel et al. (arXiv 1906.04721, section 4.2, appendix D): layer by layer in order of execution, on
inputs that the quantized and already corrected layers before give, so errors that come in from before are made up for
too.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import Node

from hwsim.core.workload import Layer
from hwsim.quant.draft import Draft
from hwsim.quant.store import Store
from hwsim.quant.walk import LayerByLayer, Stage, each_layer


def correct_biases(draft: Draft, config: LayerByLayer) -> None:
    """Add to each bias the mean difference between float and quantized output of its layer."""
    for stage, weight in each_layer(draft, config, "bias", follow_float=True):
        layer = weight.layer
        bias = draft.bias(layer.name)
        if bias is not None and layer.kind != "embedding":
            wanted, found = (channel_moments(stage, layer, floating=floating)[0] for floating in (True, False))
            draft.set_bias(layer.name, (bias.double() + wanted - found).to(bias.dtype))


def channel_moments(stage: Stage, layer: Layer, *, floating: bool) -> tuple[Tensor, Tensor]:
    """Mean and variance of a layer's output by channel over the calibration set, float64, shape (Cout,)."""
    walk = stage.walk
    node: Node = walk.draft.nodes[layer.name]
    segment = stage.segment([node], floating=floating)
    values: dict[Node, Store] = walk.floats if floating else walk.quantized
    axis = -1 if layer.kind == "linear" else 1
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    with torch.no_grad():
        for index in range(walk.batches):
            (y,) = segment(*(values[n].batch(index) for n in segment.inputs))
            channels = y.movedim(axis, 0).flatten(1)
            count += channels.shape[1]
            total = total + channels.sum(1, dtype=torch.float64)
            squares = squares + channels.double().square().sum(1)
    mean = total / count
    return mean, (squares / count - mean.square()).clamp(min=0.0)
