"""The optimisation of one block: Adam on roundings and steps, with annealing, a time budget and a stop on a plateau."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hwsim.quant.reconstruction import Reconstruction
from hwsim.quant.rounding.adaround import annealed_beta

TIMED = 5  # iterations that are timed before a budget is turned into a number of iterations
LAST_STAGE = 0.2  # share of the iterations that a block on a plateau still gets, to harden


class Data(Protocol):
    """Draws rows, and gives what a block takes and should give for them."""

    def draw(self) -> Tensor: ...
    def mixed_inputs(self, chosen: Tensor) -> list[Tensor]: ...
    def quantized_inputs(self, chosen: Tensor) -> list[Tensor]: ...
    def wanted(self, chosen: Tensor) -> list[Tensor]: ...


class Behind(Protocol):
    """What lies behind a block."""

    def difference(self, outputs: list[Tensor], data: Any, chosen: Tensor) -> Tensor: ...


@dataclass(slots=True)
class Training:
    """One block to train.

    Attributes
    ----------
    run : block inputs -> tuple of outputs.
    tail : for the prediction difference, or None.
    groups : of parameters, each with `params`, `lr` and `role`.
    soft : roundings to harden.
    seconds : budget; 0 for none.
    """

    run: Callable[..., Any]
    data: Data
    tail: Behind | None
    groups: list[dict[str, Any]]
    soft: Sequence[Any]
    config: Reconstruction
    seconds: float


def train(task: Training) -> int:
    """Run the iterations; returns how many."""
    config = task.config
    rates = [group["lr"] for group in task.groups]
    optimizer = torch.optim.Adam(task.groups, betas=(0.9, 0.999), fused=_fusable(task.groups))
    total, done, progress = config.iterations, 0, 0.0
    watch = _Plateau(config.patience)
    start = float("nan")
    with torch.enable_grad():
        while done < total:
            progress = max(progress, done / total)
            _schedule(task, optimizer, rates, progress)
            value = _iterate(task, optimizer)
            done += 1
            if done == 1:  # the first iteration sets things up
                start = time.perf_counter()
            if task.seconds and done == min(TIMED, total):
                total = _affordable(task, (time.perf_counter() - start) / max(1, done - 1), rates)
            if watch.stalled(value, progress >= config.warmup):
                total = min(total, done + max(1, int(LAST_STAGE * total)))
    return done


def _iterate(task: Training, optimizer: torch.optim.Optimizer) -> float | None:
    config, data = task.config, task.data
    chosen = data.draw()
    outputs = task.run(*data.mixed_inputs(chosen))
    loss = sum(block_loss(y, t, config.power) for y, t in zip(outputs, data.wanted(chosen), strict=True))
    if task.tail is not None:
        plain = list(task.run(*data.quantized_inputs(chosen)))
        loss = loss + config.prediction * task.tail.difference(plain, data, chosen)
    for group in task.groups:
        for parameter in group["params"]:
            parameter.grad = None
    loss.backward()  # type: ignore[union-attr]
    optimizer.step()
    return float(loss.detach()) if config.patience else None  # type: ignore[union-attr]


def block_loss(found: Tensor, wanted: Tensor, power: float) -> Tensor:
    """Sum over channels of |difference|^p, mean over rows and positions: the normalisation that all weights of extra
    losses assume (code of BRECQ). Channels lie along axis 1, or along the last axis of rank-3 tensors."""
    channels = wanted.shape[-1 if wanted.dim() == 3 else min(1, wanted.dim() - 1)]
    if power == 2.0:
        return F.mse_loss(found, wanted) * channels
    return (found - wanted).abs().pow(power).mean() * channels


def _schedule(task: Training, optimizer: torch.optim.Optimizer, rates: list[float], progress: float) -> None:
    config = task.config
    beta = annealed_beta(progress, config.warmup, config.beta_start, config.beta_end)
    for rounding in task.soft:
        rounding.regularise(config.pull, beta)
    falling = 0.5 * (1.0 + cos(pi * progress))
    hard = config.rounding in ("adaround", "nupes")
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate if group["role"] == "rounding" and hard else rate * falling


def _affordable(task: Training, seconds_each: float, rates: list[float]) -> int:
    """Iterations that the budget allows; rates that were not set by hand follow their number."""
    config = task.config
    total = max(TIMED, min(config.iterations, int(task.seconds / max(1e-9, seconds_each))))
    shorter = _with_iterations(config, total)
    for place, group in enumerate(task.groups):
        rates[place] = shorter.rounding_rate if group["role"] == "rounding" else shorter.activation_rate
    return total


def _with_iterations(config: Reconstruction, iterations: int) -> Reconstruction:
    from dataclasses import replace

    enough = config.learning_rate * iterations >= 6.0 or config.rounding not in ("adaround", "nupes")
    return replace(config, iterations=iterations, learning_rate=config.learning_rate if enough else 0.0)


def _fusable(groups: list[dict[str, Any]]) -> bool:
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for g in groups for p in g["params"])


class _Plateau:
    """Whether a smoothed loss has stopped falling."""

    def __init__(self, patience: int) -> None:
        self.patience, self.best, self.since, self.smooth, self.told = patience, float("inf"), 0, float("nan"), False

    def stalled(self, value: float | None, counting: bool) -> bool:
        if not self.patience or value is None or self.told:
            return False
        self.smooth = value if self.smooth != self.smooth else 0.95 * self.smooth + 0.05 * value
        if self.smooth < 0.999 * self.best or not counting:
            self.best, self.since = min(self.best, self.smooth), 0
            return False
        self.since += 1
        self.told = self.since >= self.patience
        return self.told
