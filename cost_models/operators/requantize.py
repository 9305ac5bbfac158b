"""From an accumulator to the format of a tensor: scale, round, saturate, encode.

Sources: a shift-only requantizer is wiring, a rounding adder over the accumulator and a clip of the output bits; a
float scale is a multiplier by its 24-bit significand (FINN's multiplier law or DSPs); codes without equally spaced
values take one comparator a threshold, FINN's (2^b - 1) x accumulator; the minifloat encoder is a sign-magnitude
conversion, a leading-one detector, a normalising shifter over 2^e binades, a rounding adder and a clip.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil

from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Binary, Int, Minifloat, Native, Power, canonical
from hwsim.core.scaled import Scaled
from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.operators.multiplier import DspPolicy, dsp_tiles, multiplier_lut, takes_dsp

FLOAT_SCALE_BITS = 24


@lru_cache(maxsize=65536)
def requantize(acc_bits: int, target: Scaled, multiply: bool, dsp: DspPolicy, dsp_type: str) -> Bill:
    """One lane from a signed accumulator of `acc_bits` to `target`; `multiply` where a scale is no power of two."""
    return scale_step(acc_bits, multiply, dsp, dsp_type) + encode(
        acc_bits, target, "mulquant" if multiply else "requant"
    )


@lru_cache(maxsize=65536)
def scale_step(acc_bits: int, multiply: bool, dsp: DspPolicy, dsp_type: str) -> Bill:
    """Multiply one lane by a float scale; a power of two is wiring."""
    if not multiply:
        return Bill()
    if takes_dsp(acc_bits, FLOAT_SCALE_BITS, dsp):
        tiles = float(dsp_tiles(acc_bits, FLOAT_SCALE_BITS + 1, dsp_type))
        return Bill(dsp=tiles, dsp_packed=tiles)
    return Bill((Term("requantize", "mulquant", float(multiplier_lut(acc_bits, FLOAT_SCALE_BITS))),))


@lru_cache(maxsize=65536)
def encode(acc_bits: int, target: Scaled, family: str = "requant") -> Bill:
    """Round and saturate one lane to the codes of `target`."""
    fmt = canonical(target.format)
    if isinstance(fmt, Int):
        zero_point = fmt.bits + 1 if target.zero_point else 0
        bill = Bill((Term("requantize", family, float(rounding_lut(acc_bits, fmt.bits) + zero_point)),))
    elif isinstance(fmt, Minifloat):
        bill = Bill((Term("encode", "none", float(minifloat_encoder_lut(acc_bits, fmt))),))
    elif isinstance(fmt, Power):
        bill = Bill((Term("encode", "thresholds", float((2**fmt.bits - 1) * acc_bits)),))
    elif isinstance(fmt, Binary):
        bill = Bill((Term("encode", "none", 1.0),))
    else:
        bill = Bill((Term("encode", "none", float(_to_float_lut(acc_bits, fmt))),))
    if target.mx_name:
        bill += Bill((Term("block scales", "none", float(_block_scale_lut(acc_bits, target))),))
    return bill


def rounding_lut(acc_bits: int, out_bits: int) -> int:
    """A rounding adder over the accumulator and a clip of the output: acc + out."""
    return acc_bits + out_bits


def minifloat_encoder_lut(acc_bits: int, fmt: Minifloat) -> int:
    """|acc|, leading one, normalising shift over 2^e binades (e stages, two a LUT), rounding, clip."""
    magnitude = acc_bits if fmt.signed else 0
    return magnitude + acc_bits + acc_bits * ceil(fmt.exponent / 2) + (fmt.mantissa + 2) + fmt.bits


def _to_float_lut(acc_bits: int, fmt: Native) -> int:
    stages = ceil(acc_bits.bit_length() / 2)
    return 2 * acc_bits + acc_bits * stages + fmt.bits


def _block_scale_lut(acc_bits: int, target: Scaled) -> int:
    """A running maximum of the block and the shift by its exponent: compare, keep, shift."""
    if not isinstance(target.block, int):
        raise UnsupportedError(f"{target} has no blocks")
    return acc_bits + ceil(acc_bits / 2) + acc_bits * ceil(acc_bits.bit_length() / 2)
