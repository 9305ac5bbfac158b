"""The grammar: words, files, order, what every recipe has, and that records read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hwsim.capture.graph import capture
from hwsim.core.assignment import Policy
from hwsim.core.errors import InputError
from hwsim.quant.model import QuantizedModel
from hwsim.quant.papers import RECIPES, default_edge
from hwsim.quant.pipeline import Preparation, prepare, quantize_best, quantize_network, rewrite_key
from hwsim.quant.recipe import Recipe, parse_recipe
from hwsim.quant.steps import ORDER, STEPS, step
from hwsim.zoo.networks import network

pytestmark = pytest.mark.exact


@pytest.mark.parametrize("word", STEPS)
def test_every_word_has_a_config_and_a_function(word: str) -> None:
    entry = STEPS[word]
    assert entry.kind in ORDER and entry.summary
    assert step(word).config == entry.config_class()(**entry.settings)
    if entry.run:
        assert callable(entry.function())
    assert Recipe.from_dict(json.loads(json.dumps(parse_recipe(word).as_dict()))) == parse_recipe(word)


@pytest.mark.parametrize("name", RECIPES)
def test_every_paper_is_in_order_and_reads_back(name: str) -> None:
    recipe = parse_recipe(name)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe
    for one in recipe.alternatives or (recipe,):
        kinds = [ORDER.index(s.kind) for s in one.steps]
        assert kinds == sorted(kinds)
        assert one.steps[0].word == "fold" and one.of_kind("round")
    assert RECIPES[name].source and RECIPES[name].cost and RECIPES[name].summary


def test_words_compose() -> None:
    recipe = parse_recipe("equalize+percentile+gptq+bias")
    assert [s.word for s in recipe.steps] == ["fold", "equalize", "percentile", "gptq", "bias"]
    assert [s.word for s in parse_recipe("rtn-mse+bias").steps] == ["fold", "mse", "nearest", "bias"]
    assert parse_recipe("percentile").weight_method == parse_recipe("minmax").range_method
    assert parse_recipe("percentile+weights-mse").weight_method == parse_recipe("mse").range_method
    assert rewrite_key(parse_recipe("mse")) == rewrite_key(parse_recipe("gptq")) != rewrite_key(parse_recipe("bias"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bias+gptq", "out of order"),
        ("mse+lp", "two steps"),
        ("gptq+adaround", "two steps"),
        ("equalize+equalize", "two steps"),
        ("adarond", "did you mean 'adaround'"),
        ("rtn+minifloat-ptq-best", "name it alone"),
    ],
)
def test_what_does_not_compose_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe(text)
    assert message in str(caught.value)


def test_a_file_sets_what_a_step_leaves_open(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('steps = ["lp", "qdrop"]\n[qdrop]\niterations = 50\nblocks = ["a*", "b*"]\nkeep = 1\n')
    recipe = parse_recipe(str(path))
    settings = recipe.of_kind("round")[0].config
    assert (settings.iterations, settings.blocks, settings.keep, settings.steps) == (50, ("a*", "b*"), 1, "joint")
    assert recipe.name == "mine" and "iterations=50" in recipe.describe()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[qdrop]\niteration = 5\n", "did you mean 'iterations'"),
        ('[qdrop]\niterations = "many"\n', "iterations = 'many'"),
        ("[qdrop]\nlearning_rate = 1e-5\n", "learning_rate * iterations"),
        ('[qdrop]\nsteps = "never"\n', "allowed: fixed, after, joint"),
        ("qdrop = 3\n", "a table of settings"),
        ("[gptq]\nrows = 5\n", "unknown key 'gptq'"),
    ],
)
def test_settings_that_are_wrong_name_the_file(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(('steps = ["qdrop"]\n' + body) if not body.startswith("qdrop") else body + 'steps = ["qdrop"]\n')
    with pytest.raises(InputError) as caught:
        parse_recipe(str(path))
    assert message in str(caught.value)


def test_a_saved_model_keeps_its_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('steps = ["mse", "gptq", "bias"]\n[gptq]\nrows = 16\n')
    entry = network("mlp")
    x = torch.rand(32, *entry.input_shape[1:])
    recipe = parse_recipe(str(path))
    calibration = prepare(capture(entry.build().eval(), x[:1]), x, recipe)
    model = quantize_network(calibration, Policy("int4", "int4"), recipe)
    again = QuantizedModel.load(model.save(tmp_path / "model"))
    assert again.recipe == recipe
    assert torch.equal(again(x), model(x))


def test_the_best_alternative_is_the_one_that_changes_outputs_least() -> None:
    entry = network("mlp")
    torch.manual_seed(0)
    x = torch.rand(64, *entry.input_shape[1:])
    net = capture(entry.build().eval(), x[:1])
    options = tuple(parse_recipe(text) for text in ("minmax", "mse+gptq+bias", "minmax+bias"))
    recipe = Recipe("best", (), options)
    calibration, model = quantize_best(Preparation(net, x), Policy("int3", "int8"), recipe)
    assert model.recipe.name == "mse+gptq+bias"
    assert calibration.network.workload.layers


@pytest.mark.parametrize(
    ("recipe", "weights", "edge"),
    [
        ("rtn", "int4", "same"),
        ("mse+gptq", "int4", "same"),
        ("qdrop", "int4", "int8"),
        ("minifloat-ptq", "e2m1", "e4m3"),
        ("brecq", "mxfp4", "e4m3"),
        ("cfws", "int8", "same"),
    ],
)
def test_papers_keep_the_first_and_the_last_layer_at_eight_bits(recipe: str, weights: str, edge: str) -> None:
    assert default_edge(recipe, weights) == edge


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('steps = [["qdrop"]]', "no step ['qdrop']"),
        ("steps = []", "a list of words"),
        ('steps = ["lp"]\n[lp]\np = -3.0', "p = -3.0"),
        ('steps = ["lp"]\n[lp]\np = nan', "p = nan"),
        ('steps = ["mse"]\n[mse]\ncandidates = 0', "candidates = 0"),
        ('steps = ["gptq"]\n[gptq]\ndamping = -1.0', "damping = -1.0"),
        ('steps = ["gptq"]\n[gptq]\nrows = 0', "rows = 0"),
        ('steps = ["qdrop"]\n[qdrop]\nblocks = [1, 2]', "a list of strings"),
        ('steps = ["qdrop"]\n[qdrop]\nseconds = -1', "seconds = -1"),
        ('steps = ["qdrop"]\n[qdrop]\niterations = true', "a whole number"),
        ('steps = ["qdrop"]\n[qdrop]\nlearning_rate = -1.0', "learning_rate = -1.0"),
        ('steps = ["qdrop"]\n[qdrop]\nwarmup = 5.0', "warmup = 5.0"),
        ('steps = ["pd-quant"]\n[pd-quant]\ntemperature = 0.0', "temperature = 0.0"),
    ],
)
def test_settings_outside_their_range_are_named(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(body + "\n")
    with pytest.raises(InputError) as caught:
        parse_recipe(str(path))
    assert message in str(caught.value) and "mine.toml" in str(caught.value)
