"""Exactness is claimed only where no operation rounds: checked against the same network in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hwsim.capture.graph import capture
from hwsim.core.assignment import Policy
from hwsim.quant.calibration import calibrate
from hwsim.quant.model import QuantizedModel
from hwsim.quant.pipeline import quantize_network
from hwsim.quant.recipe import parse_recipe
from hwsim.quant.rewrite.fold_batchnorm import fold_batchnorm


class Residual(nn.Module):
    """A sum of a branch and a skip connection, averaged over a window of a power of two."""

    def __init__(self, skip: float = 1.0) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)
        with torch.no_grad():
            self.b.weight.mul_(skip)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        return self.head(torch.relu(self.b(x) + x).mean((2, 3)))


def made(model: nn.Module, shape: tuple[int, ...], weights: str, acts: str, scale: str = "pow2") -> QuantizedModel:
    torch.manual_seed(0)
    network = fold_batchnorm(capture(model, torch.zeros(1, *shape)))
    calibration = calibrate(network, torch.randn(64, *shape))
    return quantize_network(calibration, Policy(weights, acts, scale=scale), parse_recipe("rtn"))  # type: ignore[arg-type]


@pytest.mark.parametrize("formats", ["int4,int4", "int6,int8", "int8,int8", "e2m1,e2m1", "int4,e3m2"])
def test_what_is_called_exact_is_exact(formats: str) -> None:
    torch.manual_seed(1)
    model = made(Residual(), (2, 8, 8), *formats.split(","))
    x = torch.randn(128, 2, 8, 8)
    if model.is_exact_in(torch.float32):
        assert torch.equal(model(x).double(), model(x.double()))
    assert model.is_exact_in(torch.float64)


def test_small_networks_of_four_bits_are_exact_in_float32() -> None:
    assert made(Residual(), (2, 8, 8), "int4", "int4").is_exact_in(torch.float32)


def test_a_bias_beyond_the_significand_is_seen() -> None:
    model = nn.Linear(8, 4)
    nn.init.normal_(model.weight, std=1e-3)
    nn.init.constant_(model.bias, 1e5)
    quantized = made(model, (8,), "int8", "int8")
    assert not quantized.is_exact_in(torch.float32) and quantized.is_exact_in(torch.float64)
    assert quantized.evaluation_dtype is torch.float64


def test_a_sum_of_far_apart_branches_is_seen() -> None:
    quantized = made(Residual(skip=2.0**-22), (2, 8, 8), "int4", "int4")
    assert not quantized.is_exact_in(torch.float32)


@pytest.mark.parametrize(
    "formats", ["int4,mxfp8_e4m3", "nvfp4,int8", "int4@group4,int8", "int4,none", "e4m3~bias=2.5,int4"]
)
def test_nothing_is_claimed_without_common_steps(formats: str) -> None:
    quantized = made(Residual(), (2, 8, 8), *formats.split(","))
    assert not quantized.is_exact_in(torch.float32)


def test_float_scales_are_never_exact() -> None:
    assert not made(Residual(), (2, 8, 8), "int4", "int4", "f32").is_exact_in(torch.float64)


def test_zero_points_widen_the_accumulator() -> None:
    model = nn.Linear(64, 4)
    with torch.no_grad():
        model.weight.uniform_(-1, -0.95)
    quantized = made(model, (64,), "uint8+zp@tensor", "uint8+zp")
    codes = quantized.codes[next(iter(quantized.codes))]
    worst = int(abs(codes.codes - codes.zero_point).sum(axis=1).max()) * 255
    (layer,) = quantized.network.workload.compute
    assert quantized.accumulator_bits(layer) >= 1 + worst.bit_length()
