"""MX and NVFP4: block formats whose scales follow from the data by a rule that belongs to the format.

Blocks run along the last axis; callers move the reduction axis there. The last block of a row may be short.
Sources: OCP Microscaling Formats (MX) 1.0, section 6.3 (floor rule); NVFP4 as in NVIDIA's Transformer Engine and Model
Optimizer documentation (E4M3 scale for each 16 elements under one float32 scale for the tensor).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hwsim.core.errors import InputError
from hwsim.core.formats import Format, Int, minifloat
from hwsim.core.scaled import Scaled
from hwsim.quant.grids import binades, grid_of, new_scratch, round_, working_dtype
from hwsim.quant.groups import factor_view, group_count, group_views
from hwsim.quant.sweep import piece_elements, safe_divisor, sweep

_E8M0_RANGE = 127
_LARGEST_EXPONENT = {torch.float32: 127, torch.float64: 1023}
_SCALE_FORMAT = minifloat(4, 3, specials="fn", signed=False)


def fake_quantize_blocks(x: Tensor, spec: Scaled, tensor_scale: Tensor | None = None) -> Tensor:
    """Quantize and dequantize `x` in a block format.

    Parameters
    ----------
    x : floating point; blocks lie along the last axis.
    spec : an MX format or NVFP4.
    tensor_scale : of NVFP4, one positive element; from the largest magnitude of `x` unless given.

    Returns
    -------
    Tensor
        In the type and shape of `x`. A NaN makes its block NaN (its scale has the only code for it); an infinity counts
        as the largest finite number and saturates. The gradient is straight-through, with the scales held constant.

    Raises
    ------
    InputError
        For a format whose scales do not follow from a rule (use `fake_quantize`).
    """
    _check(x, spec)
    row = x.shape[-1] if x.dim() else 1
    if torch.is_grad_enabled() and x.requires_grad:
        from hwsim.quant.straight_through import fake_quantize_with_gradient

        with torch.no_grad():
            scale = block_scales(x, spec, tensor_scale).reshape(-1, group_count(row, int(spec.block)))
        return fake_quantize_with_gradient(x.reshape(-1, row), spec, scale).view(x.shape)
    rows = _working(x, spec).reshape(-1, row)
    out = torch.empty_like(rows) if rows.data_ptr() == x.data_ptr() else rows
    _each_piece(rows, out, spec, _tensor_scale(rows, spec, tensor_scale), None)
    return out.view(x.shape).to(x.dtype)


def block_scales(x: Tensor, spec: Scaled, tensor_scale: Tensor | None = None) -> Tensor:
    """The real value of one unit of each block, shape (*x.shape[:-1], number of blocks).

    MX: 2^(floor(log2 amax) - emax of the element), clamped to the range of E8M0 (of `mxint8`: times 2^-6, since hwsim
    counts its elements in whole numbers). NVFP4: tensor scale times E4M3(amax / 6 / tensor scale), zero where that
    underflows.
    """
    _check(x, spec)
    rows = _working(x, spec).reshape(-1, x.shape[-1] if x.dim() else 1)
    scales = rows.new_empty((rows.shape[0], group_count(rows.shape[1], int(spec.block))))
    _each_piece(rows, None, spec, _tensor_scale(rows, spec, tensor_scale), scales)
    return scales.view(*x.shape[:-1], scales.shape[1])


def tensor_scale_of(x: Tensor, spec: Scaled) -> Tensor:
    """NVFP4's scale of a whole tensor: largest magnitude / (6 * 448), NaN left out; 1 for a tensor of zeros."""
    low, high = torch.aminmax(x)
    largest = torch.maximum(-low, high)
    if bool(largest.isnan()):
        largest = x.nan_to_num(nan=0.0).abs().amax()
    largest = largest.clamp(max=torch.finfo(x.dtype).max)
    scale = largest / (spec.format.max * _SCALE_FORMAT.max)
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def _check(x: Tensor, spec: Scaled) -> None:
    if spec.scale not in ("e8m0", "e4m3"):
        raise InputError(f"{spec} is not a block format", where="fake_quantize_blocks", hint="use fake_quantize")
    if not x.is_floating_point():
        raise InputError(
            f"a tensor of {x.dtype}", where="fake_quantize_blocks", hint="floating-point tensors are quantized"
        )


def _working(x: Tensor, spec: Scaled) -> Tensor:
    return x.detach().to(working_dtype(x.dtype, spec.format)).contiguous()


def _tensor_scale(rows: Tensor, spec: Scaled, given: Tensor | None) -> float:
    if spec.scale == "e8m0" or rows.numel() == 0:
        return 1.0
    return float(tensor_scale_of(rows, spec) if given is None else given.to(rows.dtype))


def _each_piece(rows: Tensor, out: Tensor | None, spec: Scaled, tensor_scale: float, scales: Tensor | None) -> None:
    """The scales of a piece, then its values while it is in the cache."""
    assert isinstance(spec.block, int)
    grid, _ = grid_of(spec.format, rows.dtype)
    targets = group_views(rows if out is None else out, spec.block)
    for (blocks, columns), (target, _) in zip(group_views(rows, spec.block), targets, strict=True):
        kept = None if scales is None else factor_view(scales, columns, blocks)
        step = max(1, piece_elements(rows) * blocks.shape[0] // max(1, blocks.numel()))
        for start in range(0, blocks.shape[0], step):
            cut = slice(start, start + step)
            unit = _scale_of_blocks(blocks[cut], spec, tensor_scale)
            if kept is not None:
                kept[cut] = unit
            if out is not None:
                divisor = safe_divisor(unit) if spec.scale == "e4m3" else None
                sweep(blocks[cut], target[cut], grid, unit, divisor=divisor)


def _scale_of_blocks(blocks: Tensor, spec: Scaled, tensor_scale: float) -> Tensor:
    """Scales of blocks along the last axis, that axis kept with one entry."""
    largest = blocks.abs().amax(-1, keepdim=True)
    if spec.scale == "e8m0":
        return _floor_rule(largest, spec.format)
    u = largest.div_(spec.format.max).div_(tensor_scale)
    grid, _ = grid_of(_SCALE_FORMAT, u.dtype)
    return round_(u, grid, new_scratch(u, u.shape)).mul_(tensor_scale)


def _floor_rule(largest: Tensor, fmt: Format) -> Tensor:
    emax = math.frexp(fmt.max)[1] - 1
    shared = 0 if isinstance(fmt, Int) else emax  # OCP's int8 elements have the binary point after the first digit
    power = binades(largest).view(largest.dtype)
    power.clamp_(2.0 ** (shared - _E8M0_RANGE), 2.0 ** min(shared + _E8M0_RANGE, _LARGEST_EXPONENT[largest.dtype]))
    return power.mul_(2.0**-emax).masked_fill_(largest.isnan(), math.nan)
