"""Arrays as rows of a data set: types, ranks, channel order, size and normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hwsim.core.errors import InputError

_CHANNELS = (1, 3, 4)


def as_rows(x: Any, where: str) -> Tensor:
    """An array or tensor as rows: uint8 scaled to [0, 1], HW to 1HW, HWC to CHW.

    (N, H, W, C) counts as HWC where C is 1, 3 or 4 and H is none of these. Whole numbers of rank 2 other than uint8
    are tokens and become int64; everything else becomes float32.

    Raises
    ------
    InputError
        No numbers, or rank 0, 1 or above 5.
    """
    array = _numbers(x, where, "x")
    if array.ndim < 2 or array.ndim > 5:
        what = f"x of shape {tuple(array.shape)}"
        raise InputError(what, where=where, hint="rows first: (N, features), (N, H, W), (N, C, H, W) or (N, H, W, C)")
    if 0 in array.shape:
        raise InputError(f"x of shape {tuple(array.shape)} is empty", where=where, hint="at least one value a row")
    if array.dtype.kind in "iu" and array.dtype != np.uint8 and array.ndim == 2:
        return torch.from_numpy(array.astype(np.int64))
    scale = 255.0 if array.dtype == np.uint8 else 1.0
    rows = array.astype(np.float32)
    if scale != 1.0:
        rows /= np.float32(scale)
    if rows.ndim == 3:
        rows = rows[:, None]
    elif rows.ndim == 4 and rows.shape[3] in _CHANNELS and rows.shape[1] not in _CHANNELS:
        rows = rows.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(rows))


def as_labels(y: Any, where: str) -> Tensor:
    """Labels as int64; (N, 1) becomes (N,).

    Raises
    ------
    InputError
        Values that are not whole numbers, or a scalar.
    """
    array = _numbers(y, where, "y")
    if array.ndim == 0:
        raise InputError("y is a single number", where=where, hint="one label a row")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        raise InputError("labels that are not whole numbers", where=where, hint="y holds class numbers")
    return torch.from_numpy(array.astype(np.int64))


def resized(rows: Tensor, resize: int | tuple[int, int] | None, where: str) -> Tensor:
    """Images (N, C, H, W) at another size, bilinear with antialiasing."""
    if resize is None:
        return rows
    size = (resize, resize) if isinstance(resize, int) else tuple(resize)
    if min(size) < 1:
        raise InputError(f"resize to {size}", where=where, hint="a side in pixels, 1 and up")
    if rows.ndim != 4:
        raise InputError(f"resize of rows of shape {tuple(rows.shape[1:])}", where=where, hint="only images: C, H, W")
    if tuple(rows.shape[2:]) == size:
        return rows
    return F.interpolate(rows, size=list(size), mode="bilinear", antialias=True, align_corners=False)


def normalised(rows: Tensor, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, where: str) -> Tensor:
    """(rows - mean) / std, a value a channel or one for all."""
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) not in (1, rows.shape[1]):
            what = f"{len(values)} values of {name} for {rows.shape[1]} channels"
            raise InputError(what, where=where, hint="one value, or one a channel")
        if name == "std" and values is not None and min(values) <= 0:
            raise InputError(f"std {min(values)}", where=where, hint="std is above 0")
    shape = (1, -1, *(1,) * (rows.ndim - 2))
    if mean is not None:
        rows = rows - torch.tensor(mean).reshape(shape)
    return rows if std is None else rows / torch.tensor(std).reshape(shape)


def _numbers(value: Any, where: str, key: str) -> Any:
    """The value as a numpy array of booleans, whole or real numbers."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{key} is ragged: rows of different shapes", where=where, hint="one shape for all") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"{key} of type {array.dtype}", where=where, hint="an array or tensor of numbers")
    return array
