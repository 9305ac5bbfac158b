"""Distribution correction: float block inputs moved towards the statistics that batch normalisation kept of training.

PD-Quant (arXiv 2212.07048, section 3.3): for each calibration batch, minimise over the block's float input x

    sum over folded normalisations ( |mu - mean(a)|^2 + |sigma - std(a)|^2 ) / rows  +  |x - x_fp|^2 / lambda_c

where a is what entered the normalisation, mean and std over the positions of each row. With the normalisation folded,
a = (output - beta) sigma / gamma + mu, so differences of the folded output times `unit` (sigma / |gamma|) say the same.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import Node

from hwsim.quant.reconstruction import Reconstruction
from hwsim.quant.reconstruction_data import BlockData
from hwsim.quant.rounding.training import block_loss
from hwsim.quant.statistics import BatchStatistics, statistics_of
from hwsim.quant.store import Store
from hwsim.quant.walk import Stage

RATE = 1e-3
_EPSILON = 1e-6


def corrected_inputs(stage: Stage, data: BlockData, config: Reconstruction) -> None:
    """Replace the float inputs and the targets of a block by corrected ones.

    A block without folded normalisation, or whose inputs are no floating-point tensors, is left as it is.
    """
    known = [(node, stats) for node in stage.block.nodes if (stats := statistics_of(node)) is not None]
    if not known or not all(store.data.is_floating_point() for store in data.floats):
        return
    watched = stage.segment([node for node, _ in known], floating=True)
    whole = stage.segment(floating=True)
    places = {node: i for i, node in enumerate(data.inputs)}
    moved = [_like(stage, store) for store in data.floats]
    targets = [_like(stage, store) for store in data.targets]
    for index in range(data.batches):
        start = [store.batch(index) for store in data.floats]
        found = _correct(start, lambda xs: watched(*_pick(xs, watched.inputs, places)), known, config)
        for store, value in zip(moved, found, strict=True):
            store.data[index].copy_(value)
        with torch.no_grad():
            for store, value in zip(targets, whole(*_pick(found, whole.inputs, places)), strict=True):
                store.data[index].copy_(value)
    data.floats, data.targets = moved, targets


def _pick(values: list[Tensor], nodes: tuple[Node, ...], places: dict[Node, int]) -> list[Tensor]:
    return [values[places[node]] for node in nodes]


def _like(stage: Stage, store: Store) -> Store:
    return stage.walk.arena.new(len(store), store.batch(0))


def _correct(
    start: list[Tensor], run: object, known: list[tuple[Node, BatchStatistics]], config: Reconstruction
) -> list[Tensor]:
    """The inputs of one batch after `distribution_steps` of Adam."""
    moving = [x.clone().requires_grad_(True) for x in start]
    optimizer = torch.optim.Adam(moving, lr=RATE)
    with torch.enable_grad():
        for _ in range(config.distribution_steps):
            outputs = run(moving)  # type: ignore[operator]
            loss = sum(distance(y, stats) for y, (_, stats) in zip(outputs, known, strict=True))
            kept = sum(block_loss(x, origin, 2.0) for x, origin in zip(moving, start, strict=True))
            optimizer.zero_grad(set_to_none=True)
            (loss + kept / config.closeness).backward()  # type: ignore[union-attr]
            optimizer.step()
    return [x.detach() for x in moving]


def distance(output: Tensor, stats: BatchStatistics) -> Tensor:
    """Squared distance of each row's channel means and deviations from the kept ones, in units before normalisation,
    mean over rows."""
    axes = tuple(range(2, output.dim()))
    if not axes:  # no positions: the rows of the batch are the sample
        mean, std = output.mean(0, keepdim=True), output.std(0, keepdim=True)
    else:
        mean, std = output.mean(axes), (output.var(axes, unbiased=False) + _EPSILON).sqrt()
    unit = stats.unit.to(output.dtype)
    away = (mean - stats.mean.to(output.dtype)) * unit, (std - stats.std.to(output.dtype)) * unit
    return sum(part.square().sum() / len(part) for part in away)  # type: ignore[return-value]
