"""Input size, padding and dilation of a window that slides over an image: what a `KernelShape` leaves out.

A shape says how many elements are read and where the window lands. The input is the one of that many elements whose
sides are nearest to the ratio of the output's; padding is the same on both sides, as near to half the window as fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

from hwsim.core.errors import UnsupportedError
from hwsim.latency.shapes import KernelShape

_DILATIONS = (2, 3, 4, 6, 12, 18)


@dataclass(frozen=True, slots=True)
class Window:
    """Where a window slides: the input's sides, the padding on each side of an axis, and how far taps are apart."""

    in_h: int
    in_w: int
    pad_h: int
    pad_w: int
    dilation: int


def conv_window(shape: KernelShape) -> Window:
    """The window of a convolution.

    Raises
    ------
    UnsupportedError
        Where no symmetric padding gives the output: transposed convolutions, padding on one side.
    """
    if shape.cin < 1 or shape.read_elements % shape.cin:
        raise UnsupportedError(f"{shape.read_elements} elements are no {shape.cin} channels", where="convolution")
    dilated = shape.kind == "conv" and (shape.kernel_h, shape.kernel_w, shape.stride) == (3, 3, 1)
    found = sliding(shape, shape.read_elements // shape.cin, _DILATIONS if dilated else (1,))
    if found is None:
        window = f"{shape.kernel_h}x{shape.kernel_w} stride {shape.stride}"
        raise UnsupportedError(f"no padding lets {window} give {shape.out_h}x{shape.out_w}", where="convolution")
    return found


def sliding(shape: KernelShape, area: int, dilations: tuple[int, ...] = (1,)) -> Window | None:
    """A window over an input of `area` elements a channel that gives `out_h` x `out_w`, or None."""
    for in_h in _sides(area, shape.out_h / shape.out_w):
        for dilation in dilations:
            pad_h = padding(in_h, shape.out_h, shape.kernel_h, shape.stride, dilation)
            pad_w = padding(area // in_h, shape.out_w, shape.kernel_w, shape.stride, dilation)
            if pad_h is not None and pad_w is not None:
                return Window(in_h, area // in_h, pad_h, pad_w, dilation)
    return None


def padding(size: int, out: int, kernel: int, stride: int, dilation: int = 1) -> int | None:
    """Padding on both sides of an axis of `size` that gives `out` positions; None where there is none."""
    reach = dilation * (kernel - 1) + 1
    least = (out - 1) * stride + reach - size
    fitting = range(max(0, -(-least // 2)), min(reach - 1, (least + stride - 1) // 2) + 1)
    return min(fitting, key=lambda pad: abs(pad - reach // 2), default=None)


def square_planes(elements: int) -> Iterator[tuple[int, int]]:
    """All (channels, side) with channels x side x side = `elements`, the largest side first."""
    for side in range(isqrt(elements), 0, -1):
        if elements % (side * side) == 0:
            yield elements // (side * side), side


def _sides(area: int, ratio: float) -> list[int]:
    """Divisors of `area`, the one nearest to a height of `ratio` times the width first."""
    small = [d for d in range(1, isqrt(area) + 1) if area % d == 0]
    wanted = (area * ratio) ** 0.5
    return sorted({*small, *(area // d for d in small)}, key=lambda d: max(d / wanted, wanted / d))
