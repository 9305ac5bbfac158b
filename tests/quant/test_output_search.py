"""Scales chosen by what they do to the outputs: judged in the network as it stands, never to worse."""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hwsim.capture.detectors import HeadSpec
from hwsim.capture.graph import capture
from hwsim.core.assignment import Policy, assign
from hwsim.quant.calibrate.adaptive_lp import AdaptiveLp, adapt, output_loss
from hwsim.quant.calibrate.output_search import OutputSearch, tensor_knob, weight_knob
from hwsim.quant.calibrate.prediction_difference import PredictionDifference, choose_scales
from hwsim.quant.calibration import Calibration
from hwsim.quant.draft import Draft
from hwsim.quant.observers import Lp, weight_scale
from hwsim.quant.output_loss import prediction_difference
from hwsim.quant.pipeline import prepare, quantize_network
from hwsim.quant.recipe import parse_recipe

sys.path.insert(0, str(Path(__file__).parent.parent / "capture"))
from topologies import build

POWERS = (1.5, 2.4, 4.0)


@lru_cache
def calibrated(name: str) -> Calibration:
    model, example = build(name)
    torch.manual_seed(1)
    x = torch.randn(16, *example.shape[1:])
    return prepare(capture(model, x[:1], name=name), x, parse_recipe("rtn"))


def draft_of(name: str, weights: str = "int4", acts: str = "int4", recipe: str = "rtn") -> Draft:
    calibration, policy = calibrated(name), Policy(weights, acts)
    assignment = assign(calibration.network.workload, policy, calibration.non_negative)
    draft = Draft(calibration, assignment, policy, parse_recipe(recipe))
    draft.choose_scales()
    return draft


def squared(wanted: list[Tensor], found: list[Tensor]) -> float:
    return sum(float((w - f).double().square().mean()) for w, f in zip(wanted, found, strict=True))


def loss_of(draft: Draft, rows: int) -> float:
    x = draft.calibration.x[:rows]
    with torch.no_grad():
        return squared([draft.network(x)], [draft.module(x)])


@pytest.mark.truth
@pytest.mark.parametrize("name", ["residual", "dense"])
def test_a_sweep_is_a_descent_by_coordinates_of_the_whole_network(name: str) -> None:
    """Against brute force: every candidate of every knob by a run of the whole network, in order of execution."""
    factors = (1.0, 0.6, 1.3)

    def knobs(draft: Draft) -> list:
        tensors = [tensor_knob(draft, n, [(q.scale * f, None) for f in factors]) for n, q in draft.quantizers.items()]
        weights = [weight_knob(draft, n, [(w.scale * f, None) for f in factors]) for n, w in draft.weights.items()]
        return [*weights, *tensors]

    draft = draft_of(name)
    before = loss_of(draft, 8)
    found = OutputSearch(draft, squared, 8).improve(knobs(draft), 0, "search")
    assert len(found) == len(draft.weights) + len(draft.quantizers)

    other = draft_of(name)
    same = {(knob.name, knob.target): knob for knob in knobs(other)}
    last = before
    for knob, taken, losses in found:
        twin, wanted = same[knob.name, knob.target], []
        for setting in twin.settings:
            setting()
            wanted.append(loss_of(other, 8))
        np.testing.assert_allclose(losses, wanted, rtol=1e-4)
        assert taken == int(np.argmin(losses)) and losses[taken] <= last * (1 + 1e-5)
        twin.settings[taken]()
        last = losses[taken]
    assert loss_of(draft, 8) == pytest.approx(last, rel=1e-4)
    assert last < before, "three factors for everything improve on the largest magnitude at 4 bits"


@pytest.mark.exact
def test_a_knob_without_a_better_candidate_stays_where_it_is() -> None:
    draft = draft_of("residual")
    before = {name: q.scale.clone() for name, q in draft.quantizers.items()}
    knobs = [tensor_knob(draft, n, [(q.scale.clone(), None)] * 3) for n, q in draft.quantizers.items()]
    found = OutputSearch(draft, squared, 8).improve(knobs, 1, "search")
    assert [taken for _, taken, _ in found] == [1] * len(knobs)
    assert all(torch.equal(draft.quantizers[name].scale, scale) for name, scale in before.items())


@pytest.mark.exact
def test_knobs_are_turned_in_order_of_execution_and_each_is_reported() -> None:
    draft, said = draft_of("residual"), []
    draft.say = lambda what, done, total: said.append((what, done, total))
    names = list(draft.quantizers)
    knobs = [tensor_knob(draft, n, [(draft.quantizers[n].scale, None)]) for n in reversed(names)]
    found = OutputSearch(draft, squared, 4).improve(knobs, 0, "search")
    order = [node.meta["quantizes"] for node in draft.module.graph.nodes if node.op == "call_module"]
    assert [knob.name for knob, _, _ in found] == order
    assert [what for what, _, _ in said] == [*(f"search {name}" for name in order), "search"]
    assert all(b[1] == a[1] + 1 for a, b in pairwise(said))


@pytest.mark.property
@pytest.mark.parametrize(("name", "weights"), [("residual", True), ("residual", False), ("unet", True)])
def test_adaptive_p_costs_at_most_what_the_best_p_for_all_costs(name: str, weights: bool) -> None:
    draft = draft_of(name, "int3", "int3", "lp")
    codes = {n: w.codes for n, w in draft.weights.items()}
    config = AdaptiveLp(POWERS, rows=16, weights=weights)
    adapt(draft, config)
    notes = draft.notes["adaptive_lp"]
    assert notes["loss"] <= min(notes["fixed"].values()) * (1 + 1e-5)
    assert set(notes["tensors"]) == set(draft.quantizers)
    for tensor, note in notes["tensors"].items():
        scale, _ = draft.calibration.observers[tensor].scale(draft.quantizers[tensor].spec, Lp(note["p"]))
        torch.testing.assert_close(draft.quantizers[tensor].scale, scale)
    assert set(notes["weights"]) == (set(draft.weights) if weights else set())
    for layer, weight in draft.weights.items():
        if weights:
            scale, _ = weight_scale(weight.rows, weight.spec, Lp(notes["weights"][layer]["p"]))
            torch.testing.assert_close(weight.scale, scale)
        else:
            assert weight.codes is codes[layer]


@pytest.mark.property
def test_one_p_for_all_costs_what_the_recipe_with_that_p_costs() -> None:
    draft = draft_of("residual", "int3", "int3", "lp")
    adapt(draft, AdaptiveLp((2.4,), rows=16))
    x = draft.calibration.x
    reference = draft_of("residual", "int3", "int3", "lp")  # p = 2.4 for weights and tensors
    with torch.no_grad():
        cost = float(prediction_difference(reference.network(x), reference.module(x)))
    assert draft.notes["adaptive_lp"]["fixed"][2.4] == pytest.approx(cost, rel=1e-5)


@pytest.mark.property
@pytest.mark.parametrize("acts", ["int3", "e2m1", "int4:pow2"])
def test_prediction_difference_never_rises(acts: str) -> None:
    draft = draft_of("residual", "int4", acts)
    start = {name: float(q.scale) for name, q in draft.quantizers.items()}
    x = draft.calibration.x
    with torch.no_grad():
        before = float(prediction_difference(draft.network(x), draft.module(x)))
        choose_scales(draft, PredictionDifference(rows=len(x)))
        after = float(prediction_difference(draft.network(x), draft.module(x)))
    assert after < before
    moved = [float(q.scale) / start[name] for name, q in draft.quantizers.items()]
    assert any(abs(ratio - 1.0) > 0.01 for ratio in moved)
    if acts.endswith("pow2"):
        assert all(math.log2(float(q.scale)).is_integer() for q in draft.quantizers.values())


@pytest.mark.exact
@pytest.mark.parametrize("recipe", ["mse+adaptive-lp", "mse+prediction-difference"])
@pytest.mark.parametrize(
    "formats", [("mxint8", "mxfp4"), ("fp16", "bf16"), ("int4@group8", "int4+zp"), ("none", "e2m1")]
)
def test_every_format_goes_through(recipe: str, formats: tuple[str, str]) -> None:
    draft = draft_of("residual", *formats)
    model = quantize_network(draft.calibration, draft.policy, parse_recipe(recipe))
    assert torch.isfinite(model(draft.calibration.x)).all()


@pytest.mark.truth
def test_the_detection_loss_is_that_of_its_formula() -> None:
    """Element by element in plain Python: cross entropy less its least, boxes where a float score passes 0.05."""
    head = HeadSpec(("a", "b"), 8, (16, 24))
    draw = torch.Generator().manual_seed(0)
    wanted, found = torch.randn(3, 6, 2, 3, generator=draw) * 3, torch.randn(3, 6, 2, 3, generator=draw)
    wanted[:, :2] -= 3.0
    total, objects = 0.0, 0
    for image in range(3):
        for row in range(2):
            for column in range(3):
                reference, output = (t[image, :, row, column].double().tolist() for t in (wanted, found))
                there = max(1 / (1 + math.exp(-z)) for z in reference[:2]) > 0.05
                objects += there
                total += there * sum(abs(a - b) for a, b in zip(reference[2:], output[2:], strict=True))
                for z, v in zip(reference[:2], output[:2], strict=True):
                    p, q = 1 / (1 + math.exp(-z)), 1 / (1 + math.exp(-v))
                    total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert 0 < objects < 18
    assert output_loss([wanted], [found], head, 0.05) == pytest.approx(total / objects, rel=1e-5)
    assert output_loss([wanted], [wanted], head, 0.05) == pytest.approx(0.0, abs=1e-5)
