"""Built-in networks: seeded, of the sizes they claim, free of surprises."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hwsim.core.errors import InputError
from hwsim.zoo.networks import NETWORKS, network

# multiply-accumulates by torch.utils.flop_counter / 2 (resnet20: 40.8 M and 0.27 M parameters in He et al. with 1x1
# shortcuts), outputs a row
FACTS = {
    "digits_resnet": (209_568, 9_794, (10,)),
    "mlp": (6_464, 6_570, (10,)),
    "resnet20": (40_813_184, 272_474, (10,)),
    "mobilenet_small": (6_386_944, 86_922, (10,)),
    "vit_tiny": (15_139_968, 208_074, (10,)),
    "unet_tiny": (25_149_440, 117_412, (4, 32, 32)),
    "fashion_resnet": (2_552_000, 77_754, (10,)),
    "fashion_mobilenet": (1_071_136, 32_234, (10,)),
    "fashion_repvgg_train": (4_276_480, 107_466, (10,)),
    "fashion_repvgg": (3_848_896, 95_578, (10,)),
    "fashion_vit": (3_541_120, 205_066, (10,)),
    "bccd_detector": (80_236_800, 248_279, (7, 15, 20)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_size_and_output(name: str) -> None:
    macs, params, output = FACTS[name]
    entry = network(name)
    model = entry.factory()
    assert not model.training
    assert sum(p.numel() for p in model.parameters()) == params
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        y = model(torch.randn(entry.input_shape))
    assert tuple(y.shape) == (1, *output)
    assert counter.get_total_flops() == 2 * macs


@pytest.mark.parametrize("name", NETWORKS)
def test_seeds_fix_the_weights_and_leave_the_random_state_alone(name: str) -> None:
    state = torch.get_rng_state()
    first, again, other = (network(name).factory(seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_small", "unet_tiny"])
def test_untrained_activations_have_a_sane_range(name: str) -> None:
    entry = network(name)
    model = entry.factory()
    spreads: list[float] = []
    for norm in [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]:
        norm.register_forward_hook(lambda module, x, y: spreads.append(float(y.std())))
    torch.manual_seed(0)
    with torch.no_grad():
        model(torch.randn(16, *entry.input_shape[1:]))
    assert min(spreads) > 0.5
    assert max(spreads) < 2


def test_the_digits_network_suits_hls() -> None:
    """No layer that hls4ml's torch front end refuses: grouped, adaptive or transposed ones, string padding, ReLU6."""
    for layer in network("digits_resnet").factory().modules():
        assert not isinstance(layer, nn.AdaptiveAvgPool2d | nn.ConvTranspose2d | nn.GELU | nn.ReLU6)
        if isinstance(layer, nn.Conv2d):
            assert layer.groups == 1
            assert not isinstance(layer.padding, str)
        if isinstance(layer, nn.AvgPool2d):
            window = int(layer.kernel_size)  # type: ignore[arg-type]
            assert window & (window - 1) == 0  # the mean is a shift


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"resnet2") as caught:
        network("resnet2")
    assert "did you mean 'resnet20'" in caught.value.hint
