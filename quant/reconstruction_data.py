"""What a block is reconstructed on: inputs, quantized and float, targets, and the rest of the network behind it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import Node

from hwsim.quant.learned_quantizer import MaskBank
from hwsim.quant.output_loss import prediction_difference
from hwsim.quant.reconstruction import Reconstruction
from hwsim.quant.store import Store
from hwsim.quant.trainable import Trainable
from hwsim.quant.walk import Stage


class BlockData:
    """Draws of a block's inputs and targets.

    Where every tensor counts rows along its first axis, rows are drawn one by one, none twice; else whole batches.

    Attributes
    ----------
    inputs, targets : nodes, in the order of the segment's inputs and outputs.
    floats : stores of the float values; distribution correction replaces them.
    """

    def __init__(self, stage: Stage, trained: Trainable, bank: MaskBank | None, seed: int) -> None:
        walk, segment = stage.walk, trained.segment
        self.inputs, self.outputs = segment.inputs, segment.outputs
        self.quantized: list[Store] = [trained.inputs[node] for node in segment.inputs]
        self.floats: list[Store] = [walk.floats[node] for node in segment.inputs if node in walk.floats]
        found = stage.float_outputs()
        self.targets: list[Store] = [found[trained.goals[node]] for node in segment.outputs]
        self.by_rows = walk.skeleton.rows_first
        self.batch, self.batches = walk.batch, walk.batches
        self.bank = bank
        self._draw = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.int64)

    def draw(self) -> Tensor:
        """The rows of the next iteration (or the one batch, where rows cannot be told apart)."""
        size = self.batch if self.by_rows else 1
        if len(self._order) < size:
            count = self.batches * self.batch if self.by_rows else self.batches
            self._order = torch.randperm(count, generator=self._draw)
        chosen, self._order = self._order[:size], self._order[size:]
        return chosen

    def take(self, store: Store, chosen: Tensor) -> Tensor:
        return store.rows(chosen) if self.by_rows else store.batch(int(chosen))

    def mixed_inputs(self, chosen: Tensor) -> list[Tensor]:
        """Inputs of an iteration: quantized, or mixed with the float ones element by element."""
        if self.bank is None:
            return self.quantized_inputs(chosen)
        found = []
        for quantized, floating in zip(self.quantized, self.floats, strict=True):
            x = self.take(quantized, chosen)
            if quantized is not floating and x.is_floating_point():
                x = torch.lerp(self.take(floating, chosen), x, self.bank.mask(x))
            found.append(x)
        return found

    def quantized_inputs(self, chosen: Tensor) -> list[Tensor]:
        return [self.take(store, chosen) for store in self.quantized]

    def wanted(self, chosen: Tensor) -> list[Tensor]:
        return [self.take(store, chosen) for store in self.targets]


class Tail:
    """The float network behind a block: what the block's outputs do to predictions (PD-Quant, eq. 4)."""

    def __init__(self, stage: Stage, logits: Tensor, config: Reconstruction) -> None:
        walk = stage.walk
        self.config, self.logits = config, logits
        skeleton = walk.skeleton
        self.segment = skeleton.segment(skeleton.nodes[stage.position + 1 :], skeleton.results[:1], floating=True)
        self.from_block = {node: place for place, node in enumerate(stage.outputs)}
        self.others: dict[Node, Store] = {
            node: walk.quantized[node] for node in self.segment.inputs if node not in self.from_block
        }

    def difference(self, outputs: list[Tensor], data: BlockData, chosen: Tensor) -> Tensor:
        """The prediction difference of rows whose block outputs are given."""
        values = [
            outputs[self.from_block[node]] if node in self.from_block else data.take(self.others[node], chosen)
            for node in self.segment.inputs
        ]
        (found,) = self.segment(*values)
        rows = self.logits.flatten(0, 1)[chosen] if data.by_rows else self.logits[int(chosen)]
        return prediction_difference(rows, found, self.config.temperature)
