"""What of a block runs in every iteration of its training: the rest is run once, for the whole calibration set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from torch.fx import Node

from hwsim.quant.segment import Segment
from hwsim.quant.store import Store
from hwsim.quant.walk import Stage


@dataclass(frozen=True, slots=True, eq=False)
class Trainable:
    """A block, or the part of it that training can change.

    Attributes
    ----------
    segment : to run in every iteration.
    inputs : quantized values by node, for its inputs at least.
    goals : for each of its outputs, the output of the block whose float value it should give.
    made : stores to release when training has ended.
    """

    segment: Segment
    inputs: Mapping[Node, Store]
    goals: Mapping[Node, Node]
    made: tuple[Store, ...] = ()

    def release(self) -> None:
        for store in self.made:
            store.release()


def whole(stage: Stage, learned: Mapping[str, nn.Module]) -> Trainable:
    """All of a block, to its outputs."""
    segment = stage.segment(learned=learned)
    return Trainable(segment, stage.walk.quantized, {node: node for node in segment.outputs})


def changing(stage: Stage, learned: Mapping[str, nn.Module]) -> Trainable:
    """The part of a block that learned weights reach, up to the quantizers at its end.

    For fixed steps and quantized inputs alone: what lies before the weights then gives the same in every iteration,
    and an output before its quantizer has the same float value to aim at, and a gradient that the quantizer does not
    clip.
    """
    reached: set[Node] = set()
    for node in stage.block.nodes:
        if any(n in reached or (n.op == "get_attr" and str(n.target) in learned) for n in node.all_input_nodes):
            reached.add(node)
    goals: dict[Node, Node] = {}
    for goal in stage.outputs:
        node = goal
        while node.op == "call_module" and isinstance(node.args[0], Node):
            node = node.args[0]
        if node in reached:
            goals[node] = goal
    nodes = [node for node in stage.block.nodes if node in reached]
    segment = stage.walk.skeleton.segment(nodes, tuple(goals), learned=learned)
    before = [node for node in segment.inputs if node in set(stage.block.nodes)]
    if not goals or any(node not in stage.walk.skeleton.shapes for node in before):
        return whole(stage, learned)
    made = stage.walk.run(stage.segment(before), stage.walk.quantized) if before else {}
    return Trainable(segment, {**stage.walk.quantized, **made}, goals, tuple(made.values()))
