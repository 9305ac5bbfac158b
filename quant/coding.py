"""The integer codes of a quantized tensor, as cost models and hardware generators consume them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hwsim.core.codes import WeightCodes, encode
from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Minifloat, Native
from hwsim.core.scaled import Scaled
from hwsim.quant.grids import grid_of, new_scratch, round_, stretched, working_dtype
from hwsim.quant.groups import expand_groups
from hwsim.quant.sweep import safe_divisor


def to_codes(x: Tensor, spec: Scaled, scale: Tensor, zero_point: Tensor | None = None) -> WeightCodes:
    """Quantize `x` to codes; arguments as for `fake_quantize`, block formats with the scales of `block_scales`.

    `dequantize()` of the result equals `fake_quantize` exactly in float64; in float32 up to the rounding of the last
    multiplication (and of a real minifloat bias).

    Raises
    ------
    InputError
        For NaN, machine formats, and shapes that do not fit.
    """
    fmt = spec.format
    if isinstance(fmt, Native):
        raise InputError(f"{fmt} is not coded", where="to_codes", hint="codes exist for int, minifloat, power, binary")
    dtype = working_dtype(x.dtype, fmt)
    grid, stretch = grid_of(fmt, dtype)
    work = x.detach().to(dtype)
    u = work
    if not isinstance(fmt, Binary):
        u = work / expand_groups(safe_divisor(stretched(scale.detach(), stretch, dtype)), spec, work)
    if zero_point is not None:
        u = u + expand_groups(zero_point.detach().to(dtype), spec, work)
    levels = round_(u.clone(memory_format=torch.contiguous_format), grid, new_scratch(u, u.shape))
    if isinstance(fmt, Minifloat):  # minifloats have two codes for zero
        levels.copysign_(u)
    # the grid of an unusual bias is the usual one; the codes are those of the stretched values
    codes = encode(levels.double().numpy(force=True) * stretch, fmt)
    unit = scale.detach().double().numpy(force=True)
    offset = np.zeros(1) if zero_point is None else zero_point.detach().double().numpy(force=True)
    unit, offset = np.broadcast_arrays(unit, offset.reshape(() if offset.size == 1 else offset.shape))
    if not isinstance(spec.block, int):
        shape = (1,) * (x.dim() - unit.ndim) + unit.shape if unit.size > 1 else (1,) * x.dim()
        unit, offset = unit.reshape(shape), offset.reshape(shape)
    return WeightCodes(codes, spec, unit.copy(), offset.copy())
