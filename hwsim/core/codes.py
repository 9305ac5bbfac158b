"""Codes of a format in numpy: round_to, encode, decode, and the integer codes of a quantized weight.

A code is an integer: for `Int` and `Power` the signed level itself, for `Minifloat` sign, exponent and mantissa fields
packed high to low, for `Binary` 0 (-1) and 1 (+1). float64 throughout; this is the exact reference that the torch
kernels and the hardware are tested against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Format, Int, Minifloat, Native, Power
from hwsim.core.scaled import Scaled


def round_to(x: ArrayLike, fmt: Format) -> NDArray[np.float64]:
    """The value of `fmt` that each element rounds to: nearest, ties to even code, saturating; NaN stays NaN.

    The scale is 1. `Power` rounds its code in the power domain (see there). A real (non-integer) minifloat bias is
    rounded on the grid of the usual bias, which is the same set of values times a constant.
    """
    v = np.asarray(x, dtype=np.float64)
    if isinstance(fmt, Native):
        return _round_native(v, fmt)
    if isinstance(fmt, Int):
        return np.clip(np.rint(v), fmt.min_code, fmt.max_code)
    if isinstance(fmt, Binary):
        return np.where(np.isnan(v), v, np.where(v < 0, -1.0, 1.0))
    if isinstance(fmt, Power):
        q = np.rint(fmt.max_code * np.minimum(np.abs(v), 1.0) ** fmt.exponent)
        return np.sign(v) * (q / fmt.max_code) ** (1.0 / fmt.exponent)
    u = v / fmt.stretch
    top = fmt.max / fmt.stretch
    u = np.clip(u, -top if fmt.signed else 0.0, top)
    _, exponent = np.frexp(u)  # |u| = f 2^exponent with f in [0.5, 1), so floor(log2|u|) = exponent - 1
    binade = np.maximum(exponent - 1, fmt.emin)
    step = np.ldexp(1.0, binade - fmt.mantissa)
    q = np.rint(u / step)
    if fmt.mantissa == 0:  # the significand is the hidden bit alone: a tie at 1.5 goes to the even exponent field
        even = (binade - fmt.emin + 1) % 2 == 0
        q = np.where((np.abs(u) == 1.5 * step) & even, np.sign(u), q)
    return np.asarray(q * step * fmt.stretch, dtype=np.float64)


def encode(x: ArrayLike, fmt: Format) -> NDArray[np.int64]:
    """Codes of the rounded values. NaN has no code: it raises InputError."""
    v = np.asarray(x, dtype=np.float64)
    if np.isnan(v).any():
        raise InputError("NaN has no code", where=str(fmt), hint="remove NaN from the tensor first")
    if isinstance(fmt, Native):
        raise InputError(f"{fmt} is not coded", where="format", hint="codes exist for int, minifloat, power, binary")
    r = round_to(v, fmt)
    if isinstance(fmt, Int):
        return r.astype(np.int64)
    if isinstance(fmt, Binary):
        return (r > 0).astype(np.int64)
    if isinstance(fmt, Power):
        return (np.sign(r) * np.rint(fmt.max_code * np.abs(r) ** fmt.exponent)).astype(np.int64)
    u = np.abs(r) / fmt.stretch
    _, exponent = np.frexp(u)
    binade = np.where(u > 0, np.maximum(exponent - 1, fmt.emin), fmt.emin)  # frexp(0) has exponent 0
    significand = np.rint(np.ldexp(u, fmt.mantissa - binade)).astype(np.int64)
    # a normal significand carries the hidden bit, which adds one to the exponent field: subnormals stay at field 0
    magnitude = ((binade - fmt.emin).astype(np.int64) << fmt.mantissa) + significand
    negative = np.signbit(r) & ((magnitude > 0) | (fmt.specials != "fnuz"))
    sign = negative.astype(np.int64) << (fmt.exponent + fmt.mantissa)
    return np.asarray(magnitude + sign if fmt.signed else magnitude, dtype=np.int64)


def decode(codes: ArrayLike, fmt: Format) -> NDArray[np.float64]:
    """Values of codes; codes reserved for Inf and NaN give Inf and NaN."""
    c = np.asarray(codes, dtype=np.int64)
    if isinstance(fmt, Native):
        raise InputError(f"{fmt} is not coded", where="format", hint="codes exist for int, minifloat, power, binary")
    if isinstance(fmt, Int):
        return _in_range(c, fmt.min_code, fmt.max_code, fmt).astype(np.float64)
    if isinstance(fmt, Binary):
        return np.where(_in_range(c, 0, 1, fmt) == 1, 1.0, -1.0)
    if isinstance(fmt, Power):
        q = _in_range(c, -fmt.max_code, fmt.max_code, fmt)
        return np.sign(q) * (np.abs(q) / fmt.max_code) ** (1.0 / fmt.exponent)
    _in_range(c, 0, (1 << fmt.bits) - 1, fmt)
    return _decoded(c, fmt) if c.size <= 1 << fmt.bits else _decoded(np.arange(1 << fmt.bits), fmt)[c]


def _decoded(c: NDArray[np.int64], fmt: Minifloat) -> NDArray[np.float64]:
    width = fmt.exponent + fmt.mantissa
    magnitude = c & ((1 << width) - 1)
    field, mantissa = magnitude >> fmt.mantissa, magnitude & ((1 << fmt.mantissa) - 1)
    significand = mantissa + np.where(field > 0, 1 << fmt.mantissa, 0)
    value = np.ldexp(significand.astype(np.float64), np.maximum(field, 1) - fmt.usual_bias - fmt.mantissa)
    value = value * fmt.stretch
    sign = (c >> width) & 1
    value = np.where(sign == 1, -value, value)
    if fmt.specials == "fnuz":
        return np.where(c == 1 << width, np.nan, value)
    if fmt.specials == "ieee":
        special = np.where(mantissa == 0, np.where(sign == 1, -np.inf, np.inf), np.nan)
        return np.where(field == (1 << fmt.exponent) - 1, special, value)
    return np.where(magnitude > fmt.max_magnitude_code, np.nan, value)


@dataclass(frozen=True, slots=True, eq=False)
class WeightCodes:
    """A quantized weight as hardware stores it.

    Attributes
    ----------
    codes : integer codes, in the shape of the weight (output channels first, as torch keeps them).
    spec : how the tensor uses its format.
    scale : real value of one unit, broadcastable over `codes`; (1, ...), (Cout, 1, ...) or, for groups,
        (Cout, number of groups) over the flattened reduction axis.
    zero_point : in code units, same shape as `scale`; all zero unless `spec.zero_point`.
    """

    codes: NDArray[np.int64]
    spec: Scaled
    scale: NDArray[np.float64]
    zero_point: NDArray[np.float64]

    def dequantize(self) -> NDArray[np.float64]:
        """The real weights, float64, in the shape of `codes`."""
        values = decode(self.codes, self.spec.format)
        if not isinstance(self.spec.block, int):
            return (values - self.zero_point) * self.scale
        rows, size = self.codes.shape[0], self.spec.block
        flat = values.reshape(rows, -1)
        each = np.repeat(np.arange(self.scale.shape[1]), size)[: flat.shape[1]]
        return ((flat - self.zero_point[:, each]) * self.scale[:, each]).reshape(self.codes.shape)

    @property
    def memory_bits(self) -> int:
        """Bits of all elements with their block scales."""
        return self.codes.size * self.spec.bits + self.scale.size * self.spec.block_bits


def _in_range(c: NDArray[np.int64], low: int, high: int, fmt: Format) -> NDArray[np.int64]:
    if c.size and (c.min() < low or c.max() > high):
        raise InputError(f"code out of range for {fmt}", where="codes", hint=f"allowed: {low}..{high}")
    return c


def _round_native(v: NDArray[np.float64], fmt: Native) -> NDArray[np.float64]:
    if fmt.name == "none":
        return v
    if fmt.name == "fp16":
        return np.clip(v, -fmt.max, fmt.max).astype(np.float16).astype(np.float64)
    if fmt.name == "fp32":
        return np.clip(v, -fmt.max, fmt.max).astype(np.float32).astype(np.float64)
    _, exponent = np.frexp(v)
    step = np.ldexp(1.0, np.maximum(exponent - 1, -126) - 7)
    return np.asarray(np.clip(np.rint(v / step) * step, -fmt.max, fmt.max), dtype=np.float64)
