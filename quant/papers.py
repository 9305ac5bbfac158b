"""Named recipes: the papers, each a composition of steps, with what is taken from where and what we chose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hwsim.core.formats import Minifloat
from hwsim.core.scaled import parse
from hwsim.quant.recipe import Recipe, compose
from hwsim.quant.steps import step


@dataclass(frozen=True, slots=True)
class NamedRecipe:
    """An entry of `hwsim recipes`.

    Attributes
    ----------
    summary, source, cost : what it does, where it comes from, how long it takes.
    chosen : what the source leaves open and hwsim chose.
    edge : first and last layer at 8 bits, as the paper has them, unless the user says otherwise.
    """

    recipe: Recipe
    summary: str
    source: str
    cost: str
    chosen: str = ""
    edge: bool = False


ONE_PASS = "one pass over the calibration data"
SEARCH = "one pass and a search a tensor"
AVERAGED = ("percentile", {"batch": 64})  # as Brevitas takes it
LEARNED = "minutes: --recipe FILE.toml sets iterations or seconds"


def _recipe(name: str, *words: str | tuple[str, dict[str, Any]]) -> Recipe:
    made = [step(word) if isinstance(word, str) else step(word[0], **word[1]) for word in words]
    return compose(name, made)


def _minifloat(name: str, *words: str) -> Recipe:
    return _recipe(name, "equalize", AVERAGED, "weights-minmax", *words)


_ALTERNATIVES = (
    _minifloat("minifloat-ptq/rtn"),
    _minifloat("minifloat-ptq/bias", "bias"),
    _minifloat("minifloat-ptq/gptq", "gptq", "bias"),
    _minifloat("minifloat-ptq/learned", "adaround", "bias"),
    _recipe("minifloat-ptq/smooth-gptq", "equalize", "smooth", AVERAGED, "weights-minmax", "gptq", "bias"),
    _recipe("minifloat-ptq/mse-learned", "equalize", "mse", "weights-minmax", "adaround", "bias"),
)

_ENTRIES = (
    NamedRecipe(
        _recipe("rtn", "minmax"),
        "round to nearest, scales from the largest magnitude",
        "Jacob et al. 2018 (arXiv 1712.05877); scale = absmax / format max as in arXiv 2311.12359",
        ONE_PASS,
    ),
    NamedRecipe(
        _recipe("rtn-mse", "mse"),
        "round to nearest, weight and activation scales of least squared error",
        "OCTAV-style search (arXiv 2206.06501), 100 candidates",
        SEARCH,
    ),
    NamedRecipe(
        _recipe("rtn-lp", "lp"),
        "round to nearest, scales of least L_2.4 error",
        "the scale search of BRECQ's code (arXiv 2102.05426)",
        SEARCH,
    ),
    NamedRecipe(
        _recipe("rtn-percentile", AVERAGED),
        "round to nearest, activation scales from the 99.999th percentile of 64 rows each, averaged",
        "the activation default of Brevitas' PTQ pipeline",
        ONE_PASS,
    ),
    NamedRecipe(
        _minifloat("minifloat-ptq", "gptq", "bias"),
        "equalization, percentile scales, GPTQ, bias correction, for minifloats and integers",
        "Aggarwal et al., arXiv 2311.12359; order and defaults of Brevitas' PTQ pipeline, by the same authors",
        "about a second a layer",
        "weights by output channel (@tensor for the paper's setting); accumulation in float32 as in the paper",
    ),
    NamedRecipe(
        Recipe("minifloat-ptq-best", (), _ALTERNATIVES),
        "the best of six combinations of the paper's techniques, chosen on calibration data",
        "Aggarwal et al., arXiv 2311.12359, which reports the best over techniques",
        LEARNED,
        "chosen by the change of outputs on calibration data, never by evaluation data",
    ),
    NamedRecipe(
        _recipe("brecq", "lp", "brecq"),
        "block reconstruction of weights, then of activation steps",
        "Li et al., arXiv 2102.05426 (BRECQ) and its code: squared error of block outputs, inputs as quantized so far",
        LEARNED,
        "squared error without the Fisher weights, which the code stores as |g| + 1, nearly constant",
    ),
    NamedRecipe(
        _recipe("qdrop", "lp", "qdrop"),
        "block reconstruction of weights and activation steps with quantization dropped at random",
        "Wei et al., arXiv 2203.05740 (QDrop) and its code: keep 0.5, elementwise, inside blocks and at their inputs",
        LEARNED,
        "step sizes learned as logarithms, which makes one learning rate serve all layers",
    ),
    NamedRecipe(
        _recipe("pd-quant", "lp", "pd-quant"),
        "qdrop with the difference of predictions in the loss and distributions corrected towards batch statistics",
        "Liu et al., arXiv 2212.07048 (PD-Quant) and its code: weight 10, temperature 4",
        LEARNED,
        "distribution correction in 100 steps a batch of 32 (the code takes 500); any head, since the graph is cut",
    ),
    NamedRecipe(
        _recipe("flexround", "lp", "flexround"),
        "rounding learned by element-wise division, weights and activation steps jointly",
        "Lee et al., arXiv 2306.00317 (FlexRound); factors in the log domain as in the authors' code",
        LEARNED,
        "the step of minifloat and group scales is learned as for integers; block and power-of-two scales stay",
    ),
    NamedRecipe(
        _recipe("flexround-qdrop", "lp", "flexround-qdrop"),
        "flexround in the setting of qdrop",
        "Lee et al., arXiv 2306.00317, rows Q + FlexRound",
        LEARNED,
    ),
    NamedRecipe(
        _recipe("powerquant", "minmax", "power"),
        "one exponent for all powN formats by least error of weights, without data; round to nearest",
        "Yvinec et al., arXiv 2301.09858 (PowerQuant)",
        "one pass and a search over the weights",
        "activations keep the format that was asked for, powN activations share the exponent",
    ),
    NamedRecipe(
        _recipe("nupes", "minmax", "power", "nupes"),
        "powerquant, then codes over the whole range and exponents learned through a soft rounding",
        "Yvinec et al., arXiv 2308.05600 (NUPES)",
        LEARNED,
        "shape and schedule of the soft rounding; exponents of layers whose inputs are powN stay shared",
    ),
    NamedRecipe(
        _recipe("cfws", "split", ("kl", {"variant": "positive"}), "weights-minmax"),
        "coarse and fine weight splitting for re-parameterised networks, improved KL for activations",
        "Yang et al., arXiv 2312.10588, and its code for the split",
        SEARCH,
        "the improved KL is ours after CFWS: histograms of positive values before ReLU; the paper's code is closed",
    ),
    NamedRecipe(
        _recipe("detptq", "lp", "adaptive-lp"),
        "each tensor the p of its L_p scale that changes the network's output least",
        "Niu et al., arXiv 2304.09785 (DetPTQ)",
        "tensors x candidates x forward passes",
        "class scores by cross entropy, boxes by L1 where the float score passes 0.05; p in 1, 1.5, 2, 2.4, 3, 3.5, 4",
    ),
)
_KEEP_EDGES = ("minifloat-ptq minifloat-ptq-best brecq qdrop pd-quant flexround flexround-qdrop nupes detptq").split()
RECIPES: dict[str, NamedRecipe] = {
    entry.recipe.name: replace(entry, edge=entry.recipe.name in _KEEP_EDGES) for entry in _ENTRIES
}


def default_edge(recipe: str, weights: str) -> str:
    """The format of the first and the last layer where the user names none: 8 bits in papers' recipes, else `same`."""
    if recipe not in RECIPES or not RECIPES[recipe].edge:
        return "same"
    return "e4m3" if isinstance(parse(weights).format, Minifloat) else "int8"
