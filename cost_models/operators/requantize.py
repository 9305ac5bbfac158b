"""From an accumulator to the format of a tensor: scale, round, saturate, encode.

Requantizers, minifloat encoders and threshold units are priced by the surfaces of synthesised units, with a shift or a
drop in the middle of the accumulator. A float scale is a multiplier by its 24-bit significand, in LUTs or DSPs, whose
low bits are rounded away.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil

from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Binary, Int, Minifloat, Native, Power, canonical
from hwsim.core.scaled import Scaled
from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.composed import price_of
from hwsim.cost_models.operators.floating import FLOAT_SCALE_BITS, scale_step
from hwsim.cost_models.operators.multiplier import DspPolicy, takes_dsp
from hwsim.cost_models.operators.priced import term


@lru_cache(maxsize=65536)
def requantize(acc_bits: int, target: Scaled, multiply: bool, dsp: DspPolicy, dsp_type: str) -> Bill:
    """One lane from a signed accumulator of `acc_bits` to `target`; `multiply` where a scale is no power of two."""
    fmt = canonical(target.format)
    if not multiply:
        return encode(acc_bits, target)
    if isinstance(fmt, Int) and not takes_dsp(acc_bits, FLOAT_SCALE_BITS, dsp):
        fields = {"in_bits": acc_bits, "scale_bits": FLOAT_SCALE_BITS, "out_bits": fmt.bits, "signed": fmt.signed}
        whole = term("requantize", price_of("multiply_requantize", fields), "multiply_requantize")
        return Bill((whole,)) + _around(acc_bits, target)
    return scale_step(acc_bits, dsp, dsp_type) + encode(acc_bits, target, FLOAT_SCALE_BITS)


@lru_cache(maxsize=65536)
def encode(acc_bits: int, target: Scaled, below: int = 0) -> Bill:
    """Round and saturate one lane of acc_bits and `below` bits of fraction to the codes of `target`."""
    fmt, bits = canonical(target.format), acc_bits + below
    if isinstance(fmt, Int):
        fields = {"in_bits": bits, "shift": below + max(0, acc_bits - fmt.bits) // 2, "out_bits": fmt.bits}
        fields |= {"signed": fmt.signed, "narrow": fmt.narrow}
        bill = Bill((term("requantize", price_of("shift_requantize", fields), "shift_requantize"),))
    elif isinstance(fmt, Minifloat):
        span = fmt.mantissa + (1 << fmt.exponent) - 1  # bits from the smallest step to the largest value
        drop = below + max(acc_bits - span, 1) // 2
        fields = {"in_bits": bits, "drop": drop, "e": fmt.exponent, "m": fmt.mantissa, "signed": fmt.signed}
        bill = Bill((term("encode", price_of("minifloat_encode", fields), "minifloat_encode"),))
    elif isinstance(fmt, Power):
        fields = {"in_bits": acc_bits, "out_bits": fmt.bits, "constant": True, "seed": 0}
        bill = Bill((term("encode", price_of("thresholds", fields), "thresholds"),))
    elif isinstance(fmt, Binary):
        bill = Bill((Term("encode", "none", 1.0),))
    else:
        bill = Bill((Term("encode", "none", float(_to_float_lut(acc_bits, fmt))),))
    return bill + _around(acc_bits, target)


def _around(acc_bits: int, target: Scaled) -> Bill:
    """A zero point and the scale of a block."""
    bill = Bill()
    if target.zero_point:
        bill += Bill((Term("requantize", "none", float(target.format.bits + 1)),))
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
