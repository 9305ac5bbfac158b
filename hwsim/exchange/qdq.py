"""QDQ: integers (and 8-bit floats) between QuantizeLinear and DequantizeLinear, as onnxruntime and TensorRT read them.

A width that ONNX lacks is carried by the next wider type (activations by 8 bits at least: few operators of
onnxruntime take 4-bit tensors), and a Clip on the real range of the format stands before
QuantizeLinear: codes outside the format can then not occur, whatever the input. The metadata of the file name the true
formats. DequantizeLinear multiplies a code by a float32 scale once, which is what the simulated network does.
Source: ONNX operator specifications QuantizeLinear-21, DequantizeLinear-21.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwsim.core.codes import WeightCodes
from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Int, Minifloat
from hwsim.core.scaled import Scaled
from hwsim.core.workload import Layer
from hwsim.exchange.machine_floats import outside_codes
from hwsim.exchange.translation import Shape, Translation
from hwsim.exchange.weight_values import check_weight, float_scale, stretch_of
from hwsim.quant.layers import Quantizer
from hwsim.quant.model import QuantizedModel

_FLOAT8: dict[tuple[int, int, str], str] = {
    (4, 3, "fn"): "FLOAT8E4M3FN",
    (5, 2, "ieee"): "FLOAT8E5M2",
    (4, 3, "fnuz"): "FLOAT8E4M3FNUZ",
    (5, 2, "fnuz"): "FLOAT8E5M2FNUZ",
}


@dataclass(frozen=True, slots=True)
class Container:
    """The ONNX type that carries a format.

    Attributes
    ----------
    name : of onnx.TensorProto, e.g. INT8.
    low, high : codes that the type has; None for 8-bit floats, whose values are those of the format.
    """

    name: str
    low: int | None = None
    high: int | None = None


def container_of(spec: Scaled, where: str, narrowest: int = 4) -> Container:
    """The type that carries a format; `narrowest` is the width of the smallest integer type to use.

    Raises
    ------
    UnsupportedError
        For formats whose values no ONNX type has.
    """
    fmt = spec.format
    if isinstance(fmt, Int):
        for bits in (b for b in (4, 8, 16) if b >= narrowest):
            if fmt.bits <= bits and fmt.signed:
                return Container(f"INT{bits}", -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
            if fmt.bits <= bits:
                return Container(f"UINT{bits}", 0, (1 << bits) - 1)
    if isinstance(fmt, Minifloat) and fmt.signed and (fmt.exponent, fmt.mantissa, fmt.specials) in _FLOAT8:
        return Container(_FLOAT8[fmt.exponent, fmt.mantissa, fmt.specials])
    raise UnsupportedError(
        f"{spec} cannot be held by QuantizeLinear",
        where=where,
        hint="QDQ files hold integers up to 16 bits, e4m3fn and e5m2ieee; use --backend qonnx (integers, minifloats, "
        "binary) or --backend packed (weights of any format)",
    )


@dataclass(frozen=True, slots=True)
class Qdq:
    """The scheme of `--backend onnx`."""

    name: str = "onnx"

    def opset(self, model: QuantizedModel) -> int:
        """20, or 21 where 4-bit weights, 16-bit integers or groups ask for it.

        onnxruntime 1.31 cannot load some networks of opset 21 with its optimisations on: it turns signed codes of a
        transposed tensor into unsigned ones and leaves the attribute output_dtype, new in 21, behind.
        """
        acts = [m.spec.format for m in model.module.children() if isinstance(m, Quantizer)]
        weights = [codes.spec for codes in model.codes.values()]
        wide = any(isinstance(fmt, Int) and fmt.bits > 8 for fmt in (*acts, *(spec.format for spec in weights)))
        packed = any(isinstance(spec.block, int) or spec.bits <= 4 for spec in weights)
        return 21 if wide or packed else 20

    def activation(self, t: Translation, tensor: str, quantizer: Quantizer, x: str, shape: Shape) -> str:
        spec = quantizer.spec
        found = outside_codes(t, tensor, spec, x, "QuantizeLinear has")
        if found is not None:
            return found
        container = container_of(spec, f"tensor {tensor}", narrowest=8)
        scale = float_scale(quantizer.scale.double().numpy() * stretch_of(spec.format))
        zero = None if quantizer.zero_point is None else quantizer.zero_point.double().numpy()
        axis = _channel_axis(scale, shape, tensor)
        if isinstance(spec.format, Int) and not _fills(spec.format, container):
            x = _clip(t, x, spec.format, scale, zero)
        steps = scale.reshape(-1) if axis is not None else scale.reshape(())
        parameters = _parameters(t, container, tensor, steps, zero)
        options = {} if axis is None else {"axis": axis}
        codes = t.writer.add("QuantizeLinear", x, *parameters, **options)
        return t.writer.add("DequantizeLinear", codes, *parameters, **options)

    def weight(self, t: Translation, layer: Layer, codes: WeightCodes, values: Tensor) -> str:
        spec = codes.spec
        container = container_of(spec, f"weight of layer {layer.name}")
        check_weight(layer, codes, values)
        scale = float_scale(codes.scale * stretch_of(spec.format))
        zero = codes.zero_point if spec.zero_point else None
        rows, shape = codes.codes.shape[0], codes.codes.shape
        stored, options = shape, {}
        if isinstance(spec.block, int):
            stored = (rows, codes.codes[0].size)
            groups = scale.shape[1]
            options = {"axis": 1, "block_size": spec.block} if groups > 1 else {"axis": 0}
            scale = scale if groups > 1 else scale.reshape(-1)
        elif scale.size > 1:
            scale, options = scale.reshape(-1), {"axis": 0}
        else:
            scale = scale.reshape(())
        kind = getattr(t.writer.onnx.TensorProto, container.name)
        name = f"{layer.name}.weight_quantized"
        if container.name in ("INT8", "UINT8", "INT16", "UINT16"):
            data = t.writer.constant(codes.codes.reshape(stored), container.name.lower(), name=name)
        else:
            data = t.writer.raw_constant(kind, stored, codes.codes, name)
        parameters = _parameters(t, container, f"{layer.name}.weight", scale, zero)
        found = t.writer.node(
            "DequantizeLinear", [data, *parameters], [t.writer.fresh(f"{layer.name}.weight")], **options
        )[0]
        return found if stored == shape else t.writer.reshape(found, *shape)


def _fills(fmt: Int, container: Container) -> bool:
    return (fmt.min_code, fmt.max_code) == (container.low, container.high)


def _channel_axis(scale: NDArray[np.float32], shape: Shape, tensor: str) -> int | None:
    """The axis of an activation that the scales run along; None for a single one."""
    if scale.size == 1:
        return None
    axes = [axis for axis, size in enumerate(scale.shape) if size > 1]
    if len(axes) != 1:
        raise UnsupportedError("scales along several axes", where=f"tensor {tensor}", hint="use @tensor or @channel")
    return axes[0] + len(shape) - scale.ndim


def _clip(t: Translation, x: str, fmt: Int, scale: NDArray[np.float32], zero: NDArray[np.float64] | None) -> str:
    """Clip to the real values of the lowest and the highest code, which QuantizeLinear then maps to just these."""
    offset = np.zeros(()) if zero is None else zero
    low, high = ((np.asarray(c, np.float64) - offset) * scale for c in (fmt.min_code, fmt.max_code))
    if low.size == 1 and high.size == 1:
        bounds = (t.writer.constant(np.float32(b.reshape(()))) for b in (low, high))
        return t.writer.add("Clip", x, *bounds)
    x = t.writer.add("Max", x, t.writer.constant(low, "float32"))
    return t.writer.add("Min", x, t.writer.constant(high, "float32"))


def _parameters(
    t: Translation, container: Container, name: str, scale: NDArray[np.float32], zero: NDArray[np.float64] | None
) -> list[str]:
    """Scale and zero point; the type of the latter is that of the codes.

    No two tensors share them: onnxruntime replaces the zero point of a weight whose codes it makes unsigned.
    """
    count: Any = np.zeros(scale.shape) if zero is None else np.broadcast_to(zero.reshape(-1), (scale.size,))
    values = np.asarray(count).reshape(scale.shape)
    if container.low is not None and (values.min() < container.low or values.max() > (container.high or 0)):
        raise UnsupportedError(
            f"a zero point outside {container.name}",
            where=t.writer.scope,
            hint="use a wider format, or --backend qonnx",
        )
    kind = getattr(t.writer.onnx.TensorProto, container.name)
    if container.name in ("INT8", "UINT8", "INT16", "UINT16"):
        point = t.writer.constant(values, container.name.lower(), name=f"{name}.zero_point")
    else:
        point = t.writer.raw_constant(kind, scale.shape, values, f"{name}.zero_point")
    return [t.writer.constant(scale, name=f"{name}.scale"), point]
