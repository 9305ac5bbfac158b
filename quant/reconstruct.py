"""The reconstruction loop: blocks in order, each made to give what the float network gives.

One loop serves AdaRound, BRECQ, QDrop, PD-Quant, FlexRound, NUPES, learned steps and rounding on floating-point grids:
a rounding parametrisation x the mixture of inputs x learning of activation steps x extra losses (`Reconstruction`).
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor, nn

from hwsim.core.formats import Power
from hwsim.core.workload import Layer
from hwsim.quant.correct.distribution import corrected_inputs
from hwsim.quant.draft import Draft
from hwsim.quant.learned_quantizer import LearnedQuantizer, MaskBank
from hwsim.quant.neighbours import MOST_BITS
from hwsim.quant.output_loss import tensors_of
from hwsim.quant.reconstruction import Reconstruction
from hwsim.quant.reconstruction_data import BlockData, Tail
from hwsim.quant.rounding.adaround import AdaRound
from hwsim.quant.rounding.flexround import FlexRound
from hwsim.quant.rounding.learned_step import LearnedStep
from hwsim.quant.rounding.nupes import Nupes
from hwsim.quant.rounding.training import Training, train
from hwsim.quant.trainable import Trainable, changing, whole
from hwsim.quant.walk import Stage, Walk

Rounding = AdaRound | LearnedStep | Nupes


class LearnedWeight(nn.Module):
    """A layer's weight, in the layout of its operator, from rows that are being learned."""

    def __init__(self, layer: Layer, rounding: Rounding) -> None:
        super().__init__()
        self.layer, self.rounding = layer, rounding

    def forward(self) -> Tensor:
        from hwsim.quant.layers import rows_to_weight

        return rows_to_weight(self.layer, self.rounding())


def reconstruct(draft: Draft, config: Reconstruction) -> None:
    """Learn the roundings (and steps) of a draft block by block.

    Raises
    ------
    InputError
        For blocks that match no layer.
    """
    if config.steps == "after":
        with draft.activations_off():
            _pass(draft, replace(config, steps="fixed", keep=1.0), "weights")
        _pass(draft, replace(config, rounding="step", steps="joint", keep=1.0), "steps")
    else:
        _pass(draft, config, "blocks")


def _pass(draft: Draft, config: Reconstruction, what: str) -> None:
    """Once through the network; in the pass of `steps` weights stay as they are."""
    walk = Walk(
        draft,
        draft.calibration.x,
        batch=config.batch,
        granularity=config.granularity,
        globs=config.blocks,
        memory_mb=config.memory_mb,
    )
    logits = float_logits(draft, walk) if config.prediction > 0 else None
    clock = _Clock(draft, config.seconds)
    for index, stage in enumerate(walk):
        draft.say(f"{what} {stage.block.name}", index, len(walk.blocks))
        task = BlockTask(stage, config, logits, weights=what != "steps", seed=draft.seed * 7919 + index)
        task.run(clock.share(stage))
    draft.say(what, len(walk.blocks), len(walk.blocks))


class BlockTask:
    """One block under reconstruction."""

    def __init__(
        self, stage: Stage, config: Reconstruction, logits: Tensor | None, *, weights: bool, seed: int
    ) -> None:
        self.stage, self.config, self.logits, self.seed = stage, config, logits, seed
        draft = stage.walk.draft
        self.roundings = {name: self._rounding(name) for name in stage.block.layers if weights and self._learns(name)}
        bank = MaskBank(config.keep, seed) if config.keep < 1.0 else None
        self.quantizers: dict[str, LearnedQuantizer] = {}
        for node in stage.block.nodes:
            if node.op == "call_module" and draft.activations_on:
                tensor = str(node.meta["quantizes"])
                learn = config.steps == "joint"
                self.quantizers[tensor] = LearnedQuantizer(draft.quantizers[tensor], learn=learn, bank=bank)
        self.bank = bank if config.inputs == "mixed" else None

    def _learns(self, name: str) -> bool:
        weight = self.stage.walk.draft.weights.get(name)
        if weight is None or weight.codes is None or self.stage.walk.draft.network.workload[name].kind == "embedding":
            return False
        return weight.spec.bits <= MOST_BITS

    def _rounding(self, name: str) -> Rounding:
        draft = self.stage.walk.draft
        weight = draft.weights[name]
        assert weight.scale is not None
        arguments = (weight.rows.clone(), weight.spec, weight.scale, weight.zero_point)
        if self.config.rounding == "nupes":
            acts = draft.act_specs(name)
            return Nupes(*arguments, learn_exponent=not any(isinstance(spec.format, Power) for spec in acts))
        kinds: dict[str, type[AdaRound] | type[LearnedStep]]
        kinds = {"adaround": AdaRound, "flexround": FlexRound, "step": LearnedStep}
        return kinds[self.config.rounding](*arguments)

    def run(self, seconds: float) -> None:
        """Learn, then give the draft what was learned."""
        groups = self.groups()
        if not self.stage.outputs or not any(group["params"] for group in groups):
            return
        trained = self.trained()
        data = BlockData(self.stage, trained, self.bank, seed=self.seed)
        if self.config.distribution:
            corrected_inputs(self.stage, data, self.config)
        tail = Tail(self.stage, self.logits, self.config) if self.logits is not None else None
        train(Training(trained.segment.module, data, tail, groups, self.soft(), self.config, seconds))
        trained.release()
        self._keep()

    def trained(self) -> Trainable:
        """What of the block runs in every iteration."""
        config = self.config
        plain = config.steps == "fixed" and config.keep == 1.0 and not config.distribution and self.logits is None
        return (changing if plain else whole)(self.stage, self.learned())

    def learned(self) -> dict[str, nn.Module]:
        """What stands in for buffers and quantizers, by their names in the draft."""
        draft = self.stage.walk.draft
        weights: dict[str, nn.Module] = {
            draft.attribute(name): LearnedWeight(draft.weights[name].layer, rounding)
            for name, rounding in self.roundings.items()
        }
        return weights | {draft.quantizer_target(tensor): module for tensor, module in self.quantizers.items()}

    def soft(self) -> list[AdaRound | Nupes]:
        """The roundings that have to be hardened."""
        return [rounding for rounding in self.roundings.values() if isinstance(rounding, AdaRound | Nupes)]

    def groups(self) -> list[dict[str, object]]:
        """Parameters with their learning rates."""
        rounding = [p for r in self.roundings.values() for p in r.parameter_groups()["rounding"]]
        steps = [p for r in self.roundings.values() for p in r.parameter_groups()["step"]]
        steps += [q.log_step for q in self.quantizers.values() if q.log_step is not None]
        return [
            {"params": rounding, "lr": self.config.rounding_rate, "role": "rounding"},
            {"params": steps, "lr": self.config.activation_rate, "role": "step"},
        ]

    def _keep(self) -> None:
        draft = self.stage.walk.draft
        for name, rounding in self.roundings.items():
            draft.set_codes(name, *rounding.harden())
        for tensor, quantizer in self.quantizers.items():
            if quantizer.log_step is not None:
                draft.set_step(tensor, quantizer.result(), quantizer.zero_point)


class _Clock:
    """Shares out a budget of seconds by multiply-accumulates, what is left by what is left."""

    def __init__(self, draft: Draft, seconds: float) -> None:
        self.macs = {layer.name: layer.macs for layer in draft.network.workload}
        self.left = sum(self.macs.values())
        self.end = time.perf_counter() + seconds if seconds > 0 else None

    def share(self, stage: Stage) -> float:
        """Seconds for a block; 0 for no bound."""
        own = sum(self.macs[name] for name in stage.block.layers)
        left, self.left = self.left, self.left - own
        if self.end is None:
            return 0.0
        return max(1e-3, (self.end - time.perf_counter()) * own / max(1, left))


def float_logits(draft: Draft, walk: Walk) -> Tensor:
    """The float network's first output for all rows of a walk, shape (batches, *output of a batch)."""
    with torch.no_grad():
        x = walk.quantized[walk.skeleton.source]
        return torch.stack([tensors_of(draft.network(x.batch(i)))[0] for i in range(len(x))])
