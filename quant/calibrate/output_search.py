"""Choosing the scale of each tensor by what it does to the network's outputs, tensor by tensor in order of execution.

Every candidate costs one pass through the part of the network behind the tensor. All other tensors and all weights are
quantized as they stand, and a scale moves only where the outputs then differ less: the loss never rises, so that what a
search starts from bounds what it ends with. Judging a tensor in the float network instead, as the papers leave open,
gives no such bound: errors of tensors add up, or cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from hwsim.quant.draft import Draft
from hwsim.quant.observers import Scale
from hwsim.quant.output_loss import tensors_of
from hwsim.quant.segment import Segment, Skeleton

OutputLoss = Callable[[Sequence[Tensor], Sequence[Tensor]], float]
Candidates = Callable[[str], Sequence[Scale]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What became of one tensor.

    Attributes
    ----------
    taken : the place of its new scale among the candidates; None where none was better than the scale it had.
    losses : of the network's outputs under each candidate.
    """

    taken: int | None
    losses: tuple[float, ...]


class OutputSearch:
    """Moves the scales of a draft's tensors to where its outputs differ least from the float network's.

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

    def improve(self, candidates: Candidates, what: str) -> dict[str, Choice]:
        """One sweep over the tensors in order of execution.

        Parameters
        ----------
        candidates : tensor name -> scales to try; none for tensors to leave alone.
        what : is being done, for progress.

        Returns
        -------
        dict
            The choice for each tensor that had candidates.
        """
        draft, least = self.draft, self.total()
        skeleton = Skeleton(draft, self.x)
        places = [(place, node) for place, node in enumerate(skeleton.nodes) if node.op == "call_module"]
        values: dict[Node, Tensor] = {skeleton.source: self.x}
        chosen: dict[str, Choice] = {}
        done = -1
        for index, (place, node) in enumerate(places):
            name = str(node.meta["quantizes"])
            draft.say(f"{what} {name}", index, len(places))
            options = candidates(name)
            if not options:
                continue
            values, done = _advance(skeleton, values, done, place - 1), place - 1
            rest = skeleton.segment(skeleton.nodes[place:], skeleton.results)
            chosen[name] = self._choose(name, options, least, rest, values)
            least = min(least, *chosen[name].losses)
        draft.say(what, len(places), len(places))
        return chosen

    def _choose(
        self, name: str, options: Sequence[Scale], least: float, rest: Segment, values: dict[Node, Tensor]
    ) -> Choice:
        """Give a tensor the best of its candidates, or the scale it had."""
        quantizer, losses = self.draft.quantizers[name], []
        before = quantizer.scale, quantizer.zero_point
        inputs = [values[node] for node in rest.inputs]
        for option in options:
            self.draft.set_step(name, *option)
            with torch.no_grad():
                losses.append(self.loss(self.wanted, tensors_of(rest(*inputs))))
        best = min(range(len(options)), key=losses.__getitem__)
        better = losses[best] < least
        self.draft.set_step(name, *(options[best] if better else before))
        return Choice(best if better else None, tuple(losses))


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
