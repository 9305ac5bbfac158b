"""The grammar of post-training quantization: a recipe is rewrite, calibrate, round and correct steps, in this order.

A paper is a named recipe (`hwsim.quant.papers`). Strings: a recipe's name, words joined by `+` (`mse+gptq+bias`),
or the path of a TOML file with `steps = ["mse", "gptq"]` and tables of their settings.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hwsim.core.errors import InputError, nearest
from hwsim.quant.observers import Method, MinMax, Percentile
from hwsim.quant.steps import ORDER, STEPS, Step, StepKind, step


@dataclass(frozen=True, slots=True)
class Recipe:
    """A composition of steps.

    Attributes
    ----------
    name : its key among recipes.
    steps : in order.
    alternatives : where given, each is tried and the one that changes the outputs on calibration data least is kept;
        `steps` then hold what they share, nothing.
    """

    name: str
    steps: tuple[Step, ...]
    alternatives: tuple[Recipe, ...] = ()

    def of_kind(self, kind: StepKind) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if s.kind == kind)

    @property
    def range_method(self) -> Method:
        """How scales of activations are chosen at first."""
        return self._in_slot("range") or MinMax()

    @property
    def weight_method(self) -> Method:
        """How scales of weights are chosen: as those of activations unless a step says otherwise.

        Percentiles are for activations; weights then take their largest magnitude.
        """
        method = self._in_slot("weight-range") or self.range_method
        return MinMax() if isinstance(method, Percentile) else method

    def _in_slot(self, slot: str) -> Method | None:
        return next((s.config for s in self.steps if STEPS[s.word].slot == slot), None)

    def __str__(self) -> str:
        return self.name

    def describe(self) -> str:
        """All steps with their settings, for keys and records."""
        if self.alternatives:
            return "best of " + " | ".join(recipe.describe() for recipe in self.alternatives)
        return " + ".join(str(found) for found in self.steps)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values; `Recipe.from_dict` reads it back."""
        return {
            "name": self.name,
            "steps": [{"step": found.word, **asdict(found.config)} for found in self.steps],
            "alternatives": [recipe.as_dict() for recipe in self.alternatives],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Recipe:
        steps = []
        for row in record["steps"]:
            settings = {key: _tupled(value) for key, value in row.items() if key != "step"}
            steps.append(step(row["step"], **settings))
        return cls(record["name"], tuple(steps), tuple(cls.from_dict(r) for r in record["alternatives"]))


def parse_recipe(text: str) -> Recipe:
    """A recipe by name, by words joined with `+`, or from a TOML file.

    Raises
    ------
    InputError
        For an unknown step or setting, two steps where one is allowed, or steps out of order.
    """
    from hwsim.quant.papers import RECIPES

    if text in RECIPES:
        return RECIPES[text].recipe
    if text.endswith(".toml") or Path(text).is_dir():
        return _read_recipe(Path(text))
    steps: list[Step] = []
    for word in text.split("+"):
        if word in STEPS:
            steps.append(step(word))
        elif word in RECIPES and RECIPES[word].recipe.alternatives:
            raise InputError(
                f"{word} tries several recipes and takes no further steps",
                where=f"recipe {text!r}",
                hint="name it alone",
            )
        elif word in RECIPES:
            steps.extend(s for s in RECIPES[word].recipe.steps if s.word not in ("fold", "nearest"))
        else:
            raise InputError(f"no step {word!r}", where=f"recipe {text!r}", hint=nearest(word, {*RECIPES, *STEPS}))
    return compose(text, steps)


def compose(name: str, steps: Sequence[Step]) -> Recipe:
    """A recipe of these steps, with what every recipe has: folding first, scales, rounding to nearest.

    Raises
    ------
    InputError
        For steps out of order, or two of which one is allowed.
    """
    where, complete = f"recipe {name!r}", list(steps)
    kinds = [found.kind for found in complete]
    if [ORDER.index(k) for k in kinds] != sorted(ORDER.index(k) for k in kinds):
        raise InputError(f"steps out of order: {', '.join(kinds)}", where=where, hint=f"order: {', '.join(ORDER)}")
    slots = [STEPS[found.word].slot or found.word for found in complete]
    for slot in slots:
        if slots.count(slot) > 1:
            words = [found.word for found, other in zip(complete, slots, strict=True) if other == slot]
            raise InputError(f"two steps of which one is allowed: {', '.join(words)}", where=where, hint="take one")
    if "fold" not in slots:
        complete.insert(0, step("fold"))
    if "range" not in slots:
        complete.insert(sum(s.kind == "rewrite" for s in complete), step("minmax"))
    if "round" not in slots:
        complete.insert(sum(s.kind in ("rewrite", "calibrate") for s in complete), step("nearest"))
    return Recipe(name, tuple(complete))


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, list | tuple) else value


def _read_recipe(path: Path) -> Recipe:
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(path), hint="a recipe file is wanted") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(str(error), where=str(path), hint="a TOML file is wanted") from None
    words = data.pop("steps", None)
    if not isinstance(words, list) or not words:
        what = "key 'steps' is missing" if words is None else f"steps = {words!r}"
        raise InputError(what, where=str(path), hint='a list of words, e.g. steps = ["percentile", "gptq"]')
    steps = []
    for word in words:
        if not isinstance(word, str) or word not in STEPS:
            raise InputError(f"no step {word!r}", where=f"{path}: steps", hint=nearest(str(word), STEPS))
        steps.append(_configured(path, word, data.pop(word, {})))
    if data:
        key = next(iter(data))
        raise InputError(f"unknown key {key!r}", where=str(path), hint=nearest(key, [*words, "steps"]))
    return compose(path.stem, steps)


def _configured(path: Path, word: str, settings: Any) -> Step:
    where = f"{path}: [{word}]"
    if not isinstance(settings, dict):
        raise InputError(f"{settings!r}", where=where, hint="a table of settings is wanted")
    known = {f.name: f for f in fields(STEPS[word].config_class())}
    for key in settings:
        if key not in known:
            raise InputError(f"unknown key {key!r}", where=where, hint=nearest(key, known) if known else "none")
    reference = step(word).config
    given = {key: _tupled(value) for key, value in settings.items()}
    for key, value in given.items():
        _check_type(where, key, value, getattr(reference, key))
    try:
        return step(word, **given)
    except InputError as error:
        raise InputError(error.message, where=where, hint=error.hint) from None


def _check_type(where: str, key: str, value: Any, default: Any) -> None:
    """A setting must be of the type of its default; where that is a real number, a whole one will do."""
    if isinstance(default, tuple):
        kind: type = float if default and isinstance(default[0], float) else type(default[0]) if default else str
        fits = isinstance(value, tuple) and all(_is(element, kind) for element in value)
        wanted = f"a list of {_NAMES.get(kind, kind.__name__)}s"
    else:
        fits, wanted = _is(value, type(default)), f"a {_NAMES.get(type(default), type(default).__name__)}"
    if not fits:
        raise InputError(f"{key} = {value!r}", where=where, hint=f"{wanted} is wanted")


_NAMES = {int: "whole number", float: "number", str: "string", bool: "truth value (true, false)"}


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)
