"""Fake quantization through torch.compile: one fused pass instead of four to eight.

Where it pays, measured against `fake_quantize` on two cores: minifloats on tensors that stay in the cache (2 M
elements: 2.2 times as fast as out of place; 0.5 M: 1.7 times), little on 16 M elements (1.2 times), not at all for
integers. Writing in place (`fake_quantize(..., inplace=True)`) saves more on large tensors. The first call takes
about 14 s, later ones in the same process about 1 s for each new format or rank.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from hwsim.core.errors import InputError, MissingToolError
from hwsim.core.formats import Int, Minifloat
from hwsim.core.scaled import Scaled
from hwsim.quant.grids import Grid, binades, even_fields, grid_of, stretched, working_dtype


@lru_cache(maxsize=64)
def compiled_fake_quantize(spec: Scaled, *, relu: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
    """A compiled `f(x, scale)` for float32 tensors, without gradient, with the same results as `fake_quantize`.

    Parameters
    ----------
    spec : an integer without zero point or a minifloat, by tensor or by channel.
    relu : quantize max(x, 0).

    Raises
    ------
    MissingToolError
        When there is no C++ compiler.
    InputError
        For other formats.
    """
    fmt = spec.format
    plain = isinstance(fmt, Int | Minifloat) and not spec.zero_point and not isinstance(spec.block, int)
    if not plain or working_dtype(torch.float32, fmt) != torch.float32:
        raise InputError(
            f"{spec} is not compiled", where="compiled_fake_quantize", hint="integers without zero point and minifloats"
        )
    compiler = os.environ.get("CXX", "")
    if not any(shutil.which(name) for name in (compiler, "g++", "clang++") if name):
        raise MissingToolError(
            "torch.compile needs a C++ compiler", where="compiled_fake_quantize", hint="install g++, or do without"
        )
    grid, stretch = grid_of(fmt, torch.float32)
    low = max(grid.low, 0.0) if relu else grid.low

    def formula(x: Tensor, scale: Tensor) -> Tensor:
        unit = stretched(scale, stretch, torch.float32)
        return _rounded(torch.clamp(x / unit, low, grid.high), grid) * unit

    fused = torch.compile(formula, dynamic=True)

    def run(x: Tensor, scale: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            raise InputError(
                f"a tensor of {x.dtype}", where="compiled_fake_quantize", hint="float32; else use fake_quantize"
            )
        return fused(x, scale)

    return run


def _rounded(u: Tensor, grid: Grid) -> Tensor:
    if grid.kind == "integer":
        return u.round()
    pattern = binades(u).clamp(min=grid.smallest_binade)
    if grid.bare:
        u = (u.view(pattern.dtype) - even_fields(pattern, grid)).view(u.dtype)
    binade = pattern.view(u.dtype) * grid.magic
    return (u + binade) - binade
