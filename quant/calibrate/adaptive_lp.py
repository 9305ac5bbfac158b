"""DetPTQ: each tensor gets the p of its L_p scale under which the network's outputs change least (arXiv 2304.09785).

The paper's detection output loss compares the quantized detector with the float one, whose outputs serve as labels:
class scores by cross entropy, boxes by L1 where the float score says that something is there. The network's head says
which channels are what; without one, outputs are class scores (divergence of softmax) where they have two axes and maps
of numbers (relative squared error) elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hwsim.capture.detectors import HeadSpec
from hwsim.quant.calibrate.output_search import Knob, OutputSearch, tensor_knob, weight_knob
from hwsim.quant.draft import Draft
from hwsim.quant.observers import Lp, weight_scale
from hwsim.quant.output_loss import prediction_difference, relative_change


@dataclass(frozen=True, slots=True)
class AdaptiveLp:
    """Settings.

    Attributes
    ----------
    powers : candidate p; the paper names a similar set.
    threshold : of the float score above which boxes count.
    rows : calibration rows that are looked at.
    weights : choose a p for weights too; else they keep the scales that the recipe gave them.
    """

    powers: tuple[float, ...] = (1.0, 1.5, 2.0, 2.4, 3.0, 3.5, 4.0)
    threshold: float = 0.05
    rows: int = 64
    weights: bool = True


def adapt(draft: Draft, config: AdaptiveLp) -> None:
    """Start from the one p that serves the whole network best, then let each tensor in order take a better one.

    The loss on the rows that are looked at is therefore at most that of the best p for all.
    `draft.notes["adaptive_lp"]` then says what one p for all costs (`fixed`), what the chosen ones cost (`loss`), and
    what was taken by tensor (`tensors`) and by the layer of a weight (`weights`): the `p`, and the `losses` of all.
    """
    head = draft.network.head

    def loss(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> float:
        return output_loss(wanted, found, head, config.threshold)

    weights = _weight_knobs(draft, config) if config.weights else []
    tensors = _tensor_knobs(draft, config)
    search = OutputSearch(draft, loss, config.rows)
    fixed = []
    for place in range(len(config.powers)):
        _set_all([*weights, *tensors], place)
        fixed.append(search.total())
    start = min(range(len(fixed)), key=fixed.__getitem__)
    _set_all([*weights, *tensors], start)
    found = search.improve([*weights, *tensors], start, "adaptive-lp")

    def taken(knobs: Sequence[Knob]) -> dict[str, object]:
        return {
            knob.name: {"p": config.powers[place], "losses": losses} for knob, place, losses in found if knob in knobs
        }

    draft.notes["adaptive_lp"] = {
        "fixed": dict(zip(config.powers, fixed, strict=True)),
        "loss": search.total(),
        "tensors": taken(tensors),
        "weights": taken(weights),
    }


def _tensor_knobs(draft: Draft, config: AdaptiveLp) -> list[Knob]:
    """Of tensors whose scale is free."""
    return [
        tensor_knob(draft, name, draft.calibration.act_scales(name, quantizer.spec, config.powers))
        for name, quantizer in draft.quantizers.items()
        if not quantizer.spec.is_native and quantizer.spec.mx_name is None
    ]


def _weight_knobs(draft: Draft, config: AdaptiveLp) -> list[Knob]:
    """Of weights whose scale is free."""
    return [
        weight_knob(draft, name, [weight_scale(weight.rows, weight.spec, Lp(p)) for p in config.powers])
        for name, weight in draft.weights.items()
        if not weight.spec.is_native and weight.spec.mx_name is None
    ]


def _set_all(knobs: Sequence[Knob], place: int) -> None:
    for knob in knobs:
        knob.settings[place]()


def output_loss(wanted: Sequence[Tensor], found: Sequence[Tensor], head: HeadSpec | None, threshold: float) -> float:
    """How different outputs are from the float network's, which serve as labels."""
    total = 0.0
    for reference, output in zip(wanted, found, strict=True):
        if head is not None:
            total += float(_detection(reference, output, head, threshold))
        elif reference.dim() == 2:
            total += float(prediction_difference(reference, output))
        else:
            total += relative_change(reference, output)
    return total


def _detection(reference: Tensor, output: Tensor, head: HeadSpec, threshold: float) -> Tensor:
    """Cross entropy of scores, averaged over what counts as an object; L1 of boxes there."""
    wanted, found = reference[:, head.class_channels], output[:, head.class_channels]
    target = torch.sigmoid(wanted)
    objects = target.amax(1, keepdim=True) > threshold
    entropy = F.binary_cross_entropy_with_logits(found, target, reduction="sum")
    least = F.binary_cross_entropy_with_logits(wanted, target, reduction="sum")
    boxes = (output[:, head.box_channels] - reference[:, head.box_channels]).abs() * objects
    return (entropy - least + boxes.sum()) / objects.sum().clamp(min=1)
