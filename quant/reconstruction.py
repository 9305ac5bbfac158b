"""The settings of the one reconstruction loop; a paper's method is one choice of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from hwsim.core.errors import InputError
from hwsim.quant.settings import check_ranges

LEAST_REACH = 6.0
"""Adam moves a parameter by about its learning rate an iteration. A soft rounding starts up to 2.4 (in units of V) from
its turning point and must reach the ends, so learning rate * iterations below 6 leaves weights where they started."""

_CHOICES = {
    "rounding": ("adaround", "flexround", "nupes", "step"),
    "granularity": ("block", "layer"),
    "inputs": ("quantized", "mixed"),
    "steps": ("fixed", "after", "joint"),
}


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """How blocks are made to give the float network's outputs.

    Attributes
    ----------
    rounding : what is learned of weights: up or down (`adaround`), division (`flexround`), codes (`nupes`), the step.
    granularity : `block` or `layer`; `blocks` are globs over layer names that say otherwise.
    inputs : of a block: the quantized prefix's, or those and the float network's mixed element by element.
    steps : activation steps stay `fixed`, are learned `after` all weights (which are then learned without activation
        quantization), or `joint`ly.
    keep : probability that an element's activation quantization is kept, and of the quantized input in a mixture.
    iterations, batch : of a block, at most; rows of an iteration.
    seconds : budget for the whole network, shared out by multiply-accumulates; 0 for none. It lowers the iterations.
    patience : iterations without improvement of the smoothed loss after which a block only hardens; 0 for none.
    learning_rate : of rounding parameters; 0 chooses by rounding and iterations. For soft roundings
        learning_rate * iterations must reach 6.
    step_rate : of step sizes (logarithms); 0 chooses.
    pull : weight of the regulariser that hardens soft roundings; `warmup` the share of iterations without it, its
        exponent falling from `beta_start` to `beta_end`.
    power : p of the loss sum |difference|^p over channels, mean over the rest.
    prediction : weight of the prediction difference at `temperature` (PD-Quant; its 1 / lambda_r).
    distribution : correct float inputs towards batch statistics, by `closeness` (lambda_c) in `distribution_steps`.
    memory_mb : bound of the tensors kept between blocks.
    """

    rounding: Literal["adaround", "flexround", "nupes", "step"] = "adaround"
    granularity: Literal["block", "layer"] = "block"
    blocks: tuple[str, ...] = ()
    inputs: Literal["quantized", "mixed"] = "quantized"
    steps: Literal["fixed", "after", "joint"] = "fixed"
    keep: float = 1.0
    iterations: int = 1000
    batch: int = 32
    seconds: float = 0.0
    patience: int = 0
    learning_rate: float = 0.0
    step_rate: float = 0.0
    pull: float = 0.01
    warmup: float = 0.2
    beta_start: float = 20.0
    beta_end: float = 2.0
    power: float = 2.0
    prediction: float = 0.0
    temperature: float = 4.0
    distribution: bool = False
    closeness: float = 0.02
    distribution_steps: int = 100
    memory_mb: float = 2048.0

    def __post_init__(self) -> None:
        for key, allowed in _CHOICES.items():
            if getattr(self, key) not in allowed:
                raise InputError(
                    f"{key} = {getattr(self, key)!r}", where="round", hint=f"allowed: {', '.join(allowed)}"
                )
        self._check_ranges()
        soft = self.rounding in ("adaround", "nupes")
        if soft and 0.0 < self.learning_rate * self.iterations < LEAST_REACH:
            raise InputError(
                f"learning_rate * iterations = {self.learning_rate * self.iterations:g}",
                where="round",
                hint=f"at least {LEAST_REACH:g}, or roundings stay where they are; without it a rate is chosen",
            )

    def _check_ranges(self) -> None:
        zero_and_up = "seconds patience learning_rate step_rate pull prediction distribution_steps memory_mb".split()
        check_ranges(
            "round",
            **{key: (getattr(self, key), 1, inf) for key in ("iterations", "batch")},
            **{key: (getattr(self, key), 0.0, inf) for key in zero_and_up},
            **{key: (getattr(self, key), 1e-6, inf) for key in ("temperature", "closeness", "beta_start", "beta_end")},
            keep=(self.keep, 1e-6, 1.0),
            warmup=(self.warmup, 0.0, 0.99),
            power=(self.power, 0.5, 16.0),
        )

    @property
    def rounding_rate(self) -> float:
        """The learning rate of rounding parameters."""
        if self.learning_rate > 0:
            return self.learning_rate
        if self.rounding == "adaround":
            return max(1e-3, 12.0 / self.iterations)
        if self.rounding == "nupes":
            return max(1e-3, LEAST_REACH / self.iterations)
        return min(max(2e-4, 3.0 / self.iterations), 3e-2)

    @property
    def activation_rate(self) -> float:
        """The learning rate of activation steps and of learned weight steps."""
        if self.step_rate > 0:
            return self.step_rate
        if self.rounding == "flexround":  # its weight steps are to move as fast as its divisors
            return min(max(4e-5, 0.8 / self.iterations), 1e-2)
        return min(max(4e-5, 0.2 / self.iterations), 2e-3)
