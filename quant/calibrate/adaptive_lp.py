"""DetPTQ: each tensor gets the p of its L_p scale under which the network's outputs change least (arXiv 2304.09785).

The paper's detection output loss compares the quantized detector with the float one, whose outputs serve as labels:
class scores by cross entropy, boxes by L1 where the float score says that something is there. The network's head says
which channels are what; without one, outputs are class scores (divergence of softmax) where they have two axes and maps
of numbers (relative squared error) elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hwsim.capture.detectors import HeadSpec
from hwsim.quant.calibrate.output_search import OutputSearch
from hwsim.quant.draft import Draft
from hwsim.quant.observers import Scale
from hwsim.quant.output_loss import prediction_difference, relative_change


@dataclass(frozen=True, slots=True)
class AdaptiveLp:
    """Settings.

    Attributes
    ----------
    powers : candidate p; the paper names a similar set.
    threshold : of the float score above which boxes count.
    rows : calibration rows that are looked at.
    """

    powers: tuple[float, ...] = (1.0, 1.5, 2.0, 2.4, 3.0, 3.5, 4.0)
    threshold: float = 0.05
    rows: int = 64


def adapt(draft: Draft, config: AdaptiveLp) -> None:
    """Start every tensor from the one p that serves the network best, then let each in order take a better one.

    The loss on the rows that are looked at is therefore at most that of the best p for all. `draft.notes["adaptive_lp"]`
    then says what one p for all costs (`fixed`), what the chosen ones cost (`loss`) and, by tensor (`tensors`), the p
    that was taken and what each would cost.
    """
    head = draft.network.head

    def loss(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> float:
        return output_loss(wanted, found, head, config.threshold)

    options = {name: _scales(draft, name, config.powers) for name in draft.quantizers}
    search = OutputSearch(draft, loss, config.rows)
    fixed = []
    for place in range(len(config.powers)):
        _take(draft, options, place)
        fixed.append(search.total())
    start = min(range(len(fixed)), key=fixed.__getitem__)
    _take(draft, options, start)
    chosen = search.improve(options.__getitem__, "adaptive-lp")
    tensors = {
        name: {"p": config.powers[start if choice.taken is None else choice.taken], "losses": list(choice.losses)}
        for name, choice in chosen.items()
    }
    by_power = dict(zip(config.powers, fixed, strict=True))
    draft.notes["adaptive_lp"] = {"fixed": by_power, "loss": search.total(), "tensors": tensors}


def _scales(draft: Draft, name: str, powers: Sequence[float]) -> Sequence[Scale]:
    """The scale of a tensor for each p; none where a rule sets it."""
    spec = draft.quantizers[name].spec
    if spec.is_native or spec.mx_name is not None:
        return []
    return draft.calibration.observers[name].scales(spec, powers)


def _take(draft: Draft, options: Mapping[str, Sequence[Scale]], place: int) -> None:
    """The same p for every tensor."""
    for name, scales in options.items():
        if scales:
            draft.set_step(name, *scales[place])


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
