"""Blocks, segments and walks: any network cut anywhere computes what it computed whole."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hwsim.capture.graph import capture
from hwsim.core.assignment import Policy, assign
from hwsim.core.errors import InputError
from hwsim.quant.blocks import MOST_LAYERS
from hwsim.quant.draft import Draft
from hwsim.quant.pipeline import prepare
from hwsim.quant.recipe import parse_recipe
from hwsim.quant.store import Arena
from hwsim.quant.walk import Walk
from hwsim.zoo.networks import network as zoo_network

sys.path.insert(0, str(Path(__file__).parent.parent / "capture"))
from topologies import TOPOLOGIES, build

REST = ("resnet20", "mobilenet_small", "unet_tiny", "mlp")


@lru_cache
def example(name: str) -> tuple[torch.nn.Module, Tensor]:
    if name in TOPOLOGIES:
        return build(name)
    torch.manual_seed(0)
    entry = zoo_network(name)
    return entry.factory(), torch.randn(8, *entry.input_shape[1:])


def draft_of(name: str, weights: str = "int4", acts: str = "int4") -> Draft:
    model, x = example(name)
    recipe = parse_recipe("rtn")
    calibration = prepare(capture(model, x[:1], name=name), x, recipe)
    policy = Policy(weights, acts)
    draft = Draft(calibration, assign(calibration.network.workload, policy, calibration.non_negative), policy, recipe)
    draft.choose_scales()
    return draft


@pytest.mark.exact
@pytest.mark.parametrize("granularity", ["block", "layer"])
@pytest.mark.parametrize("name", [*TOPOLOGIES, "vit_tiny", *(pytest.param(n, marks=pytest.mark.slow) for n in REST)])
def test_a_walk_ends_with_the_outputs_of_the_whole_network(name: str, granularity: str) -> None:
    draft = draft_of(name)
    x = draft.calibration.x
    walk = Walk(draft, x, batch=4, granularity=granularity)  # type: ignore[arg-type]
    ends: list[tuple[Tensor, Tensor]] = []
    seen: list[str] = []
    for stage in walk:
        seen += stage.block.layers
        if set(stage.outputs) >= set(walk.skeleton.results):
            floats, quantized = (
                stage.segment(walk.skeleton.results, floating=True),
                stage.segment(walk.skeleton.results),
            )
            for i in range(walk.batches):
                ends.append(
                    (
                        floats(*(walk.floats[n].batch(i) for n in floats.inputs))[0],
                        quantized(*(walk.quantized[n].batch(i) for n in quantized.inputs))[0],
                    )
                )
    assert seen == [layer.name for layer in draft.network.workload.compute]
    assert len(ends) == walk.batches
    parts = x[: walk.batches * walk.batch].split(walk.batch)
    with torch.no_grad():
        for part, (floating, quantized) in zip(parts, ends, strict=True):
            wanted = draft.network(part), draft.module(part)
            for found, whole in zip((floating, quantized), wanted, strict=True):
                first = whole[0] if isinstance(whole, tuple | list) else whole
                torch.testing.assert_close(found, first, rtol=1e-4, atol=1e-5)


def blocks_of(name: str, **options: object) -> list[tuple[str, ...]]:
    draft = draft_of(name)
    walk = Walk(draft, draft.calibration.x, batch=4, **options)  # type: ignore[arg-type]
    nodes = [node for block in walk.blocks for node in block.nodes]
    assert nodes == walk.skeleton.nodes, "blocks partition the network in order"
    return [block.layers for block in walk.blocks]


@pytest.mark.exact
def test_residual_blocks_are_blocks() -> None:
    blocks = blocks_of("resnet20")
    assert [len(b) for b in blocks] == [1, 2, 2, 2, 3, 2, 2, 3, 2, 2, 1]
    assert blocks[4] == ("blocks.3.conv1", "blocks.3.conv2", "blocks.3.shortcut.conv")


@pytest.mark.exact
def test_inverted_residuals_are_blocks_with_and_without_a_shortcut() -> None:
    blocks = blocks_of("mobilenet_small")
    inner = [b for b in blocks if b[0].startswith("blocks.")]
    assert len(inner) == 7
    assert all(len({name.split(".")[1] for name in b}) == 1 for b in inner)


@pytest.mark.exact
def test_transformer_blocks_hold_attention_and_perceptron() -> None:
    blocks = blocks_of("vit_tiny")
    assert [b for b in blocks if len(b) >= 4] and all(len(b) <= MOST_LAYERS for b in blocks)
    assert sum(len(b) >= 4 for b in blocks) == 4


@pytest.mark.exact
def test_long_skips_are_cut_where_least_crosses() -> None:
    blocks = blocks_of("unet_tiny")
    assert max(len(b) for b in blocks) <= MOST_LAYERS and len(blocks) >= 3


@pytest.mark.exact
def test_globs_choose_blocks() -> None:
    blocks = blocks_of("resnet20", globs=("blocks.[0-3].*", "blocks.[4-8].*"))
    assert [len(b) for b in blocks] == [1, 9, 11, 1]
    with pytest.raises(InputError, match="matches no layer"):
        blocks_of("resnet20", globs=("block.0*",))
    with pytest.raises(InputError, match="overlap"):
        blocks_of("resnet20", globs=("blocks.0.*", "blocks.*"))


@pytest.mark.exact
def test_layers_are_blocks_with_their_activation() -> None:
    draft = draft_of("resnet20")
    walk = Walk(draft, draft.calibration.x, batch=4, granularity="layer")
    assert [len(b.layers) for b in walk.blocks] == [1] * len(draft.network.workload.compute)
    first = walk.blocks[0].nodes
    assert any(node.op == "call_module" for node in first[2:]), "the quantizer behind the activation belongs to it"


@pytest.mark.exact
def test_beyond_the_memory_bound_tensors_lie_in_files_and_values_stay() -> None:
    draft = draft_of("residual" if "residual" in TOPOLOGIES else next(iter(TOPOLOGIES)))
    inside = Walk(draft, draft.calibration.x, batch=4)
    outside = Walk(draft, draft.calibration.x, batch=4, memory_mb=0.0)
    for a, b in zip(inside, outside, strict=True):
        for x, y in zip(a.walk.quantized.values(), b.walk.quantized.values(), strict=True):
            assert torch.equal(x.data, y.data)
    assert outside.arena.peak_bytes == 0 and outside.arena.bytes_spilled > 0
    assert inside.arena.bytes_spilled == 0 and inside.arena.peak_bytes > 0


@pytest.mark.exact
def test_stores_count_what_they_hold() -> None:
    arena = Arena(1.0)
    first = arena.new(4, torch.zeros(1000))
    first.readers += 1
    assert arena.bytes_held == 16_000
    first.release()
    assert arena.bytes_held == 16_000
    first.release()
    assert arena.bytes_held == 0 and arena.peak_bytes == 16_000
    spilled = arena.new(1000, torch.zeros(1000))
    spilled.data.fill_(2.0)
    assert arena.bytes_held == 0 and float(spilled.batch(999).sum()) == 2000.0
    arena.close()
