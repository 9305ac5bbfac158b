"""The grammar of post-training quantization: a recipe is rewrite, calibrate, round and correct steps, in this order.

A step is a frozen config dataclass; a paper is a named recipe. Strings: a recipe's name, steps joined by `+`
(`percentile+nearest`), or the path of a TOML file with `steps = ["percentile"]` and tables of their settings.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from hwsim.core.errors import InputError, nearest
from hwsim.quant.observers import MSE, Lp, Method, MinMax, Percentile

StepKind = Literal["rewrite", "calibrate", "round", "correct"]
ORDER: tuple[StepKind, ...] = ("rewrite", "calibrate", "round", "correct")


@dataclass(frozen=True, slots=True)
class FoldBatchNorm:
    """Fold batch normalisation into the layer before it; every recipe starts with it."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """Round every weight to its nearest grid point, half to even."""


Step = FoldBatchNorm | MinMax | Percentile | MSE | Lp | Nearest
STEPS: dict[str, tuple[StepKind, type[Any], str]] = {
    "fold": ("rewrite", FoldBatchNorm, "batch normalisation into the layer before it"),
    "minmax": ("calibrate", MinMax, "scales from the largest magnitude seen"),
    "percentile": ("calibrate", Percentile, "activation scales from a high percentile of magnitudes"),
    "mse": ("calibrate", MSE, "scales of least squared error, searched"),
    "lp": ("calibrate", Lp, "scales of least L_p error (p = 2.4), searched"),
    "nearest": ("round", Nearest, "each weight to its nearest grid point"),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A composition of steps; `str()` is a key that `parse_recipe` reads back."""

    name: str
    steps: tuple[Step, ...]

    @property
    def range_method(self) -> Method:
        """The calibrate step: how scales are chosen."""
        for step in self.steps:
            if isinstance(step, MinMax | Percentile | MSE | Lp):
                return step
        return MinMax()

    def __str__(self) -> str:
        return self.name

    def describe(self) -> str:
        """All steps with their settings, for keys and records."""
        return " + ".join(repr(step) for step in self.steps)


@dataclass(frozen=True, slots=True)
class NamedRecipe:
    """An entry of `hwsim recipes`."""

    recipe: Recipe
    summary: str
    source: str
    cost: str


def _named(name: str, calibrate: Method, summary: str, source: str, cost: str) -> NamedRecipe:
    return NamedRecipe(Recipe(name, (FoldBatchNorm(), calibrate, Nearest())), summary, source, cost)


RECIPES: dict[str, NamedRecipe] = {
    "rtn": _named(
        "rtn",
        MinMax(),
        "round to nearest, scales from the largest magnitude",
        "Jacob et al. 2018 (arXiv 1712.05877); scale = absmax / format max as in arXiv 2311.12359",
        "one pass over the calibration data",
    ),
    "rtn-mse": _named(
        "rtn-mse",
        MSE(),
        "round to nearest, weight and activation scales of least squared error",
        "OCTAV-style search (arXiv 2206.06501), 100 candidates",
        "one pass and a search a tensor",
    ),
    "rtn-lp": _named(
        "rtn-lp",
        Lp(),
        "round to nearest, scales of least L_2.4 error",
        "the scale search of BRECQ's code (arXiv 2102.05426)",
        "one pass and a search a tensor",
    ),
    "rtn-percentile": _named(
        "rtn-percentile",
        Percentile(),
        "round to nearest, activation scales from the 99.999th percentile",
        "the activation default of Brevitas' PTQ pipeline",
        "one pass over the calibration data",
    ),
}


def parse_recipe(text: str) -> Recipe:
    """A recipe by name, by steps joined with `+`, or from a TOML file.

    Raises
    ------
    InputError
        For an unknown step or setting, two calibrate or round steps, or steps out of order.
    """
    if text in RECIPES:
        return RECIPES[text].recipe
    if text.endswith(".toml"):
        return _read_recipe(Path(text))
    steps: list[Any] = []
    for word in text.split("+"):
        if word in RECIPES:
            steps.extend(s for s in RECIPES[word].recipe.steps if not isinstance(s, FoldBatchNorm | Nearest))
        elif word in STEPS:
            steps.append(STEPS[word][1]())
        else:
            raise InputError(f"no step {word!r}", where=f"recipe {text!r}", hint=nearest(word, [*RECIPES, *STEPS]))
    return _complete(text, steps)


def _complete(name: str, steps: list[Any]) -> Recipe:
    """Check order, and add what every recipe has: folding first, rounding to nearest."""
    kinds = [_kind(step) for step in steps]
    if [ORDER.index(k) for k in kinds] != sorted(ORDER.index(k) for k in kinds):
        raise InputError(
            f"steps out of order: {', '.join(kinds)}", where=f"recipe {name!r}", hint=f"order: {', '.join(ORDER)}"
        )
    for kind in ("calibrate", "round"):
        if kinds.count(kind) > 1:
            raise InputError(f"two {kind} steps", where=f"recipe {name!r}", hint="allowed: one")
    if not any(isinstance(s, FoldBatchNorm) for s in steps):
        steps.insert(0, FoldBatchNorm())
    if "calibrate" not in kinds:
        steps.insert(sum(_kind(s) == "rewrite" for s in steps), MinMax())
    if "round" not in kinds:
        steps.insert(sum(_kind(s) in ("rewrite", "calibrate") for s in steps), Nearest())
    return Recipe(name, tuple(steps))


def _kind(step: Any) -> StepKind:
    return next(kind for kind, config, _ in STEPS.values() if isinstance(step, config))


def _read_recipe(path: Path) -> Recipe:
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(path), hint="a recipe file is wanted") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(str(error), where=str(path), hint="a TOML file is wanted") from None
    words = data.pop("steps", None)
    if not isinstance(words, list) or not words:
        raise InputError("key 'steps' is missing", where=str(path), hint='e.g. steps = ["percentile", "nearest"]')
    steps = []
    for word in words:
        if word not in STEPS:
            raise InputError(f"no step {word!r}", where=f"{path}: steps", hint=nearest(str(word), STEPS))
        steps.append(_configured(path, word, data.pop(word, {})))
    if data:
        key = next(iter(data))
        raise InputError(f"unknown key {key!r}", where=str(path), hint=nearest(key, [*words, "steps"]))
    return _complete(path.stem, steps)


def _configured(path: Path, word: str, settings: dict[str, Any]) -> Any:
    config = STEPS[word][1]
    known = {f.name for f in fields(config)}
    for key in settings:
        if key not in known:
            raise InputError(
                f"unknown key {key!r}", where=f"{path}: [{word}]", hint=nearest(key, known) if known else "none"
            )
    return config(**settings)
