"""Codes at their true width: a little-endian bit stream for each output channel.

Layout, format by format:

* an element has `bits` bits, the width of its format; integers and powers are two's complement (unsigned integers
  plain binary), minifloats are sign, exponent and mantissa from high to low, binary is 0 for -1 and 1 for +1;
* a row is one output channel with its elements in row-major order (Cin/groups x kernel); element i has its lowest bit
  at bit i * bits of the row, and bit k of a row is bit k mod 8 (1 << k mod 8) of byte k // 8;
* every row starts at a byte, `row_bytes` = ceil(elements * bits / 8); the bits left over are zero.

Example: the int3 row 1, -2, 3 has the codes 001, 110, 011. Element 0 fills bits 0-2, element 1 bits 3-5, element 2 bits
6-8: byte 0 is 11 110 001 = 0xf1, byte 1 is 0000000 0 = 0x00 (the high bit of the last code, 0, and padding).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.core.codes import WeightCodes
from hwsim.core.errors import InputError
from hwsim.core.formats import Format, Int, Native, Power

_PIECE = 1 << 20  # elements unpacked to single bits at a time


def is_signed_code(fmt: Format) -> bool:
    """Whether codes are two's complement."""
    return isinstance(fmt, Power) or (isinstance(fmt, Int) and fmt.signed)


def row_bytes(elements: int, bits: int) -> int:
    """Bytes of one row."""
    return -(-elements * bits // 8)


def pack_codes(codes: WeightCodes) -> NDArray[np.uint8]:
    """The codes of a weight, shape (rows, row_bytes); see the module for the layout.

    Raises
    ------
    InputError
        For codes that do not fit the format.
    """
    fmt = codes.spec.format
    rows = codes.codes.reshape(codes.codes.shape[0], -1)
    bits = _width(fmt)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed_code(fmt) else (0, (1 << bits) - 1)
    if rows.size and (rows.min() < low or rows.max() > high):
        raise InputError(f"a code outside {low}..{high}", where=f"format {fmt}", hint="quantize the weight again")
    out = np.zeros((rows.shape[0], row_bytes(rows.shape[1], bits)), np.uint8)
    shifts = np.arange(bits, dtype=np.int64)
    step = max(1, _PIECE // max(1, rows.shape[1]))
    for start in range(0, rows.shape[0], step):
        piece = rows[start : start + step]
        single = ((piece[..., None] >> shifts) & 1).astype(np.uint8)  # of a negative number: its two's complement
        out[start : start + step] = np.packbits(single.reshape(len(piece), -1), axis=1, bitorder="little")
    return out


def unpack_codes(packed: NDArray[np.uint8], fmt: Format, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The codes of `pack_codes`, in the shape of the weight (output channels first).

    Raises
    ------
    InputError
        When the bytes are not as many as format and shape say.
    """
    bits, rows = _width(fmt), shape[0]
    elements = int(np.prod(shape[1:], dtype=np.int64))
    if packed.shape != (rows, row_bytes(elements, bits)):
        raise InputError(
            f"packed weights of shape {packed.shape}",
            where=f"format {fmt}",
            hint=f"{rows} rows of {row_bytes(elements, bits)} bytes are wanted for the shape {shape}",
        )
    out = np.zeros((rows, elements), np.int64)
    step = max(1, _PIECE // max(1, elements))
    for start in range(0, rows, step):
        single = np.unpackbits(packed[start : start + step], axis=1, bitorder="little", count=elements * bits)
        single = single.reshape(len(single), elements, bits)
        for bit in range(bits):
            weight = -(1 << bit) if is_signed_code(fmt) and bit == bits - 1 else 1 << bit
            out[start : start + step] += single[..., bit].astype(np.int64) * weight
    return out.reshape(shape)


def _width(fmt: Format) -> int:
    if isinstance(fmt, Native):
        raise InputError(f"{fmt} has no codes", where="packing", hint="machine formats are stored as they are")
    return fmt.bits
