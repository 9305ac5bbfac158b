"""Choosing the scale of each tensor by what it does to the network's outputs, tensor by tensor in order of execution.

Every candidate costs one pass through the part of the network behind the tensor. Tensors before it have what was chosen
for them, those behind it are float, and so are all weights: what is judged is the one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.fx import Node

from hwsim.quant.draft import Draft
from hwsim.quant.kernels import fake_quantize
from hwsim.quant.observers import Scale
from hwsim.quant.output_loss import tensors_of
from hwsim.quant.segment import Skeleton

OutputLoss = Callable[[Sequence[Tensor], Sequence[Tensor]], float]
Candidates = Callable[[str], Sequence[Scale]]


def search_by_output(
    draft: Draft, candidates: Candidates, loss: OutputLoss, *, rows: int, what: str
) -> dict[str, tuple[int, list[float]]]:
    """Give each quantizer with one scale the candidate of least output loss.

    Parameters
    ----------
    candidates : tensor name -> scales to try; none for tensors to leave alone.
    loss : (float outputs, outputs) -> how different.
    rows : calibration rows that are looked at.

    Returns
    -------
    dict
        By tensor, which candidate was taken and the loss of each.
    """
    x = draft.calibration.x[: draft.network.fixed_batch or rows]
    skeleton = Skeleton(draft, x)
    with torch.no_grad():
        wanted = tensors_of(draft.network(x))
    chosen: dict[str, tuple[int, list[float]]] = {}
    places = [(i, node) for i, node in enumerate(skeleton.nodes) if node.op == "call_module"]
    values: dict[Node, Tensor] = {skeleton.source: x}
    done = -1
    for index, (place, node) in enumerate(places):
        draft.say(f"{what} {node.meta['quantizes']}", index, len(places))
        values = _advance(skeleton, values, done, place - 1)
        done = place
        name = str(node.meta["quantizes"])
        source = values[node.args[0]]  # type: ignore[index]
        options = candidates(name)
        tail = skeleton.segment(skeleton.nodes[place + 1 :], skeleton.results, floating=True)
        losses = [_loss_of(draft, name, node, source, scale, values, tail, wanted, loss) for scale in options]
        if options:
            best = min(range(len(options)), key=losses.__getitem__)
            draft.set_step(name, *options[best])
            chosen[name] = best, losses
        with torch.no_grad():
            values[node] = draft.quantizers[name](source)
    draft.say(what, len(places), len(places))
    return chosen


def _loss_of(
    draft: Draft,
    name: str,
    node: Node,
    source: Tensor,
    scale: Scale,
    values: dict[Node, Tensor],
    tail: object,
    wanted: Sequence[Tensor],
    loss: OutputLoss,
) -> float:
    with torch.no_grad():
        tried = values | {node: fake_quantize(source, draft.quantizers[name].spec, *scale)}
        outputs = tail(*(tried[n] for n in tail.inputs))  # type: ignore[operator, attr-defined]
        return loss(wanted, tensors_of(outputs))


def _advance(skeleton: Skeleton, values: dict[Node, Tensor], done: int, place: int) -> dict[Node, Tensor]:
    """Float values of the nodes after `done` up to `place`, and what later nodes still read."""
    alive = skeleton.live_after(place)
    fresh = [node for node in skeleton.nodes[done + 1 : place + 1] if node in alive]
    found = dict(values)
    if fresh:
        segment = skeleton.segment(skeleton.nodes[done + 1 : place + 1], fresh, floating=True)
        with torch.no_grad():
            found |= zip(segment.outputs, segment(*(values[n] for n in segment.inputs)), strict=True)
    return {node: found[node] for node in alive}
