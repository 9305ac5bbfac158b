"""ONNX nodes with constant weights, and activations, as the torch layers they were exported from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwsim.capture.onnx_values import Host, OnnxNode
from hwsim.capture.onnx_windows import same_padding, torch_padding, window_padding

Constants = list[Host | None]
Build = Callable[[OnnxNode, Constants, int | None], nn.Module | None]
_CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_DECONV: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_PAD: dict[int, Any] = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}
_NORM: dict[int | None, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_GLOBAL: dict[int | None, Any] = {3: nn.AdaptiveAvgPool1d, 4: nn.AdaptiveAvgPool2d, 5: nn.AdaptiveAvgPool3d}


class SamePad(nn.Module):
    """Zeros around an input of any size, for `auto_pad=SAME_UPPER|SAME_LOWER`."""

    def __init__(self, kernel: list[int], strides: list[int], dilations: list[int], upper: bool) -> None:
        super().__init__()
        self.windows = list(zip(kernel, strides, dilations, strict=True))
        self.upper = upper

    def forward(self, x: Tensor) -> Tensor:
        pairs = [same_padding(s, *w, self.upper) for s, w in zip(x.shape[2:], self.windows, strict=True)]
        return F.pad(x, torch_padding([p[0] for p in pairs], [p[1] for p in pairs]))


def _parameter(values: Host) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(values)), requires_grad=False)


def _conv(node: OnnxNode, constants: Constants, rank: int | None) -> nn.Module | None:
    weight, bias = constants[1], constants[2] if len(constants) > 2 else None
    if weight is None or (len(constants) > 2 and node.inputs[2] and bias is None):
        raise node.unsupported("its weight or bias is computed by the network", hint="make them initializers")
    axes = weight.ndim - 2
    if axes not in _CONV:
        raise node.unsupported(f"{axes} spatial axes")
    kernel = list(weight.shape[2:])
    strides, dilations = node.get("strides") or [1] * axes, node.get("dilations") or [1] * axes
    groups = node.get("group", 1)
    mode = node.get("auto_pad", "NOTSET")
    pad: nn.Module | None = None
    padding = [0] * axes
    if mode in ("SAME_UPPER", "SAME_LOWER") and any(s != 1 for s in strides):
        pad = SamePad(kernel, strides, dilations, mode == "SAME_UPPER")
    else:  # at stride 1 the padding does not depend on the size
        before, after = window_padding(node, kernel, [1 << 20] * axes)
        if before == after:
            padding = before
        else:
            pad = _PAD[axes](torch_padding(before, after), 0.0)
    conv = _CONV[axes](
        weight.shape[1] * groups, weight.shape[0], kernel, strides, padding, dilations, groups, bias is not None
    )
    _fill(conv, weight, bias)
    return conv if pad is None else nn.Sequential(OrderedDict(pad=pad, conv=conv))


def _deconv(node: OnnxNode, constants: Constants, rank: int | None) -> nn.Module | None:
    weight, bias = constants[1], constants[2] if len(constants) > 2 else None
    if weight is None or (len(constants) > 2 and node.inputs[2] and bias is None):
        raise node.unsupported("its weight or bias is computed by the network", hint="make them initializers")
    axes = weight.ndim - 2
    if axes not in _DECONV or node.get("output_shape"):
        raise node.unsupported("output_shape" if axes in _DECONV else f"{axes} spatial axes")
    kernel = list(weight.shape[2:])
    strides, dilations = node.get("strides") or [1] * axes, node.get("dilations") or [1] * axes
    extra = node.get("output_padding") or [0] * axes
    before, after = _deconv_padding(node, kernel, strides, dilations, extra)
    even = before == after
    groups = node.get("group", 1)
    deconv = _DECONV[axes](
        weight.shape[0],
        weight.shape[1] * groups,
        kernel,
        strides,
        before if even else 0,
        extra,
        groups,
        bias is not None,
        dilations,
    )
    _fill(deconv, weight, bias)
    if even:
        return deconv
    crop = _PAD[axes](torch_padding([-p for p in before], [-p for p in after]), 0.0)
    return nn.Sequential(OrderedDict(conv=deconv, crop=crop))


def _deconv_padding(
    node: OnnxNode, kernel: list[int], strides: list[int], dilations: list[int], extra: list[int]
) -> tuple[list[int], list[int]]:
    mode, axes = node.get("auto_pad", "NOTSET"), len(kernel)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        pads = [0] * 2 * axes if mode == "VALID" else list(node.get("pads") or [0] * 2 * axes)
        return pads[:axes], pads[axes:]
    totals = [max(e + (k - 1) * d + 1 - s, 0) for k, s, d, e in zip(kernel, strides, dilations, extra, strict=True)]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def _fill(layer: Any, weight: Host, bias: Host | None) -> None:
    layer.weight = _parameter(weight)
    if bias is not None:
        layer.bias = _parameter(bias)


def linear(weight: Host, bias: Host | None) -> nn.Linear:
    """A linear layer of weight (out, in)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    _fill(layer, np.ascontiguousarray(weight), bias)
    return layer


def _gemm(node: OnnxNode, constants: Constants, rank: int | None) -> nn.Module | None:
    weight, bias = constants[1], constants[2] if len(constants) > 2 else None
    if weight is None or constants[0] is not None or node.get("transA", 0):
        return None
    weight = (weight if node.get("transB", 0) else weight.T) * np.float32(node.get("alpha", 1.0))
    if len(constants) > 2 and node.inputs[2]:
        if bias is None or bias.size != weight.shape[0] or bias.shape[-1:] != weight.shape[:1]:
            return None
        bias = bias.reshape(-1) * np.float32(node.get("beta", 1.0))
    return linear(weight, bias)


def _matmul(node: OnnxNode, constants: Constants, rank: int | None) -> nn.Module | None:
    weight = constants[1]
    if weight is None or weight.ndim != 2 or constants[0] is not None:
        return None
    return linear(weight.T, None)


def _embedding(node: OnnxNode, constants: Constants, rank: int | None) -> nn.Module | None:
    table = constants[0]
    if table is None or constants[1] is not None or table.ndim != 2 or table.dtype.kind != "f" or node.get("axis", 0):
        return None
    layer = nn.Embedding(*table.shape)
    layer.weight = _parameter(table)
    return layer


def _batch_norm(node: OnnxNode, constants: Constants, rank: int | None) -> nn.Module | None:
    scale, bias, mean, var = constants[1:5]
    if scale is None or bias is None or mean is None or var is None or rank not in _NORM or node.get("training_mode"):
        return None
    layer = _NORM[rank](scale.size, node.get("epsilon", 1e-5))
    _fill(layer, scale, bias)
    layer.running_mean, layer.running_var = torch.from_numpy(np.array(mean)), torch.from_numpy(np.array(var))
    return layer


def _layer_norm(node: OnnxNode, constants: Constants, rank: int | None) -> nn.Module | None:
    scale, bias = constants[1], constants[2] if len(constants) > 2 else None
    axis = node.get("axis", -1)
    axes = -axis if axis < 0 else (rank or 0) - axis
    if scale is None or scale.ndim != axes or len([o for o in node.outputs if o]) > 1:
        return None
    if len(constants) > 2 and node.inputs[2] and (bias is None or bias.shape != scale.shape):
        return None
    layer = nn.LayerNorm(scale.shape, node.get("epsilon", 1e-5), bias=bias is not None)
    _fill(layer, scale, bias)
    return layer


def _pool(average: bool) -> Build:
    layers: Any = (
        {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
        if average
        else {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
    )

    def build(node: OnnxNode, constants: Constants, rank: int | None) -> nn.Module | None:
        kernel = node.get("kernel_shape")
        axes, dilations = len(kernel), node.get("dilations")
        same = str(node.get("auto_pad", "NOTSET")).startswith("SAME")
        before, after = window_padding(node, kernel, [1] * axes)
        fits = before == after and all(2 * p <= k for p, k in zip(before, kernel, strict=True))
        if same or not fits or axes not in layers or len([o for o in node.outputs if o]) > 1:
            return None
        options: dict[str, Any] = {"ceil_mode": bool(node.get("ceil_mode", 0))}
        if average:
            if dilations and any(d != 1 for d in dilations):
                return None
            options["count_include_pad"] = bool(node.get("count_include_pad", 0))
        elif dilations:
            options["dilation"] = dilations
        return layers[axes](kernel, node.get("strides") or [1] * axes, before, **options)

    return build


def _activation(make: Callable[[OnnxNode], nn.Module | None]) -> Build:
    return lambda node, constants, rank: make(node)


def _clip(node: OnnxNode, constants: Constants, rank: int | None) -> nn.Module | None:
    bounds = [c.item() for c in constants[1:3] if c is not None and c.size == 1]
    if node.opset < 11:
        bounds = [float(node.get(key)) for key in ("min", "max") if node.get(key) is not None]
    return nn.ReLU6() if bounds == [0.0, 6.0] else None


def _hard_sigmoid(node: OnnxNode) -> nn.Module | None:
    usual = abs(node.get("alpha", 0.2) - 1 / 6) < 1e-6 and node.get("beta", 0.5) == 0.5
    return nn.Hardsigmoid() if usual else _HardSigmoid(node.get("alpha", 0.2), node.get("beta", 0.5))


class _HardSigmoid(nn.Module):
    """max(0, min(1, alpha x + beta))."""

    def __init__(self, alpha: float, beta: float) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.alpha + self.beta).clamp(0.0, 1.0)


def _selu(node: OnnxNode) -> nn.Module | None:
    alpha, gamma = node.get("alpha", 1.67326324), node.get("gamma", 1.05070102)
    if abs(alpha - 1.67326324) > 1e-6 or abs(gamma - 1.05070102) > 1e-6:
        raise node.unsupported("alpha or gamma other than SELU's own")
    return nn.SELU()


def _prelu(node: OnnxNode, constants: Constants, rank: int | None) -> nn.Module | None:
    slope = constants[1]
    if slope is None:
        return None
    by_channel = rank is not None and slope.ndim == rank - 1 and slope.size == slope.shape[0]
    if slope.size != 1 and not by_channel:
        return None
    layer = nn.PReLU(slope.size)
    layer.weight = _parameter(slope.reshape(-1))
    return layer


LAYERS: dict[str, Build] = {
    "Conv": _conv,
    "ConvTranspose": _deconv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Gather": _embedding,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "MaxPool": _pool(average=False),
    "AveragePool": _pool(average=True),
    "GlobalAveragePool": lambda node, constants, rank: _GLOBAL[rank](1) if rank in _GLOBAL else None,
    "Flatten": lambda node, constants, rank: nn.Flatten() if node.get("axis", 1) == 1 else None,
    "Relu": _activation(lambda node: nn.ReLU()),
    "LeakyRelu": _activation(lambda node: nn.LeakyReLU(node.get("alpha", 0.01))),
    "PRelu": _prelu,
    "Clip": _clip,
    "Elu": _activation(lambda node: nn.ELU(node.get("alpha", 1.0))),
    "Selu": _activation(_selu),
    "Celu": _activation(lambda node: nn.CELU(node.get("alpha", 1.0))),
    "ThresholdedRelu": _activation(lambda node: nn.Threshold(node.get("alpha", 1.0), 0.0)),
    "Sigmoid": _activation(lambda node: nn.Sigmoid()),
    "Tanh": _activation(lambda node: nn.Tanh()),
    "HardSigmoid": _activation(_hard_sigmoid),
    "HardSwish": _activation(lambda node: nn.Hardswish()),
    "Gelu": _activation(lambda node: nn.GELU(node.get("approximate", "none"))),
    "Softplus": _activation(lambda node: nn.Softplus()),
    "Softsign": _activation(lambda node: nn.Softsign()),
    "Mish": _activation(lambda node: nn.Mish()),
    "Softmax": _activation(lambda node: nn.Softmax(node.get("axis", -1)) if node.opset >= 13 else None),
    "LogSoftmax": _activation(lambda node: nn.LogSoftmax(node.get("axis", -1)) if node.opset >= 13 else None),
}
