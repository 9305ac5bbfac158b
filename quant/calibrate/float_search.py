"""The floating-point format and scale that fit a tensor best among all splits of its bits.

Source: Chen, Giannoula, Moshovos, arXiv 2408.06995, section on the search of encodings and biases: for each tensor the
exponent and mantissa widths and the real bias of least squared error. A real bias is a real scale, so the
scale is searched (`hwsim.quant.ranges.search_range`). One exponent bit gives equally spaced values: integers are among
the candidates, under their own name.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from hwsim.core.errors import InputError
from hwsim.core.formats import Format, canonical, minifloat
from hwsim.core.scaled import Scaled
from hwsim.quant.kernels import fake_quantize
from hwsim.quant.observers import MSE, Observer, weight_scale


def float_formats(bits: int, signed: bool = True) -> tuple[Format, ...]:
    """All splits of `bits` into exponent and mantissa, the integers (one exponent bit) first."""
    fields = bits - int(signed)
    found = [canonical(minifloat(e, fields - e, signed=signed)) for e in range(max(1, fields - 10), min(7, fields) + 1)]
    if not found or fields < 2:
        raise InputError(f"{bits} bits", where="float search", hint="allowed: two bits without the sign, up to 17")
    return tuple(found)


def float_search(
    x: Tensor, bits: int, signed: bool = True, block: Literal["tensor", "channel"] = "tensor"
) -> tuple[Format, Tensor]:
    """Format and scale of least squared error of a tensor, rows (channels) first.

    Parameters
    ----------
    block : what shares a scale; the format is one for the whole tensor.

    Returns
    -------
    format, scale
        The scale as `hwsim.quant.observers.weight_scale` shapes it. Of equally good formats the one with fewer exponent
        bits.

    Raises
    ------
    InputError
        For an empty tensor, NaN or infinite values, and widths that cannot be split.
    """
    scales = {fmt: weight_scale(x, Scaled(fmt, block), MSE())[0] for fmt in float_formats(bits, signed)}
    return _best(x, scales, block)


def float_search_observed(observer: Observer, bits: int, signed: bool = True) -> tuple[Format, Tensor]:
    """`float_search` for a tensor that streamed by: extremes exact, errors those of the sample."""
    scales = {fmt: observer.scale(Scaled(fmt, "tensor"), MSE())[0] for fmt in float_formats(bits, signed)}
    return _best(observer.sample, scales, "tensor")


def _best(x: Tensor, scales: dict[Format, Tensor], block: Literal["tensor", "channel"]) -> tuple[Format, Tensor]:
    def error(fmt: Format) -> float:
        return float((fake_quantize(x, Scaled(fmt, block), scales[fmt]) - x).double().square().sum())

    chosen = min(scales, key=error)
    return chosen, scales[chosen]
