"""Bias correction: the mean error that quantization leaves on each output channel is taken off the bias.

Empirical, as in Nagel et al. (arXiv 1906.04721, section 4.2, appendix D): layer by layer in order of execution, on
inputs that the quantized and already corrected layers before give, so errors that come in from before are made up for
too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from hwsim.core.workload import Layer
from hwsim.quant.draft import Draft
from hwsim.quant.store import Store
from hwsim.quant.walk import Stage, Walk


@dataclass(frozen=True, slots=True)
class BiasCorrection:
    """Settings.

    Attributes
    ----------
    rows : calibration rows used at most; batch of a forward pass.
    """

    rows: int = 1024
    batch: int = 64
    memory_mb: float = 2048.0


def correct_biases(draft: Draft, config: BiasCorrection) -> None:
    """Add to each bias the mean difference between float and quantized output of its layer."""
    walk = Walk(
        draft, draft.calibration.x[: config.rows], batch=config.batch, granularity="layer", memory_mb=config.memory_mb
    )
    for index, stage in enumerate(walk):
        for name in stage.block.layers:
            bias = draft.bias(name) if name in draft.weights else None
            if bias is None:
                continue
            draft.say(f"bias {name}", index, len(walk.blocks))
            layer = draft.network.workload[name]
            wanted = channel_moments(stage, layer, floating=True)[0]
            found = channel_moments(stage, layer, floating=False)[0]
            draft.set_bias(name, (bias.double() + wanted - found).to(bias.dtype))
    draft.say("bias", len(walk.blocks), len(walk.blocks))


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
