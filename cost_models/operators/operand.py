"""What a multiplier sees of a number format: how wide a number it multiplies and how far an exponent shifts it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from hwsim.core.accumulator import largest_multiple
from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Binary, Format, Int, Minifloat, Native, Power, canonical
from hwsim.core.scaled import Scaled

_NATIVE_FIELDS = {"fp32": (8, 23), "fp16": (5, 10), "bf16": (8, 7), "none": (8, 23)}


@dataclass(frozen=True, slots=True)
class Operand:
    """One side of a product.

    Attributes
    ----------
    kind : `int` (two's complement or unsigned), `minifloat` (sign and magnitude, exact in fixed point), `binary` (+-1)
        or `float` (too wide a range for an exact accumulator).
    format : the canonical format that decides accumulator widths.
    significand : bits that enter the multiplier, the sign of an integer included.
    exponent : bits of the exponent field.
    shift : largest left shift that the exponent asks for.
    magnitude : bits of |value| in units of its smallest step.
    signed : whether negative values exist.
    decode_lut : LUTs a lane to make the multiplier's input from the stored code.
    block : elements that share one scale along the reduction, 0 when one scale serves the whole dot product.
    scale_bits : significand bits of that block's scale (0 for powers of two).
    """

    kind: Literal["int", "minifloat", "binary", "float"]
    format: Format
    significand: int
    exponent: int
    shift: int
    magnitude: int
    signed: bool
    decode_lut: int = 0
    block: int = 0
    scale_bits: int = 0

    @property
    def fixed_width(self) -> int:
        """Bits of the value written in fixed point, sign included."""
        return self.magnitude + int(self.signed)


@lru_cache(maxsize=4096)
def operand(spec: Scaled) -> Operand:
    """The operand that a scaled format becomes.

    E1M(b-2) is integer hardware. A zero point on weights or activations widens the operand by one bit. Squared power
    codes are integers of 2b-1 bits made by a table of the b-1 magnitude bits.

    Raises
    ------
    UnsupportedError
        For a power format whose products are no integers.
    """
    block = spec.block if isinstance(spec.block, int) else 0
    scale_bits = {"f32": 24, "pow2": 0, "e8m0": 0, "e4m3": 4}[spec.scale] if block else 0
    fmt = canonical(spec.format)
    if isinstance(fmt, Int):
        if spec.zero_point:
            wide = Int(fmt.bits + 1, True, True)
            return _integer(wide, fmt.bits + 1, block, scale_bits)
        return _integer(fmt, 0, block, scale_bits)
    if isinstance(fmt, Binary):
        return Operand("binary", fmt, 1, 0, 0, 1, True, 0, block, scale_bits)
    if isinstance(fmt, Minifloat):
        shift = max(fmt.max_magnitude_code >> fmt.mantissa, 1) - 1
        bits = fmt.significand_bits
        return Operand("minifloat", fmt, fmt.mantissa + 1, fmt.exponent, shift, bits, fmt.signed, 0, block, scale_bits)
    if isinstance(fmt, Power):
        return _squared(fmt, block, scale_bits)
    exponent, mantissa = _NATIVE_FIELDS[fmt.name]
    return Operand("float", fmt, mantissa + 1, exponent, 0, 32, True, 0, block, scale_bits)


def _integer(fmt: Int, decode: int, block: int, scale_bits: int) -> Operand:
    magnitude = largest_multiple(fmt).bit_length()
    return Operand("int", fmt, fmt.bits, 0, 0, magnitude, fmt.signed, decode, block, scale_bits)


def _squared(fmt: Power, block: int, scale_bits: int) -> Operand:
    if fmt.exponent != 0.5:
        raise UnsupportedError(
            f"products of {fmt} are no integers", hint="use powN with exponent 0.5, intN or a minifloat"
        )
    magnitude = fmt.bits - 1
    square = Int(2 * fmt.bits - 1, True, True)
    decode = 2 * magnitude * 2 ** max(0, magnitude - 6)  # a table of 2(b-1) outputs of b-1 inputs, 64 entries a LUT
    return Operand("int", square, square.bits, 0, 0, (fmt.max_code**2).bit_length(), True, decode, block, scale_bits)


def is_exact(weights: Operand, acts: Operand) -> bool:
    """Whether one integer accumulator holds the whole dot product."""
    return not (weights.block or acts.block or isinstance(weights.format, Native) or isinstance(acts.format, Native))
