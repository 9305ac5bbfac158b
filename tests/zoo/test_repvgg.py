"""RepVGG: the deployed network computes what the trained one computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hwsim.core.errors import UnsupportedError
from hwsim.zoo.networks import network
from hwsim.zoo.repvgg import PlainBlock, RepVGG, RepVGGBlock, deploy

pytestmark = pytest.mark.exact


def unsettled(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model in eval mode, its batch normalisations with random statistics and affine parts of either sign."""
    draw = torch.Generator().manual_seed(seed)
    for norm in [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]:
        norm.running_mean.copy_(torch.randn(norm.num_features, generator=draw))  # type: ignore[union-attr]
        norm.running_var.copy_(torch.rand(norm.num_features, generator=draw) + 0.1)  # type: ignore[union-attr]
        nn.init.normal_(norm.weight, 0.5, 1.0, generator=draw)
        nn.init.normal_(norm.bias, generator=draw)
    return model.eval()


def difference(model: nn.Module, x: torch.Tensor) -> float:
    with torch.no_grad():
        y = model(x)
        return float((deploy(model)(x) - y).abs().max() / y.abs().max())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("widths", [(8, 8), (8, 16)])
def test_a_block_keeps_its_function(widths: tuple[int, int], groups: int, stride: int) -> None:
    torch.manual_seed(groups)
    block = unsettled(RepVGGBlock(*widths, stride, groups))
    assert (block.bn0 is not None) == (stride == 1 and widths == (8, 8))
    x = torch.randn(3, 8, 9, 7)
    plain = deploy(block)
    assert isinstance(plain, PlainBlock)
    assert plain.conv.groups == groups
    assert difference(block, x) < 1e-4
    assert difference(block.double(), x.double()) < 1e-9


def test_a_network_keeps_its_function_and_itself() -> None:
    torch.manual_seed(1)
    model = unsettled(RepVGG(1, [(8, 2), (8, 1), (12, 2), (12, 1)], 10))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x = torch.randn(4, 1, 28, 28)
    assert difference(model, x) < 1e-4
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    plain = deploy(model)
    assert not any(isinstance(m, nn.BatchNorm2d | RepVGGBlock) for m in plain.modules())
    assert [m.kernel_size for m in plain.modules() if isinstance(m, nn.Conv2d)] == [(3, 3)] * 4
    assert difference(model.double(), x.double()) < 1e-9


def test_the_zoo_network_is_the_deployed_one() -> None:
    model, plain = network("fashion_repvgg_train").factory(3), network("fashion_repvgg").factory(3)
    x = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), model(x), rtol=1e-4, atol=1e-4)


def test_a_wrong_fusion_would_be_seen() -> None:
    """Without the identity branch the difference is gross: the tests above can fail."""
    block = unsettled(RepVGGBlock(8, 8))
    x = torch.randn(2, 8, 6, 6)
    with torch.no_grad():
        y = block(x)
        block.bn0 = None
        assert float((deploy(block)(x) - y).abs().max() / y.abs().max()) > 0.1


def test_statistics_are_needed() -> None:
    block = RepVGGBlock(4, 4)
    block.bn1 = nn.BatchNorm2d(4, track_running_stats=False)
    with pytest.raises(UnsupportedError, match="running statistics"):
        deploy(block)
