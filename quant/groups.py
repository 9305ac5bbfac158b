"""Groups and blocks: N consecutive elements of a row share a scale; the last group of a row may be short.

A row is what follows the first axis, flattened, for a weight with group scales, and the last axis for block formats.
"""

from __future__ import annotations

from math import prod

from torch import Tensor

from hwsim.core.errors import InputError
from hwsim.core.scaled import Scaled


def group_count(row: int, size: int) -> int:
    """Number of groups in a row, a short last one included."""
    return -(-row // size)


def check_groups(x: Tensor, size: int, factor: Tensor) -> int:
    """The length of a row of `x`, after checking that `factor` has one entry for each group.

    Raises
    ------
    InputError
        When the shape of `factor` is not (rows, groups of a row).
    """
    rows = x.shape[0] if x.dim() else 1
    row = prod(x.shape[1:])
    wanted = (rows, group_count(row, size))
    if tuple(factor.shape) != wanted:
        raise InputError(
            f"scales of shape {tuple(factor.shape)} for groups of {size} over a tensor of shape {tuple(x.shape)}",
            where="fake_quantize",
            hint=f"wanted: {wanted}, one scale for each group of each row",
        )
    return row


def expand_groups(factor: Tensor, spec: Scaled, x: Tensor) -> Tensor:
    """A scale or zero point as a tensor that broadcasts over `x`; differentiable."""
    if factor.numel() == 1:
        return factor.reshape(())
    if not isinstance(spec.block, int):
        return factor
    row = check_groups(x, spec.block, factor)
    return factor.repeat_interleave(spec.block, dim=1)[:, :row].reshape(x.shape)


def group_views(rows: Tensor, size: int) -> list[tuple[Tensor, slice]]:
    """Views of a contiguous matrix whose last axis is one group, with the columns of the scales that they use.

    One view for the full groups, one for the short last groups where there are any; three axes each.
    """
    length = rows.shape[1]
    full = length // size
    if full * size == length:
        return [(rows.view(-1, 1, size), slice(0, full))]
    views = [(rows[:, full * size :].unsqueeze(1), slice(full, full + 1))]
    if full:
        views.append((rows[:, : full * size].view(rows.shape[0], full, size), slice(0, full)))
    return views


def factor_view(factor: Tensor, columns: slice, groups: Tensor) -> Tensor:
    """The scales (rows, groups) of a view of `group_views`, as a view that broadcasts over it."""
    return factor[:, columns].reshape(groups.shape[0], groups.shape[1], 1)
