"""Every ATen operator that is translated, executed by onnxruntime and compared with torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import hwsim
from hwsim.core.errors import UnsupportedError
from hwsim.exchange.agreement import onnx_session
from hwsim.exchange.onnx_file import write_onnx
from hwsim.quant.model import QuantizedModel

pytestmark = pytest.mark.truth


class Fn(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.layers)


def plain(module: nn.Module, x: Tensor) -> QuantizedModel:
    """The network with nothing quantized: what is left is the translation of its operators."""
    return hwsim.quantize(module.eval(), x, weights="none", acts="none").model


V = (4, 6)
S = (4, 5, 6)
I = (4, 6, 9, 11)  # noqa: E741
C = (4, 8, 6, 6)
V3 = (4, 2, 5, 6, 7)
CONST = torch.linspace(-1, 1, 6)
CASES: dict[str, tuple[tuple[int, ...], Callable[..., Tensor]]] = {
    **{
        name: (V, getattr(F, name))
        for name in "relu relu6 leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid softplus softsign "
        "logsigmoid hardtanh".split()
    },
    "gelu tanh": (V, lambda x: F.gelu(x, approximate="tanh")),
    "softplus beta": (V, lambda x: F.softplus(x, beta=2.5)),
    "elu alpha": (V, lambda x: F.elu(x, 0.3)),
    "threshold": (V, lambda x: F.threshold(x, 0.1, -2.0)),
    "softmax": (S, lambda x: F.softmax(x, 1) + F.log_softmax(x, -1)),
    **{
        name: (V, getattr(torch, name))
        for name in "abs neg exp sin cos tan floor ceil round sign erf sigmoid tanh square atan".split()
    },
    "roots and logarithms": (V, lambda x: (x.abs() + 1).sqrt() + (x.abs() + 1).rsqrt() + x.abs().log1p() + x.expm1()),
    "arithmetic": (V, lambda x: torch.sub(x * 2 + CONST, x / 3, alpha=0.5) - (1 - x) + (-x) ** 2),
    "reversed": (V, lambda x: 2 / (x.abs() + 1) + torch.rsub(x, 3.0, alpha=2.0)),
    "extremes": (V, lambda x: torch.minimum(x, CONST) + torch.maximum(x, -x)),
    "floor division": (V, lambda x: torch.div(x, 0.3, rounding_mode="floor") + torch.remainder(x, 0.7)),
    "truncation": (V, lambda x: torch.div(x, 0.3, rounding_mode="trunc")),
    "clamps": (V, lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0.1) + x.clamp(max=0.2) + x.clamp_min(0) + x.clamp_max(1)),
    "comparisons": (V, lambda x: torch.where(torch.logical_and(x > 0, x < 1), x, 3.0) + (x >= 0.5).float() * (x != 1)),
    "masked": (V, lambda x: x.masked_fill(~(x > 0), -2.0)),
    "reductions": (S, lambda x: x.mean(1) + x.sum((1,)) + x.amax(1) - x.amin(1)),
    "reductions kept": (
        S,
        lambda x: x - x.mean((1, 2), keepdim=True) + x.var(2, keepdim=True) + x.std(1, keepdim=True),
    ),
    "extremes with index": (S, lambda x: x.max(1).values + x.min(1, keepdim=False)[0] + x.argmax(1)),
    "cumulative": (S, lambda x: x.cumsum(1)),
    "reshapes": (
        S,
        lambda x: x.reshape(x.shape[0], -1).view(-1, 5, 3, 2).flatten(1, 2).unflatten(1, (5, 3)).squeeze(1),
    ),
    "axes": (S, lambda x: x.permute(0, 2, 1).transpose(1, 2).unsqueeze(1).movedim(1, -1).squeeze(-1)),
    "batch moves": (S, lambda x: x.transpose(0, 1).reshape(5, -1).t().reshape(-1, 6, 5)),
    "expand": (S, lambda x: x[:, :1].expand(-1, 3, -1) + CONST.expand(x.shape[0], 3, 6)),
    "expand as": (S, lambda x: CONST.expand_as(x) * x),
    "repeat": (S, lambda x: x.repeat(1, 2, 1).tile(1, 1, 2)),
    "parts": (S, lambda x: torch.cat([*x.split(2, 1)[::-1], *x.chunk(2, 1)], 1)),
    "sizes": (S, lambda x: torch.cat(x.split([1, 4], 1)[::-1], 1) + torch.stack(x.unbind(1), 1)),
    "slices": (
        S,
        lambda x: x[:, 1:-1, ::2] + x[:, -3:, 3:] + x[:, 2].unsqueeze(1)[..., :3] + x.narrow(1, 1, 3)[..., 2:5],
    ),
    "index": (S, lambda x: x[:, torch.tensor([2, 0, 1])] + x.index_select(1, torch.tensor([0, 0, 3]))),
    "gather": (S, lambda x: x.gather(1, torch.zeros(4, 2, 6, dtype=torch.int64)[:1].expand(x.shape[0], 2, 6))),
    "rolls": (S, lambda x: x.roll((1, -2), (1, 2)) + x.flip(1)),
    "triangles": (S, lambda x: x.tril(1) + x.triu(-1)),
    "fills": (S, lambda x: torch.zeros_like(x) + torch.ones_like(x) + x.new_full((x.shape[0], 1, 6), 2.0) + x),
    "ranges": (S, lambda x: x + torch.arange(6) + torch.zeros(x.shape[0], 1, 1)),
    "shuffles": (
        C,
        lambda x: (
            F.pixel_shuffle(x, 2).sum(1, keepdim=True) + F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2)[:, :1].mean()
        ),
    ),
    "unshuffle": (C, lambda x: F.pixel_unshuffle(x, 2)),
    "channel shuffle": (C, lambda x: F.channel_shuffle(x, 4)),
    "pads": (I, lambda x: F.pad(x, (1, 2, 0, 3), value=0.5)),
    "reflect": (I, lambda x: F.pad(F.pad(x, (1, 2, 3, 1), mode="reflect"), (1, 1, 2, 2), mode="replicate")),
    "max pools": (I, lambda x: F.max_pool2d(x, 3, 2, 1) + F.max_pool2d(x, (3, 2), 2, (1, 0), 1, True)[..., :5, :6]),
    "max pool ceil": (I, lambda x: F.max_pool2d(x, 2, 3, 0, 1, True)),
    "max pool dilated": (I, lambda x: F.max_pool2d(x, 2, 1, 1, 2)),
    "average pools": (I, lambda x: F.avg_pool2d(x, 3, 2, 1)),
    "average uncounted": (I, lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
    "average ceil": (I, lambda x: F.avg_pool2d(x, (2, 3), 3, 1, True)),
    "average ceil uncounted": (I, lambda x: F.avg_pool2d(x, (2, 3), 3, 1, True, False)),
    "average divisor": (I, lambda x: F.avg_pool2d(x, 3, 2, divisor_override=4)),
    "adaptive": (C, lambda x: F.adaptive_avg_pool2d(x, 1) + F.adaptive_avg_pool2d(x, 3) + F.adaptive_max_pool2d(x, 3)),
    "adaptive uneven": (I, lambda x: F.adaptive_avg_pool2d(x, (4, 3)) + F.adaptive_max_pool2d(x, (4, 3))),
    "one dimension": (S, lambda x: F.max_pool1d(x, 2) + F.avg_pool1d(x, 2) + F.adaptive_avg_pool1d(x, 3)),
    "three dimensions": (V3, lambda x: F.max_pool3d(x, 2) + F.avg_pool3d(x, 2)),
    "nearest": (I, lambda x: F.interpolate(x, scale_factor=2)),
    "nearest to a size": (I, lambda x: F.interpolate(x, size=(7, 17))),
    "bilinear": (I, lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    "bilinear to a size": (I, lambda x: F.interpolate(x, size=(7, 17), mode="bilinear")),
    "bilinear aligned": (I, lambda x: F.interpolate(x, size=(7, 17), mode="bilinear", align_corners=True)),
    "attention": (C, lambda x: F.scaled_dot_product_attention(x, x * 0.5, x + 1)),
    "causal": (C, lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True, scale=0.3)),
    "masked attention": (C, lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=torch.eye(6) > 0)),
    "products": (S, lambda x: torch.bmm(x, x.transpose(1, 2)) @ x + torch.einsum("bij,bkj->bik", x, x) @ x),
    "normalisations": (
        C,
        lambda x: F.layer_norm(x, (6, 6)) + F.group_norm(x, 4) + F.instance_norm(x) + F.rms_norm(x, (6,)),
    ),
}
LAYERS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "conv1d": (S, lambda: nn.Conv1d(5, 4, 3, 2, 1)),
    "conv same": (I, lambda: nn.Conv2d(6, 4, (3, 4), padding="same", dilation=2, groups=2)),
    "conv valid": (I, lambda: nn.Conv2d(6, 4, 3, padding="valid", bias=False)),
    "conv3d": (V3, lambda: nn.Conv3d(2, 4, (1, 3, 2), (1, 2, 1), (0, 1, 1))),
    "deconv1d": (S, lambda: nn.ConvTranspose1d(5, 4, 3, 2)),
    "deconv2d": (I, lambda: nn.ConvTranspose2d(6, 4, (3, 2), (2, 3), (1, 0), (1, 2), groups=2, dilation=(2, 1))),
    "deconv3d": (V3, lambda: nn.ConvTranspose3d(2, 4, 2, 2, bias=False)),
    "linear on a sequence": (S, lambda: nn.Linear(6, 3)),
    "linear": (V, lambda: nn.Linear(6, 3, bias=False)),
    "prelu": (I, lambda: nn.Sequential(nn.PReLU(6, 0.1), nn.PReLU())),
    "batch norm alone": (I, lambda: nn.BatchNorm2d(6)),
    "group norm": (C, lambda: nn.GroupNorm(4, 8)),
    "layer norm": (S, lambda: nn.LayerNorm((5, 6))),
    "multi-head attention": (
        S,
        lambda: Fn(lambda x, a: a(x, x, x, need_weights=False)[0], nn.MultiheadAttention(6, 2)),
    ),
}


def check(module: nn.Module, x: Tensor, path: Path) -> None:
    model = plain(module, x)
    run = onnx_session(write_onnx(model, path), optimised=False)
    for rows in (x, x[:1]) if model.network.fixed_batch is None else (x[: model.network.fixed_batch],):
        with torch.no_grad():
            expected = module(rows)
        found = run(rows)
        assert found.shape == expected.shape
        assert torch.allclose(found.float(), expected.float(), rtol=1e-4, atol=1e-5), (found - expected).abs().max()


@pytest.mark.parametrize("name", [pytest.param(c, marks=pytest.mark.slow) if i % 3 else c for i, c in enumerate(CASES)])
def test_operator(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape, function = CASES[name]
    check(Fn(lambda x: function(x) * 1.0), torch.randn(shape), tmp_path / "op.onnx")


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape, build = LAYERS[name]
    check(build().eval(), torch.randn(shape), tmp_path / "layer.onnx")


def test_a_batch_that_the_network_fixes(tmp_path: Path) -> None:
    """A reshape that holds the batch size: exported as captured, for that size alone."""
    model = plain(Fn(lambda x: x.reshape(6, 1).relu()), torch.randn(1, 6))
    assert model.network.fixed_batch == 1
    path = write_onnx(model, tmp_path / "fixed.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [1, 6]


def test_two_inputs_and_two_outputs(tmp_path: Path) -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return x + y, x * y

    from hwsim.capture.graph import capture
    from hwsim.core.assignment import Assignment, Policy
    from hwsim.quant.recipe import parse_recipe

    a, b = torch.randn(3, 4), torch.randn(3, 4)
    network = capture(Pair(), a, b)
    model = QuantizedModel(
        network, network.module, Assignment({}, {}), Policy("none", "none"), parse_recipe("rtn"), {}, ()
    )
    path = write_onnx(model, tmp_path / "pair.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    found = session.run(None, dict(zip(names, (a.numpy(), b.numpy()), strict=True)))
    assert np.array_equal(found[0], (a + b).numpy()) and np.array_equal(found[1], (a * b).numpy())


def test_an_operator_without_translation_names_the_layer(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return torch.lgamma(self.first(x))

    model = plain(Net(), torch.randn(4, 6))
    with pytest.raises(UnsupportedError, match="lgamma") as caught:
        write_onnx(model, tmp_path / "no.onnx")
    assert caught.value.where.startswith("layer ") and not (tmp_path / "no.onnx").exists()
