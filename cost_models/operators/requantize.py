"""From an accumulator to the format of a tensor: scale, round, saturate, encode.

Shift-only requantizers, minifloat encoders and threshold units are priced by the surfaces of synthesised units, with a
shift or a drop in the middle of the accumulator. A float scale is a multiplier by its 24-bit significand (FINN's
multiplier law or DSPs).
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil

from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Binary, Int, Minifloat, Native, Power, canonical
from hwsim.core.scaled import Scaled
from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.composed import price_of
from hwsim.cost_models.operators.multiplier import DspPolicy, dsp_tiles, multiplier_lut, takes_dsp
from hwsim.cost_models.operators.priced import term

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
        fields = {"in_bits": acc_bits, "shift": max(0, acc_bits - fmt.bits) // 2, "out_bits": fmt.bits}
        fields |= {"signed": fmt.signed, "narrow": fmt.narrow}
        bill = Bill((term("requantize", price_of("shift_requantize", fields), "shift_requantize"),))
        if target.zero_point:
            bill += Bill((Term("requantize", family, float(fmt.bits + 1)),))
    elif isinstance(fmt, Minifloat):
        span = fmt.mantissa + (1 << fmt.exponent) - 1  # bits from the smallest step to the largest value
        fields = {"in_bits": acc_bits, "drop": max(acc_bits - span, 1) // 2, "e": fmt.exponent, "m": fmt.mantissa}
        fields |= {"signed": fmt.signed}
        bill = Bill((term("encode", price_of("minifloat_encode", fields), "minifloat_encode"),))
    elif isinstance(fmt, Power):
        fields = {"in_bits": acc_bits, "out_bits": fmt.bits, "constant": True, "seed": 0}
        bill = Bill((term("encode", price_of("thresholds", fields), "thresholds"),))
    elif isinstance(fmt, Binary):
        bill = Bill((Term("encode", "none", 1.0),))
    else:
        bill = Bill((Term("encode", "none", float(_to_float_lut(acc_bits, fmt))),))
    if target.mx_name:
        bill += Bill((Term("block scales", "none", float(_block_scale_lut(acc_bits, target))),))
    return bill


def _to_float_lut(acc_bits: int, fmt: Native) -> int:
    stages = ceil(acc_bits.bit_length() / 2)
    return 2 * acc_bits + acc_bits * stages + fmt.bits


def _block_scale_lut(acc_bits: int, target: Scaled) -> int:
    """A running maximum of the block and the shift by its exponent: compare, keep, shift."""
    if not isinstance(target.block, int):
        raise UnsupportedError(f"{target} has no blocks")
    return acc_bits + ceil(acc_bits / 2) + acc_bits * ceil(acc_bits.bit_length() / 2)
