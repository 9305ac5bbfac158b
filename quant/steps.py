"""The registry of steps: a word of the grammar, its kind, its config dataclass and the function that carries it out.

A method is one file with a frozen config and a function; adding one adds a row here. Functions by kind:

    rewrite    (network, config, x) -> network                      the same function, another network
    calibrate  a range method of `hwsim.quant.observers`, or (draft, config) for what looks at the whole network
    round      (draft, config)                                      which grid point each weight takes
    correct    (draft, config)                                      biases and distributions
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from hwsim.quant.observers import MSE, Lp, MinMax, Percentile

StepKind = Literal["rewrite", "calibrate", "round", "correct"]
ORDER: tuple[StepKind, ...] = ("rewrite", "calibrate", "round", "correct")


@dataclass(frozen=True, slots=True)
class FoldBatchNorm:
    """Fold batch normalisation into the layer before it; every recipe starts with it."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """Round every weight to its nearest grid point, half to even."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One word of the grammar.

    Attributes
    ----------
    kind : of step.
    slot : at most one step of a slot may stand in a recipe; the word itself unless given.
    config : `module:Class` below `hwsim.quant`, or the class.
    run : `module:function` below `hwsim.quant`; empty for range methods and rounding to nearest.
    summary : for listings.
    settings : defaults of this word that differ from those of the class.
    """

    kind: StepKind
    config: str | type[Any]
    run: str
    summary: str
    slot: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def config_class(self) -> type[Any]:
        return _load(self.config) if isinstance(self.config, str) else self.config

    def function(self) -> Callable[..., Any]:
        return _load(self.run)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a recipe: its word and its settings."""

    word: str
    config: Any

    @property
    def kind(self) -> StepKind:
        return STEPS[self.word].kind

    def __str__(self) -> str:
        return f"{self.word}({repr(self.config).partition('(')[2]}"


def step(word: str, **settings: Any) -> Step:
    """A step with the defaults of its word, changed by `settings`."""
    entry = STEPS[word]
    return Step(word, entry.config_class()(**{**entry.settings, **settings}))


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(f"hwsim.quant.{module}"), name)


def _learned(summary: str, **settings: Any) -> Entry:
    """A configuration of the one reconstruction loop."""
    return Entry("round", "reconstruction:Reconstruction", "reconstruct:reconstruct", summary, "round", settings)


STEPS: dict[str, Entry] = {
    "fold": Entry("rewrite", FoldBatchNorm, "", "batch normalisation into the layer before it"),
    "equalize": Entry(
        "rewrite", "rewrite.equalize:Equalize", "rewriting:equalize", "ranges of channels evened out across layers"
    ),
    "smooth": Entry(
        "rewrite", "rewrite.smooth:Smooth", "rewriting:smooth", "outlier channels moved from activations to weights"
    ),
    "split": Entry(
        "rewrite",
        "rewrite.coarse_fine:CoarseFineSplit",
        "rewriting:split",
        "dominant centre taps into a coarse 1x1 branch (CFWS)",
    ),
    "minmax": Entry("calibrate", MinMax, "", "scales from the largest magnitude seen", "range"),
    "percentile": Entry("calibrate", Percentile, "", "activation scales from a high percentile of magnitudes", "range"),
    "mse": Entry("calibrate", MSE, "", "scales of least squared error, searched", "range"),
    "lp": Entry("calibrate", Lp, "", "scales of least L_p error (p = 2.4), searched", "range"),
    "kl": Entry("calibrate", "observers:KL", "", "activation scales of least Kullback-Leibler divergence", "range"),
    "weights-minmax": Entry("calibrate", MinMax, "", "weight scales from the largest magnitude", "weight-range"),
    "weights-mse": Entry("calibrate", MSE, "", "weight scales of least squared error", "weight-range"),
    "weights-lp": Entry("calibrate", Lp, "", "weight scales of least L_p error (p = 2.4)", "weight-range"),
    "power": Entry(
        "calibrate",
        "calibrate.power:PowerQuant",
        "calibrate.power:choose_exponent",
        "one exponent for all powN formats, without data (PowerQuant)",
    ),
    "adaptive-lp": Entry(
        "calibrate",
        "calibrate.adaptive_lp:AdaptiveLp",
        "calibrate.adaptive_lp:adapt",
        "each tensor the p of L_p that changes the network's output least (DetPTQ)",
        "outputs",
    ),
    "prediction-difference": Entry(
        "calibrate",
        "calibrate.prediction_difference:PredictionDifference",
        "calibrate.prediction_difference:choose_scales",
        "each tensor the scale that changes the network's predictions least (PD-Quant)",
        "outputs",
    ),
    "nearest": Entry("round", Nearest, "", "each weight to its nearest grid point", "round"),
    "gptq": Entry(
        "round", "gptq:GPTQ", "gptq:gptq", "column by column, the error of each made up for by the next", "round"
    ),
    "adaround": _learned("up or down, learned layer by layer", granularity="layer"),
    "fp-rounding": _learned(
        "up or down on a floating-point grid, learned layer by layer from quantized inputs",
        granularity="layer",
        inputs="quantized",
    ),
    "brecq": _learned("up or down, learned block by block, then activation steps", inputs="quantized", steps="after"),
    "qdrop": _learned(
        "up or down and activation steps, learned jointly while quantization is dropped at random",
        inputs="mixed",
        steps="joint",
        keep=0.5,
    ),
    "pd-quant": _learned(
        "as qdrop, with the difference of predictions and corrected distributions in the loss",
        inputs="mixed",
        steps="joint",
        keep=0.5,
        prediction=10.0,
        distribution=True,
    ),
    "flexround": _learned(
        "weights divided by learned factors before rounding, so that large ones move far",
        rounding="flexround",
        inputs="quantized",
        steps="joint",
    ),
    "flexround-qdrop": _learned(
        "flexround in the setting of qdrop", rounding="flexround", inputs="mixed", steps="joint", keep=0.5
    ),
    "nupes": _learned(
        "new codes over the whole range and the exponent of powN formats, learned through a soft rounding",
        rounding="nupes",
        inputs="quantized",
        steps="joint",
    ),
    "lsq": _learned(
        "nearest, with learned step sizes of weights and activations",
        rounding="step",
        inputs="quantized",
        steps="joint",
    ),
    "bn": Entry(
        "correct",
        "walk:LayerByLayer",
        "correct.batchnorm:recalibrate",
        "statistics of folded batch norms restored",
    ),
    "bias": Entry("correct", "walk:LayerByLayer", "correct.bias:correct_biases", "mean output errors taken off biases"),
}
