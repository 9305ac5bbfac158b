"""From a float network and a recipe to a quantized model: rewrite, calibrate, round, correct."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from operator import or_

from torch import Tensor

from hwsim.capture.graph import Network
from hwsim.core.assignment import Policy, assign
from hwsim.quant.calibration import Calibration, calibrate
from hwsim.quant.draft import Draft
from hwsim.quant.model import QuantizedModel
from hwsim.quant.observers import EVERYTHING, MinMax, Percentile
from hwsim.quant.output_loss import output_change
from hwsim.quant.recipe import Recipe
from hwsim.quant.rewrite.add_biases import add_biases
from hwsim.quant.rewrite.fold_batchnorm import fold_batchnorm
from hwsim.quant.steps import STEPS
from hwsim.quant.streaming import Keep

Progress = Callable[[str, int, int], None]


def prepare(
    network: Network,
    x: Tensor,
    recipe: Recipe,
    *,
    keep: Keep | None = None,
    seed: int = 0,
    batch: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Rewrite a float network as a recipe says and observe it on calibration rows.

    The result serves every format, and every recipe with the same `rewrite_key`.

    Parameters
    ----------
    x : calibration inputs, shape (rows, ...).
    keep : of each tensor, what the recipe needs unless given; other methods then take another pass.
    """
    keep = kept_for(recipe) if keep is None else keep
    return calibrate(rewritten(network, x, recipe), x, keep=keep, batch=batch, seed=seed, progress=progress)


def kept_for(recipe: Recipe) -> Keep:
    """What the scales of a recipe's activations by tensor need of each tensor."""
    found = Keep()
    for part in recipe.alternatives or (recipe,):
        method = part.range_method
        if isinstance(method, Percentile):
            batches = frozenset({(method.percent, False, method.batch)}) if method.batch else frozenset()
            found |= Keep(tails=not method.batch, batch_percentiles=batches)
        elif not isinstance(method, MinMax) or any(STEPS[s.word].run for s in part.of_kind("calibrate")):
            found |= EVERYTHING
    return found


def rewritten(network: Network, x: Tensor, recipe: Recipe) -> Network:
    """The network after a recipe's rewrites: another network, the same function."""
    network = fold_batchnorm(network)
    for step in recipe.of_kind("rewrite"):
        if step.word != "fold":
            network = STEPS[step.word].function()(network, step.config, x)
    return add_biases(network) if recipe.of_kind("correct") else network


def rewrite_key(recipe: Recipe) -> str:
    """What decides a calibration: recipes of one key share it."""
    steps = " + ".join(str(step) for step in recipe.of_kind("rewrite"))
    return steps + (" + biases" if recipe.of_kind("correct") else "")


def quantize_network(
    calibration: Calibration, policy: Policy, recipe: Recipe, *, seed: int = 0, progress: Progress | None = None
) -> QuantizedModel:
    """Quantize a calibrated network.

    Parameters
    ----------
    calibration : of the network that `prepare` made for this recipe.
    seed : of what a step draws at random.
    progress : called with (what, done, in all).

    Raises
    ------
    InputError
        For formats that do not parse, overrides that match nothing, weights with NaN (the layer is named).
    """
    assignment = assign(calibration.network.workload, policy, calibration.non_negative)
    draft = Draft(calibration, assignment, policy, recipe, seed=seed, progress=progress)
    draft.choose_scales()
    for step in recipe.steps:
        if step.kind != "rewrite" and STEPS[step.word].run:
            STEPS[step.word].function()(draft, step.config)
    return draft.finish()


def quantize_best(
    prepared: Callable[[Recipe], Calibration],
    policy: Policy,
    recipe: Recipe,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Calibration, QuantizedModel]:
    """Quantize; with alternatives, keep the one that changes the outputs on the calibration rows least.

    Parameters
    ----------
    prepared : gives the calibration for a recipe's rewrites.

    Returns
    -------
    calibration, model : the model's `recipe` is the alternative that was kept.
    """
    if not recipe.alternatives:
        calibration = prepared(recipe)
        return calibration, quantize_network(calibration, policy, recipe, seed=seed, progress=progress)
    best: tuple[float, Calibration, QuantizedModel] | None = None
    for alternative in recipe.alternatives:
        calibration = prepared(alternative)
        model = quantize_network(calibration, policy, alternative, seed=seed, progress=progress)
        change = output_change(calibration, model)
        if best is None or change < best[0]:
            best = change, calibration, model
    assert best is not None
    return best[1:]


class Preparation:
    """Calibrations of one network and its rows, made on first use and shared by recipes with the same rewrites.

    Parameters
    ----------
    x : calibration inputs, shape (rows, ...).
    recipes : that will be asked for, as far as known: one pass then serves all of the same rewrites.
    progress : of the pass over them, called with (what, done, in all).
    """

    def __init__(
        self,
        network: Network,
        x: Tensor,
        *,
        recipes: Iterable[Recipe] = (),
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.network, self.x, self.seed, self.progress = network, x, seed, progress
        self.keep = reduce(or_, map(kept_for, recipes), Keep())
        self.made: dict[str, Calibration] = {}

    def __call__(self, recipe: Recipe) -> Calibration:
        key = rewrite_key(recipe)
        if key not in self.made:
            say = self.progress
            count = None if say is None else lambda done, total: say("calibrating", done, total)
            keep = self.keep | kept_for(recipe)
            self.made[key] = prepare(self.network, self.x, recipe, keep=keep, seed=self.seed, progress=count)
        return self.made[key]
