"""DetPTQ: each tensor gets the p of its L_p scale under which the network's outputs change least (arXiv 2304.09785).

The paper's detection output loss compares the quantized detector with the float one, whose outputs serve as labels:
class scores by cross entropy, boxes where the float score says that something is there. A network's output convention
is given by `OutputConvention`; without one, outputs are class scores (divergence of softmax) where they have two axes
and maps of numbers (relative squared error) elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hwsim.quant.calibrate.output_search import search_by_output
from hwsim.quant.draft import Draft
from hwsim.quant.observers import Scale
from hwsim.quant.output_loss import prediction_difference, relative_change


@dataclass(frozen=True, slots=True)
class OutputConvention:
    """Which channels of a detector's raw output maps hold what.

    Attributes
    ----------
    scores : (start, end) of the class score logits (sigmoid).
    boxes : (start, end) of the box numbers.
    axis : of channels.
    """

    scores: tuple[int, int]
    boxes: tuple[int, int]
    axis: int = 1


@dataclass(frozen=True, slots=True)
class AdaptiveLp:
    """Settings.

    Attributes
    ----------
    powers : candidate p; the paper names a similar set.
    threshold : of the float score above which boxes count.
    rows : calibration rows that are looked at.
    scores, boxes : channels of class scores and boxes in each output of a detector; both empty for other networks.
    """

    powers: tuple[float, ...] = (1.0, 1.5, 2.0, 2.4, 3.0, 3.5, 4.0)
    threshold: float = 0.05
    rows: int = 64
    scores: tuple[int, ...] = ()
    boxes: tuple[int, ...] = ()


def adapt(draft: Draft, config: AdaptiveLp) -> None:
    """Choose p for each tensor in order; `draft.chosen_powers` then says which."""
    convention = None
    if config.scores and config.boxes:
        convention = OutputConvention(config.scores, config.boxes)  # type: ignore[arg-type]
    elif "convention" in draft.network.module.meta:
        convention = draft.network.module.meta["convention"]

    def candidates(name: str) -> Sequence[Scale]:
        spec = draft.quantizers[name].spec
        if spec.is_native or spec.mx_name is not None:
            return []
        return draft.calibration.observers[name].scales(spec, config.powers)

    def loss(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> float:
        return output_loss(wanted, found, convention, config.threshold)

    taken = search_by_output(draft, candidates, loss, rows=config.rows, what="adaptive-lp")
    draft.notes["adaptive_lp"] = {
        name: {"p": config.powers[place], "losses": losses} for name, (place, losses) in taken.items()
    }


def output_loss(
    wanted: Sequence[Tensor], found: Sequence[Tensor], convention: OutputConvention | None, threshold: float
) -> float:
    """How different outputs are from the float network's, which serve as labels."""
    total = 0.0
    for reference, output in zip(wanted, found, strict=True):
        if convention is not None:
            total += float(_detection(reference, output, convention, threshold))
        elif reference.dim() == 2:
            total += float(prediction_difference(reference, output))
        else:
            total += relative_change(reference, output)
    return total


def _detection(reference: Tensor, output: Tensor, convention: OutputConvention, threshold: float) -> Tensor:
    """Cross entropy of scores, averaged over what counts as an object; L1 of boxes there."""
    (first, last), (begin, end) = convention.scores, convention.boxes
    wanted = reference.movedim(convention.axis, -1)
    found = output.movedim(convention.axis, -1)
    target = torch.sigmoid(wanted[..., first:last])
    objects = target.amax(-1) > threshold
    count = objects.sum().clamp(min=1)
    entropy = F.binary_cross_entropy_with_logits(found[..., first:last], target, reduction="sum")
    least = F.binary_cross_entropy_with_logits(wanted[..., first:last], target, reduction="sum")
    boxes = (found[..., begin:end] - wanted[..., begin:end]).abs()[objects].sum()
    return (entropy - least + boxes) / count
