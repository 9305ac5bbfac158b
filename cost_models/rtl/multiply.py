"""Integer multipliers for parts with 6-input LUTs and carry chains.

Up to six input bits are a table, one LUT an output bit; two such tables and an adder serve unsigned 4 x 4 and 2 x 8
bits. Wider products recode one factor to digits -2..2 (radix-4 Booth) and add a row a digit; a LUT in front of a carry
chain holds the selected bit of a row together with the sum so far, so a row costs one LUT a bit (Walters, Array
Multipliers for High Throughput in Xilinx FPGAs with 6-Input LUTs, Computers 5(4), 2016). The multiplier that Yosys 0.70
makes of `*` compresses partial products instead: 134 LUTs against 40 for signed 8 x 8, 71 LUTs for signed 6 x 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.rtl.add import added

TABLE_BITS = 6
Count = TypeVar("Count", int, NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class Wire:
    """A wire by name, in two's complement where `signed`."""

    name: str
    bits: int
    signed: bool = False

    def value(self, code: int) -> int:
        return code - (1 << self.bits) if self.signed and code >> (self.bits - 1) else code


def multiplied(x: Wire, y: Wire, found: str, bits: int) -> str:
    """Lines that declare the wire `found` of `bits`, signed where a factor is, as the product of two wires."""
    for one, other in ((x, y), (y, x)):
        if one.bits == 1 and not one.signed:
            zero = f"{bits}'{'s' if other.signed else ''}d0"
            return f"{_declared(found, bits, other.signed)} = {one.name} ? {other.name} : {zero};\n"
    if x.bits + y.bits <= TABLE_BITS:
        return _tabled(x, y, found, bits)
    short, long = sorted((x, y), key=lambda wire: wire.bits)
    if not (x.signed or y.signed) and short.bits in (2, 4) and long.bits <= 2 * (TABLE_BITS - short.bits):
        return _two_tables(short, long, found, bits)
    return _booth(x, y, found, bits) if _luts(x, y) <= _luts(y, x) else _booth(y, x, found, bits)


def table(index: str, values: list[int], found: str, bits: int, signed: bool = False) -> str:
    """Lines that declare `found`, the value at `index`, as one constant a bit."""
    lines = [f"{_declared(found, bits, signed)};\n"]
    for b in range(bits):
        word = sum(((value >> b) & 1) << k for k, value in enumerate(values))
        lines.append(f"  localparam [{len(values) - 1}:0] {found}_bit{b} = {len(values)}'h{word:x};\n")
        lines.append(f"  assign {found}[{b}] = {found}_bit{b}[{index}];\n")
    return "".join(lines)


def _tabled(x: Wire, y: Wire, found: str, bits: int) -> str:
    low = (1 << y.bits) - 1
    values = [x.value(k >> y.bits) * y.value(k & low) for k in range(1 << (x.bits + y.bits))]
    at = f"  wire [{x.bits + y.bits - 1}:0] {found}_at = {{{x.name}, {y.name}}};\n"
    return at + table(f"{found}_at", values, found, bits, x.signed or y.signed)


def _two_tables(x: Wire, y: Wire, found: str, bits: int) -> str:
    """An unsigned product with the longer factor `y` in two pieces, each times `x` in a table."""
    low = TABLE_BITS - x.bits
    pieces = Wire(f"{found}_low", low), Wire(f"{found}_high", y.bits - low)
    lines = f"  wire [{low - 1}:0] {found}_low = {y.name}[{low - 1}:0];\n"
    lines += f"  wire [{y.bits - low - 1}:0] {found}_high = {y.name}[{y.bits - 1}:{low}];\n"
    for piece in pieces:
        lines += _tabled(x, piece, f"{piece.name}_product", x.bits + piece.bits)
    kept = f"{found}_low_product"
    above = f"{kept}[{x.bits + low - 1}:{low}]"
    lines += added(f"{found}_high_product", above, "1'b0", f"{found}_sum", bits - low, False)
    return lines + f"{_declared(found, bits, False)} = {{{found}_sum, {kept}[{low - 1}:0]}};\n"


def booth_digits(bits: Count, signed: Count) -> Count:
    """Radix-4 digits of a factor."""
    return (bits + 1 - signed + 1) // 2


def booth_luts(x: Count, x_signed: Count, y: Count, y_signed: Count) -> Count:
    """LUTs of the rows of a factor of x bits times the digits of one of y bits; flags are 1 or 0, arrays welcome.

    A row takes a LUT for each bit of x, one for its carry and one for its sign. A digit of one bit takes one less; an
    unsigned x has no sign in the last row, nor in the first where y is unsigned too. `narrow`, one more or less for
    factors of two unsigned bits, has no such reason: it is read off the counts. As synthesised by Yosys 0.70 for all
    widths up to 16 bits.
    """
    rows, x_unsigned, y_unsigned = booth_digits(y, y_signed), 1 - x_signed, 1 - y_signed
    fill = 2 * rows - y
    narrow = y_unsigned * (x_signed * (y == 2) * (x % 4 != 1) - x_unsigned * (x == 2) * (y % 2 == 0))
    found: Count = rows * (x + x_unsigned + 2) - fill - x_unsigned * (1 + y_unsigned) + narrow
    return found


def _luts(x: Wire, y: Wire) -> int:
    return booth_luts(x.bits, int(x.signed), y.bits, int(y.signed))


def _booth(x: Wire, y: Wire, found: str, bits: int) -> str:
    """Rows of x times the digits of y. Each adds a word, inverted where the digit is negative, and a carry."""
    n, count = x.bits + int(not x.signed), booth_digits(y.bits, int(y.signed))
    fill = 2 * count - y.bits
    top = f"{{{fill}{{{y.name}[{y.bits - 1}]}}}}, " if y.signed else f"{fill}'d0, "
    extended = x.name if x.signed else f"{{1'b0, {x.name}}}"
    lines = [
        f"  wire signed [{n - 1}:0] {found}_x = {extended};\n",
        f"  wire [{2 * count}:0] {found}_y = {{{top if fill else ''}{y.name}, 1'b0}};\n",
    ]
    for j in range(count):
        a, b, c = (f"{found}_y[{2 * j + k}]" for k in (2, 1, 0))
        word, carry, total = f"{found}_row{j}", f"{found}_minus{j}", f"{found}_sum{j}"
        once, twice = f"{{{n + 1}{{{b} ^ {c}}}}}", f"{{{n + 1}{{({a} ^ {b}) & ~({b} ^ {c})}}}}"
        chosen = f"({once} & {{{found}_x[{n - 1}], {found}_x}}) | ({twice} & {{{found}_x, 1'b0}})"
        lines.append(f"  wire {carry} = {a} & ~({b} & {c});\n")
        lines.append(f"  wire signed [{n}:0] {word} = ({chosen}) ^ {{{n + 1}{{{carry}}}}};\n")
        before = f"{n}'d0"
        if j:
            lines.append(f"  wire signed [{n - 1}:0] {found}_from{j} = {found}_sum{j - 1}[{n + 1}:2];\n")
            before = f"{found}_from{j}"
        lines.append(added(before, word, carry, total, n + 2))
    low = "".join(f", {found}_sum{j}[1:0]" for j in reversed(range(count - 1)))
    signed = x.signed or y.signed
    lines.append(f"{_declared(found, bits, signed)} = $signed({{{found}_sum{count - 1}{low}}});\n")
    return "".join(lines)


def _declared(name: str, bits: int, signed: bool) -> str:
    return f"  wire{' signed' if signed else ''} [{bits - 1}:0] {name}"
