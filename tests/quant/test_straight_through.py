"""The straight-through gradient against autograd through a surrogate, and against what LSQ prints."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hwsim.core.scaled import parse
from hwsim.quant.block_kernels import block_scales, fake_quantize_blocks
from hwsim.quant.groups import expand_groups
from hwsim.quant.kernels import fake_quantize

NAMES = ["int4", "uint4", "int8.full", "e2m1", "e4m3", "ue2m2", "e2m1~bias=2.5", "pow4", "binary"]


def surrogate(x: Tensor, low: float, high: float, scale: Tensor, zero: Tensor | float, value: Tensor) -> Tensor:
    """s (clip(x / s + z) - z), whose rounding error is added as a constant: autograd does the rest."""
    clipped = torch.clamp(x / scale + zero, low, high)
    rounding = (value / scale + zero - clipped).detach()
    return scale * (clipped + rounding - zero)


@pytest.mark.exact
@pytest.mark.parametrize("shape", [(), (6, 1, 1), (1, 4, 1)], ids=str)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", [*NAMES, "uint4+zp"])
def test_gradients_are_those_of_clip_and_step(name: str, relu: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    spec = parse(name)
    top = spec.format.max
    x = (torch.randn(6, 4, 10, dtype=torch.float64) * top * 0.3).requires_grad_()
    scale = (torch.rand(shape, dtype=torch.float64) * 0.5 + 0.3).requires_grad_()
    zero = torch.full(shape, 5.0, dtype=torch.float64).requires_grad_() if spec.zero_point else None
    weight = torch.randn(6, 4, 10, dtype=torch.float64)
    y = fake_quantize(x, spec, scale, zero, relu=relu)
    with torch.no_grad():
        assert torch.equal(y, fake_quantize(x, spec, scale, zero, relu=relu))
    leaves = [leaf for leaf in (x, scale, zero) if leaf is not None]
    found = torch.autograd.grad((y * weight).sum(), leaves)
    live = x.relu() if relu else x
    model = surrogate(live, spec.format.min, top, scale, 0.0 if zero is None else zero, y.detach())
    expected = torch.autograd.grad((model * weight).sum(), leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert 0.02 < (found[0] == 0).double().mean() < 0.9  # some elements were clipped, some were not


@pytest.mark.exact
@pytest.mark.parametrize("name", ["int4@group8", "e2m1@group9", "uint4+zp@group8"])
def test_group_scales(name: str) -> None:
    torch.manual_seed(0)
    spec = parse(name)
    groups = -(-27 // int(spec.block))
    w = torch.randn(5, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    scale = (torch.rand(5, groups, dtype=torch.float64) * 0.2 + 0.1).requires_grad_()
    zero = torch.full((5, groups), 8.0, dtype=torch.float64).requires_grad_() if spec.zero_point else None
    leaves = [leaf for leaf in (w, scale, zero) if leaf is not None]
    y = fake_quantize(w, spec, scale, zero)
    found = torch.autograd.grad(y.square().sum(), leaves)
    s = expand_groups(scale, spec, w)
    z = 0.0 if zero is None else expand_groups(zero, spec, w)
    model = surrogate(w, spec.format.min, spec.format.max, s, z, y.detach())
    expected = torch.autograd.grad(model.square().sum(), leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.exact
def test_the_step_gradient_as_lsq_prints_it() -> None:
    """Esser et al., eq. 3: -v/s + round(v/s) inside, -Q_N and Q_P outside."""
    x = torch.tensor([0.3, -0.6, 2.49, 9.0, -9.0])
    for value, expected in zip(x, [-0.3, -0.4, -0.49, 7.0, -8.0], strict=True):
        scale = torch.tensor(1.0, requires_grad=True)
        fake_quantize(value, parse("int4.full"), scale).backward()
        assert scale.grad is not None and abs(float(scale.grad) - expected) < 1e-6


@pytest.mark.exact
@pytest.mark.parametrize("name", ["fp16", "bf16", "none"])
def test_machine_formats_pass_gradients(name: str) -> None:
    x = torch.tensor([1.2345, -3.3, 1e6], requires_grad=True)
    fake_quantize(x, parse(name), torch.ones(())).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1.0, 1.0, 0.0 if name == "fp16" else 1.0]


@pytest.mark.exact
@pytest.mark.parametrize("name", ["mxfp4", "mxint8", "nvfp4"])
def test_blocks_clip_only_what_they_saturate(name: str) -> None:
    torch.manual_seed(0)
    spec = parse(name)
    x = torch.randn(3, 5, 40, requires_grad=True)
    y = fake_quantize_blocks(x, spec)
    assert torch.equal(y, fake_quantize_blocks(x.detach(), spec))
    y.sum().backward()
    rows = x.detach().view(15, 40)
    reach = expand_groups(block_scales(rows, spec), spec, rows).view(3, 5, 40) * spec.format.max
    assert x.grad is not None and torch.equal(x.grad, (x.detach().abs() <= reach).float())


def test_without_gradient_nothing_is_recorded() -> None:
    x = torch.randn(10, requires_grad=True)
    scale = torch.tensor(0.1, requires_grad=True)
    with torch.no_grad():
        assert not fake_quantize(x, parse("int4"), scale).requires_grad
    assert fake_quantize(x, parse("int4"), scale, inplace=True) is not x
    frozen = fake_quantize(x.detach(), parse("int4"), scale)
    (grad,) = torch.autograd.grad(frozen.sum(), scale)
    assert grad.shape == ()
