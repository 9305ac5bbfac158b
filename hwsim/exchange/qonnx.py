"""QONNX: Quant, BipolarQuant and FloatQuant around float values, as FINN, hls4ml and Brevitas exchange them.

Weights are float initializers that lie on their grid, followed by their quantizer. Minifloats of an unusual bias are
written with the usual one and the scale times 2^(usual bias - bias), which is the same set of values; the largest value
of a format that gives codes up for Inf and NaN is the input max_val. Unsigned minifloats are clipped at zero first,
since FloatQuant knows no sign flag. Groups and the blocks of weights become an axis of their own.
Source: QONNX custom operators Quant, BipolarQuant and FloatQuant (qonnx 1.0).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwsim.core.codes import WeightCodes
from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Binary, Int, Minifloat
from hwsim.core.scaled import Scaled
from hwsim.core.workload import Layer
from hwsim.exchange.machine_floats import outside_codes
from hwsim.exchange.onnx_writer import QONNX_DOMAIN
from hwsim.exchange.translation import Shape, Translation
from hwsim.exchange.weight_values import check_weight, float_scale, stretch_of
from hwsim.quant.layers import Quantizer
from hwsim.quant.model import QuantizedModel

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Qonnx:
    """The scheme of `--backend qonnx`."""

    name: str = "qonnx"

    def opset(self, model: QuantizedModel) -> int:
        """17, the first with LayerNormalization: tools that read QONNX lag behind."""
        return 17

    def activation(self, t: Translation, tensor: str, quantizer: Quantizer, x: str, shape: Shape) -> str:
        spec = quantizer.spec
        found = outside_codes(t, tensor, spec, x, "QONNX quantizers have")
        if found is not None:
            return found
        scale = quantizer.scale.double().numpy()
        zero = None if quantizer.zero_point is None else quantizer.zero_point.double().numpy()
        name = t.writer.fresh(f"{tensor}.quantized")
        return quantize_node(t, spec, x, _spread(scale, shape), None if zero is None else _spread(zero, shape), name)

    def weight(self, t: Translation, layer: Layer, codes: WeightCodes, values: Tensor) -> str:
        spec = codes.spec
        check_weight(layer, codes, values)
        rows = np.asarray(codes.dequantize(), np.float32)
        name, stored = t.writer.fresh(f"{layer.name}.weight"), f"{layer.name}.weight_values"
        zero = codes.zero_point if spec.zero_point else None
        if not isinstance(spec.block, int):
            return quantize_node(t, spec, t.writer.constant(rows, name=stored), codes.scale, zero, name)
        count, size = rows.shape[0], spec.block
        flat = rows.reshape(count, -1)
        length, groups = flat.shape[1], codes.scale.shape[1]
        padded = np.pad(flat, ((0, 0), (0, groups * size - length))).reshape(count, groups, size)
        zeros = None if zero is None else zero[..., None]
        inner = t.writer.fresh(f"{layer.name}.weight_groups")
        y = quantize_node(t, spec, t.writer.constant(padded, name=stored), codes.scale[..., None], zeros, inner)
        y = t.writer.reshape(y, count, groups * size)
        if groups * size > length:
            y = t.writer.slice(y, 0, length, 1)
        return t.writer.node("Reshape", [y, t.writer.integers(*rows.shape)], [name])[0]


def quantize_node(
    t: Translation,
    spec: Scaled,
    x: str,
    scale: NDArray[np.float64],
    zero: NDArray[np.float64] | None,
    name: str,
) -> str:
    """The quantizer of one format behind `x`; `scale` and `zero` broadcast over it.

    Raises
    ------
    UnsupportedError
        For power formats, which no QONNX operator expresses.
    """
    fmt, w = spec.format, t.writer
    steps = w.constant(float_scale(scale * stretch_of(fmt)))
    options: dict[str, object] = {"domain": QONNX_DOMAIN}
    if isinstance(fmt, Int):
        point = w.constant(np.float32(0.0)) if zero is None else w.constant(zero, "float32")
        inputs = [x, steps, point, w.constant(np.float32(fmt.bits))]
        options |= {"signed": int(fmt.signed), "narrow": int(fmt.narrow), "rounding_mode": "ROUND"}
        return w.node("Quant", inputs, [name], **options)[0]
    if isinstance(fmt, Binary):
        return w.node("BipolarQuant", [x, steps], [name], **options)[0]
    if isinstance(fmt, Minifloat):
        if not fmt.signed:
            x = w.add("Relu", x)
        plain = replace(fmt, bias=float(fmt.usual_bias))
        inputs = [x, steps, *(w.constant(np.float32(v)) for v in _float_parameters(plain))]
        options |= {
            "has_inf": int(fmt.specials == "ieee"),
            "has_nan": int(fmt.specials != "none"),
            "has_subnormal": 1,
            "saturation": 1,
            "rounding_mode": "ROUND",
        }
        return w.node("FloatQuant", inputs, [name], **options)[0]
    raise UnsupportedError(
        f"{spec} has no QONNX operator",
        where=name,
        hint="QONNX holds integers, binary values and minifloats; use --backend packed for the weights",
    )


def _float_parameters(fmt: Minifloat) -> tuple[float, ...]:
    """Exponent bits, mantissa bits, bias and largest value, as FloatQuant takes them."""
    return float(fmt.exponent), float(fmt.mantissa), fmt.bias, fmt.max


def _spread(values: NDArray[np.float64], shape: Shape) -> NDArray[np.float64]:
    """A factor with as many axes as its tensor; a single one becomes a scalar."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
