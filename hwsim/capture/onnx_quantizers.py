"""Quantizers of ONNX and QONNX files, as arithmetic on floats: codes stay whole numbers in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hwsim.capture.onnx_values import OnnxNode, Operator, Value, ints, tensor

_CODES = {2: (0, 255), 3: (-128, 127), 4: (0, 65535), 5: (-32768, 32767), 21: (0, 15), 22: (-8, 7)}
_FLOAT8 = {
    17: torch.float8_e4m3fn,
    18: torch.float8_e4m3fnuz,
    19: torch.float8_e5m2,
    20: torch.float8_e5m2fnuz,
}
_ROUNDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "ROUND": torch.round,
    "HALF_EVEN": torch.round,
    "CEIL": torch.ceil,
    "FLOOR": torch.floor,
    "UP": lambda x: torch.sign(x) * torch.ceil(torch.abs(x)),
    "DOWN": torch.trunc,
    "ROUND_TO_ZERO": torch.trunc,
    "HALF_UP": lambda x: torch.sign(x) * torch.floor(torch.abs(x) + 0.5),
    "HALF_DOWN": lambda x: torch.sign(x) * torch.ceil(torch.abs(x) - 0.5),
}


def _quantize_linear(node: OnnxNode, x: Value, scale: Value, zero: Value | None = None) -> Tensor:
    """round(x / scale) + zero point, saturated to the type of the output (the type of the zero point)."""
    data = tensor(x)
    kind = node.get("output_dtype") or node.get("zero_point_type") or 2
    scaled = data / _along(node, scale, data)
    if kind in _FLOAT8:
        limit = torch.finfo(_FLOAT8[kind]).max
        bounded = scaled.clamp(-limit, limit) if node.get("saturate", 1) else scaled
        return bounded.to(_FLOAT8[kind]).to(torch.float32)
    if kind not in _CODES:
        raise node.unsupported(f"to data type {kind}")
    codes = torch.round(scaled)
    if zero is not None:
        codes = codes + _along(node, zero, data).to(codes.dtype)
    return codes.clamp(*_CODES[kind])


def _dequantize_linear(node: OnnxNode, x: Value, scale: Value, zero: Value | None = None) -> Tensor:
    data = tensor(x)
    steps = _along(node, scale, data)
    codes = data.to(steps.dtype)
    return (codes if zero is None else codes - _along(node, zero, data).to(steps.dtype)) * steps


def _along(node: OnnxNode, value: Value, data: Tensor) -> Tensor:
    """A scale or zero point in the shape that spreads over `data`: one, one a slice of `axis`, or one a block."""
    found = tensor(value)
    axis = node.get("axis", 1)
    if block := node.get("block_size", 0):
        return found.repeat_interleave(block, axis).narrow(axis, 0, data.shape[axis])
    if found.numel() == 1:
        return found.reshape(())
    shape = [1] * data.ndim
    shape[axis] = found.numel()
    return found.reshape(shape)


def _quant(node: OnnxNode, x: Value, scale: Value, zero: Value, bits: Value) -> Tensor:
    """QONNX Quant / IntQuant: clamp(x / scale + zero), round, back (qonnx, custom operators, Quant)."""
    width = float(ints(node, bits, "bit width")[0])
    signed, narrow = bool(node.get("signed", 1)), bool(node.get("narrow", 0))
    steps, offset = tensor(scale), tensor(zero)
    codes = tensor(x) / steps + offset
    if width == 1 and signed:
        codes = torch.where(codes >= 0, 1.0, -1.0)
    else:
        low = -(2.0 ** (width - 1)) + narrow if signed else 0.0
        high = 2.0 ** (width - 1) - 1 if signed else 2.0**width - 1 - narrow
        codes = _rounding(node)(codes.clamp(low, high))
    return (codes - offset) * steps


def _bipolar_quant(node: OnnxNode, x: Value, scale: Value) -> Tensor:
    """QONNX BipolarQuant: the sign, +1 at 0, times the scale."""
    return torch.where(tensor(x) >= 0, 1.0, -1.0) * tensor(scale)


def _float_quant(
    node: OnnxNode,
    x: Value,
    scale: Value,
    exponent: Value,
    mantissa: Value,
    bias: Value,
    largest: Value | None = None,
) -> Tensor:
    """QONNX FloatQuant: round x / scale at the step of its binade, clip to the largest value, back.

    As the reference executes it (qonnx 1.0): subnormals always, signed always, saturating.
    """
    if not node.get("saturation", 1):
        raise node.unsupported("without saturation", hint="Inf and NaN have no place in a quantized network")
    e, m, b = (float(tensor(v).reshape(())) for v in (exponent, mantissa, bias))
    top = (2.0 - 2.0**-m) * 2.0 ** (2.0**e - 1.0 - b)
    if largest is not None:
        top = min(top, float(tensor(largest).reshape(())))
    units, tiny = tensor(x) / tensor(scale), torch.finfo(torch.float32).tiny
    binade = torch.floor(torch.log2(torch.abs(units) + tiny)) - m
    step = torch.exp2(torch.clamp(binade, min=1.0 - b - m))
    return (_rounding(node)(units / step) * step).clamp(-top, top) * tensor(scale)


def _rounding(node: OnnxNode) -> Callable[[Tensor], Tensor]:
    name = str(node.get("rounding_mode", "ROUND")).upper()
    if name not in _ROUNDINGS:
        raise node.unsupported(f"rounding mode {name}", hint=f"known: {', '.join(_ROUNDINGS)}")
    return _ROUNDINGS[name]


QUANTIZERS: dict[str, Operator] = {"QuantizeLinear": _quantize_linear, "DequantizeLinear": _dequantize_linear}
QONNX_DOMAINS = frozenset(("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"))
QONNX: dict[str, Any] = {
    "Quant": _quant,
    "IntQuant": _quant,
    "BipolarQuant": _bipolar_quant,
    "FloatQuant": _float_quant,
}
