"""What the columns of a weight multiply: inputs of linear layers, patches of convolutions of any rank."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hwsim.core.workload import Layer


def gram(layer: Layer, x: Tensor) -> tuple[Tensor, int]:
    """Sum of x x^T over all positions of a batch, for the columns of `weight_rows`.

    Parameters
    ----------
    x : the layer's data input.

    Returns
    -------
    gram : shape (groups, K, K), K = Cin / groups x kernel, float32; positions : how many vectors were summed.
    """
    if layer.kind == "linear":
        flat = x.reshape(-1, x.shape[-1])
        return (flat.t() @ flat).unsqueeze(0), flat.shape[0]
    columns = patches(layer, x)
    rows, _, _, positions = columns.shape
    if prod(columns.shape[2:3]) * positions > 4 * columns.shape[2] ** 2:  # many positions: a product a row, then a sum
        return torch.matmul(columns, columns.transpose(-1, -2)).sum(0), rows * positions
    flat = columns.permute(1, 2, 0, 3).flatten(2)
    return flat @ flat.transpose(-1, -2), rows * positions


def patches(layer: Layer, x: Tensor) -> Tensor:
    """Input patches of a convolution, shape (rows, groups, Cin / groups x kernel, positions).

    A transposed convolution is a plain one over its input with zeros between, its kernel turned: the columns here stand
    in the order of `weight_rows`, so the taps are turned back.
    """
    kernel, dilation, stride, padding = layer.kernel, layer.dilation, layer.stride, layer.padding
    transposed = layer.op.startswith("conv_transpose")
    if transposed:
        x = _spread(x, stride)
        over = [d * (k - 1) - p for k, d, p in zip(kernel, dilation, padding, strict=True)]
        outer = layer.out_shape[2:]
        ends = [
            o + d * (k - 1) - s - p for o, k, d, s, p in zip(outer, kernel, dilation, x.shape[2:], over, strict=True)
        ]
        x = F.pad(x, [amount for p, e in zip(reversed(over), reversed(ends), strict=True) for amount in (p, e)])
        stride, padding = (1,) * len(kernel), (0,) * len(kernel)
    if len(kernel) == 2 and not transposed:
        columns = F.unfold(x, kernel, dilation, padding, stride)
        return columns.view(x.shape[0], layer.groups, -1, columns.shape[-1])
    windows = F.pad(x, [p for size in reversed(padding) for p in (size, size)])
    for axis, (k, d, s) in enumerate(zip(kernel, dilation, stride, strict=True), start=2):
        windows = windows.unfold(axis, d * (k - 1) + 1, s)[..., ::d]
    spatial, taps = range(2, 2 + len(kernel)), range(2 + len(kernel), 2 + 2 * len(kernel))
    windows = windows.permute(0, 1, *taps, *spatial)
    if transposed:
        windows = windows.flip([2 + axis for axis in range(len(kernel))])
    return windows.reshape(x.shape[0], layer.groups, -1, prod(windows.shape[-len(kernel) :]))


def _spread(x: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Zeros between neighbouring positions."""
    if all(s == 1 for s in stride):
        return x
    size = [(n - 1) * s + 1 for n, s in zip(x.shape[2:], stride, strict=True)]
    spread = x.new_zeros(*x.shape[:2], *size)
    places: tuple[Any, ...] = (..., *(slice(None, None, s) for s in stride))
    spread[places] = x
    return spread
