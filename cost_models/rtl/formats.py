"""Which units serve which formats: multipliers for a pair of them, and the way from an accumulator to a code."""

from __future__ import annotations

import re

import numpy as np

from hwsim.core.accumulator import largest_multiple
from hwsim.core.codes import decode, encode
from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Int, Minifloat
from hwsim.core.requantize import requantize
from hwsim.cost_models.rtl.elementwise import Relu
from hwsim.cost_models.rtl.encode import MinifloatEncoder
from hwsim.cost_models.rtl.integer import DspMultiplier, IntMultiplier
from hwsim.cost_models.rtl.minifloat import MinifloatMultiplier
from hwsim.cost_models.rtl.mixed import MinifloatIntMultiplier
from hwsim.cost_models.rtl.requantize import ShiftRequantizer
from hwsim.cost_models.rtl.unit import Unit, Vectors

Coded = Int | Minifloat
Multiplier = IntMultiplier | DspMultiplier | MinifloatMultiplier | MinifloatIntMultiplier


def multiplier_of(weight: Coded, act: Coded, in_dsp: bool = False) -> Multiplier:
    """The multiplier of two formats; integers may have theirs in a DSP block.

    Raises
    ------
    UnsupportedError
        For unsigned weights, integer weights with minifloat activations, and formats that have codes for Inf or NaN.
    """
    if isinstance(weight, Int) and isinstance(act, Int) and weight.signed:
        kind = DspMultiplier if in_dsp else IntMultiplier
        return kind(weight.bits, act.bits, act.signed)
    if isinstance(weight, Minifloat) and weight.signed and weight.specials == "none":
        if isinstance(act, Int):
            return MinifloatIntMultiplier(weight.exponent, weight.mantissa, act.bits, act.signed)
        if act.specials == "none":
            return MinifloatMultiplier(weight.exponent, weight.mantissa, act.exponent, act.mantissa, act.signed)
    raise UnsupportedError(
        f"no multiplier for {weight} and {act}",
        where="array",
        hint="signed integers with integers, signed minifloats with minifloats or integers, all codes finite",
    )


def multiples(codes: Vectors, fmt: Coded) -> Vectors:
    """Values of codes in units of the smallest step of their format, as int64.

    The code that narrow integers leave out is its value too, as it is in hardware.
    """
    if isinstance(fmt, Int):
        return np.asarray(codes, dtype=np.int64)
    return np.asarray(np.rint(decode(codes, fmt) / fmt.smallest), dtype=np.int64)


def random_codes(rng: np.random.Generator, fmt: Coded, count: int) -> Vectors:
    """Uniform codes."""
    low, high = (fmt.min_code, fmt.max_code) if isinstance(fmt, Int) else (0, (1 << fmt.bits) - 1)
    return rng.integers(low, high, count, endpoint=True)


def is_signed(fmt: Coded) -> bool:
    """Whether codes are in two's complement."""
    return isinstance(fmt, Int) and fmt.signed


def accumulator_width(inputs: int, weight: Coded, act: Coded, bias_bits: int) -> int:
    """Signed bits that hold any sum of `inputs` products and a bias."""
    largest = inputs * largest_multiple(weight) * largest_multiple(act) + (1 << (bias_bits - 1))
    return 1 + largest.bit_length()


def output_units(acc_bits: int, shift: int, relu: bool, out: Coded) -> tuple[Unit, ...]:
    """What stands between an accumulator and its code, in order.

    Unsigned targets rectify by saturation; for signed ones the rectifier is a unit of its own.
    """
    rectifier = (Relu(acc_bits),) if relu and out.signed else ()
    if isinstance(out, Int):
        return *rectifier, ShiftRequantizer(acc_bits, shift, out.bits, out.signed, out.narrow)
    return *rectifier, MinifloatEncoder(acc_bits, shift, out.exponent, out.mantissa, out.signed)


def output_codes(acc: Vectors, shift: int, relu: bool, out: Coded) -> Vectors:
    """Codes of accumulators that count units of 2^-shift smallest steps of the target; at most 2^53 units."""
    rectified = np.maximum(acc, 0) if relu else acc
    if isinstance(out, Int):
        return requantize(rectified, shift, out)
    return encode(np.ldexp(rectified.astype(np.float64) * out.smallest, -shift), out)


def label(fmt: Coded) -> str:
    """A format in names of modules."""
    return re.sub(r"\W", "_", str(fmt))
