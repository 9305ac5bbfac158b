"""The two grid points around each value, for every format: what rounding up or down can reach."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Format, Int, Native

MOST_BITS = 12
"""Widest format other than integers whose values are searched; wider ones gain nothing from learned rounding."""


def neighbours(u: Tensor, fmt: Format) -> tuple[Tensor, Tensor, Tensor]:
    """The largest value not above each element, the next one, and where between them it lies.

    Parameters
    ----------
    u : in units of the scale, any shape.

    Returns
    -------
    lower, upper, share : like `u`; share = (u - lower) / (upper - lower) clipped to [0, 1]. Beyond the ends of the
        format the outermost two values are taken. On a floating-point grid the two may belong to different binades.

    Raises
    ------
    UnsupportedError
        For machine formats and very wide ones.
    """
    if isinstance(fmt, Int):
        lower = u.floor().clamp(fmt.min_code, fmt.max_code - 1)
        return lower, lower + 1, (u - lower).clamp(0.0, 1.0)
    values = grid_values(fmt, u.dtype)
    index = lower_index(u, values)
    lower, upper = values[index], values[index + 1]
    return lower, upper, ((u - lower) / (upper - lower)).clamp(0.0, 1.0)


def lower_index(u: Tensor, values: Tensor) -> Tensor:
    """Index of the largest of the rising `values` not above each element, at most the last but one."""
    return (torch.searchsorted(values, u.contiguous(), right=True) - 1).clamp(0, len(values) - 2)


@lru_cache(maxsize=256)
def grid_values(fmt: Format, dtype: torch.dtype) -> Tensor:
    """All values of a format in rising order."""
    if isinstance(fmt, Native) or (fmt.bits > MOST_BITS and not isinstance(fmt, Int)):
        raise UnsupportedError(
            f"rounding to {fmt} cannot be learned",
            where="round",
            hint=f"integers, and other formats up to {MOST_BITS} bits",
        )
    return torch.from_numpy(fmt.values()).to(dtype)
