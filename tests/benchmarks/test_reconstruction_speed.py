"""An iteration of reconstruction against forward, backward and Adam of the same float block in plain torch, one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hwsim.capture.graph import capture
from hwsim.core.assignment import Policy, assign
from hwsim.quant.draft import Draft
from hwsim.quant.learned_quantizer import LearnedQuantizer, MaskBank
from hwsim.quant.pipeline import prepare
from hwsim.quant.recipe import parse_recipe
from hwsim.quant.reconstruct import BlockTask
from hwsim.quant.reconstruction import Reconstruction
from hwsim.quant.reconstruction_data import BlockData
from hwsim.quant.rounding.training import Training, train
from hwsim.quant.walk import Walk
from hwsim.zoo.convnets import ResidualBlock

pytestmark = pytest.mark.bench
LIMIT = 1.6
ITERATIONS, ROUNDS = 12, 7


def float_iterations(block: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Plain training of the float block (batch normalisation folded: evaluation form) on random rows."""
    optimizer = torch.optim.Adam(block.parameters(), lr=1e-6, fused=True)

    def run() -> None:
        for _ in range(ITERATIONS):
            rows = torch.randperm(len(x))[:32]
            loss = torch.nn.functional.mse_loss(block(x[rows]), y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run


class PlainBlock(nn.Module):
    """The residual block with its normalisations folded."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + x)


@pytest.mark.parametrize(("channels", "size"), [(16, 28), (32, 14), (64, 14)])
@pytest.mark.parametrize("word", ["adaround", "qdrop", "flexround"])
def test_an_iteration_costs_little_more_than_training_the_float_block(word: str, channels: int, size: int) -> None:
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x = torch.randn(128, channels, size, size)
        plain = PlainBlock(channels)
        reference = float_iterations(plain, x, torch.randn_like(x))
        task = learned_iterations(word, channels, x)
        task(), reference()
        ratios = []
        for _ in range(ROUNDS):
            start = time.process_time()
            reference()
            middle = time.process_time()
            task()
            ratios.append((time.process_time() - middle) / (middle - start))
        ratio = statistics.median(ratios)
        print(f"\n{word}, {channels} channels, {size}x{size}: {ratio:.2f} times the float block")
        assert ratio <= LIMIT
    finally:
        torch.set_num_threads(threads)


def learned_iterations(word: str, channels: int, x: Tensor) -> Callable[[], None]:
    """Iterations of the loop on one residual block, everything else set up."""
    from hwsim.quant.steps import step

    model = ResidualBlock(channels, channels, 1).eval()
    recipe = parse_recipe("lp")
    calibration = prepare(capture(model, x[:1]), x, recipe)
    policy = Policy("int4", "int4")
    draft = Draft(calibration, assign(calibration.network.workload, policy, calibration.non_negative), policy, recipe)
    draft.choose_scales()
    config: Reconstruction = step(word, iterations=ITERATIONS, warmup=0.0).config
    walk = Walk(draft, x, batch=32, globs=("*",))
    stage = next(iter(walk))
    block = BlockTask(stage, config, None, weights=True, seed=0)
    trained = block.trained()
    data = BlockData(stage, trained, block.bank, seed=0)
    assert isinstance(next(iter(block.quantizers.values())), LearnedQuantizer)
    assert (config.keep < 1.0) == isinstance(block.bank, MaskBank)

    def run() -> None:
        groups = block.groups()
        train(Training(trained.segment.module, data, None, groups, block.soft(), config, 0.0))

    return run
