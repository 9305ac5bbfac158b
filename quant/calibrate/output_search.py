"""Choosing scales by what they do to the network's outputs, one after the other in order of execution.

Every candidate costs one pass through the part of the network behind it. Everything else is quantized as it stands, and
the best candidate is taken, the present one included: the loss never rises, so that what a search starts from bounds
what it ends with. Judging each tensor with the rest of the network in float, which the papers leave open, gives no such
bound: errors of tensors add up or cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.fx import Node

from hwsim.quant.draft import Draft
from hwsim.quant.observers import Scale
from hwsim.quant.output_loss import tensors_of
from hwsim.quant.segment import Segment, Skeleton

OutputLoss = Callable[[Sequence[Tensor], Sequence[Tensor]], float]


@dataclass(frozen=True, slots=True)
class Knob:
    """Something of a draft that can be set to one of several candidates.

    Attributes
    ----------
    name : of the tensor, or of the layer that holds the weight.
    target : of the graph: the submodule of a quantizer, or the buffer of a weight.
    settings : each sets the draft to one candidate.
    """

    name: str
    target: str
    settings: Sequence[Callable[[], None]]


def tensor_knob(draft: Draft, name: str, scales: Sequence[Scale]) -> Knob:
    """The scale of a tensor."""
    return Knob(name, draft.quantizer_target(name), [partial(draft.set_step, name, *scale) for scale in scales])


def weight_knob(draft: Draft, name: str, scales: Sequence[Scale]) -> Knob:
    """The scale of a weight, rounded to nearest."""
    weight = draft.weights[name]
    settings = [partial(draft.set_codes, name, weight.rows, weight.spec, *scale) for scale in scales]
    return Knob(name, draft.attribute(name), settings)


class OutputSearch:
    """Turns knobs of a draft to where its outputs differ least from the float network's.

    Parameters
    ----------
    loss : (float outputs, outputs) -> how different, 0 where equal.
    rows : calibration rows that are looked at; a network of fixed batch size looks at one batch.
    """

    def __init__(self, draft: Draft, loss: OutputLoss, rows: int) -> None:
        self.draft, self.loss = draft, loss
        self.x = draft.calibration.x[: draft.network.fixed_batch or rows]
        with torch.no_grad():
            self.wanted = tensors_of(draft.network(self.x))

    def total(self) -> float:
        """The loss of the draft as it stands."""
        with torch.no_grad():
            return self.loss(self.wanted, tensors_of(self.draft.module(self.x)))

    def improve(self, knobs: Sequence[Knob], now: int, what: str) -> list[tuple[Knob, int, list[float]]]:
        """One sweep over the knobs in order of execution.

        Parameters
        ----------
        now : the place, in the settings of every knob, of the one that stands; it is kept unless another is better.
        what : is being done, for progress.

        Returns
        -------
        list
            Each knob that the outputs depend on, the place of the setting that was taken, and the loss of each.
        """
        skeleton = Skeleton(self.draft, self.x)
        order = sorted((place, i) for i, k in enumerate(knobs) if (place := _place(skeleton, k)) is not None)
        values: dict[Node, Tensor] = {skeleton.source: self.x}
        chosen: list[tuple[Knob, int, list[float]]] = []
        done = -1
        for index, (place, which) in enumerate(order):
            knob = knobs[which]
            self.draft.say(f"{what} {knob.name}", index, len(order))
            values, done = _advance(skeleton, values, done, place - 1), place - 1
            losses = self._losses(knob, skeleton.segment(skeleton.nodes[place:], skeleton.results), values)
            best = min(range(len(losses)), key=lambda i: (losses[i], i != now))
            knob.settings[best]()
            chosen.append((knob, best, losses))
        self.draft.say(what, len(order), len(order))
        return chosen

    def _losses(self, knob: Knob, rest: Segment, values: dict[Node, Tensor]) -> list[float]:
        """Of each setting, seen through the part of the network that begins with what the knob sets."""
        inputs, losses = [values[node] for node in rest.inputs], []
        for setting in knob.settings:
            setting()
            setattr(rest.module, knob.target, getattr(self.draft.module, knob.target))
            with torch.no_grad():
                losses.append(self.loss(self.wanted, tensors_of(rest(*inputs))))
        return losses


def _place(skeleton: Skeleton, knob: Knob) -> int | None:
    """The first node that reads what the knob sets, None where nothing does."""
    for place, node in enumerate(skeleton.nodes):
        quantizer = node.op == "call_module" and node.target == knob.target
        if quantizer or any(n.op == "get_attr" and n.target == knob.target for n in node.all_input_nodes):
            return place
    return None


def _advance(skeleton: Skeleton, values: dict[Node, Tensor], done: int, place: int) -> dict[Node, Tensor]:
    """Values of the nodes after `done` up to `place`, and what later nodes still read."""
    alive = skeleton.live_after(place)
    fresh = [node for node in skeleton.nodes[done + 1 : place + 1] if node in alive]
    found = dict(values)
    if fresh:
        segment = skeleton.segment(skeleton.nodes[done + 1 : place + 1], fresh)
        with torch.no_grad():
            found |= zip(segment.outputs, segment(*(values[n] for n in segment.inputs)), strict=True)
    return {node: found[node] for node in alive}
