"""The exact product of two operands as an addend: significand product, shift, sign.

Negation is left to the adder behind it: -x is ~x + 1, so a product is a word, inverted where it is negative, and a
carry. Against a choice between adding and subtracting that saves a quarter of a multiply-accumulate unit in Yosys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.cost_models.rtl.factor import Factor, IntegerFactor, MinifloatFactor
from hwsim.cost_models.rtl.multiply import TABLE_BITS, Wire, multiplied
from hwsim.cost_models.rtl.unit import WIDEST_INT64, Vectors

NO_CARRY = "1'b0"


@dataclass(frozen=True, slots=True)
class Addend:
    """A number `word + carry` in Verilog.

    Attributes
    ----------
    lines : declarations.
    word : name of a wire.
    bits : of that wire.
    carry : name of a wire of one bit, or `NO_CARRY`.
    """

    lines: str
    word: str
    bits: int
    carry: str


@dataclass(frozen=True, slots=True)
class Shift:
    """A wire by which a significand is shifted left.

    Attributes
    ----------
    lowest, highest : its values where the significand is not zero.
    """

    name: str
    lowest: int
    highest: int

    @property
    def bits(self) -> int:
        return self.highest.bit_length()


@dataclass(frozen=True, slots=True)
class SignificandProduct:
    """Wires `significand` and `negative` of a product, and its shifts.

    Attributes
    ----------
    bits : of `significand`, in two's complement where the activation is.
    """

    lines: str
    bits: int
    shifts: tuple[Shift, ...]


def significand_product(w: MinifloatFactor, a: Factor, to: str = "") -> SignificandProduct:
    """The product of wires `{to}w` and `{to}a` before its shifts; all wires carry the prefix `to`."""
    largest = w.largest * a.largest
    bits = (largest - 1).bit_length() + 1 if a.twos_complement else largest.bit_length()
    sides = [(side, factor) for side, factor in (("w", w), ("a", a)) if len(factor.shifts) > 1]
    shifts = tuple(Shift(f"{to}{side}_shift", factor.shifts[0], factor.shifts[-1]) for side, factor in sides)
    lines = w.fields(f"{to}w", f"{to}w") + a.fields(f"{to}a", f"{to}a")
    left = Wire(f"{to}w_sig", w.significand_bits)
    lines += multiplied(left, Wire(f"{to}a_sig", a.significand_bits, a.twos_complement), f"{to}significand", bits)
    both = isinstance(a, MinifloatFactor) and a.signed
    lines += f"  wire {to}negative = {to}w_sign{f' ^ {to}a_sign' if both else ''};\n"
    return SignificandProduct(lines, bits, shifts)


def exact_product(w: MinifloatFactor, a: Factor, to: str = "") -> Addend:
    """The product of wires `{to}w` and `{to}a`, in units of the product of the smallest steps of `w` and `a`.

    Exponents are added and the significand is shifted once. Two shifts take fewer LUTs only where all bits of both
    magnitudes fit one LUT together.
    """
    product = significand_product(w, a, to)
    shifts, lines = product.shifts, product.lines
    if len(shifts) == 2 and _magnitude_bits(w) + _magnitude_bits(a) > TABLE_BITS:
        lines += added_shifts(shifts, f"{to}shift")
        shifts = (Shift(f"{to}shift", sum(s.lowest for s in shifts), sum(s.highest for s in shifts)),)
    kind = "wire signed" if a.twos_complement else "wire"
    word, bits = f"{to}significand", product.bits
    for shift in shifts:
        top = bits + shift.highest
        lines += f"  {kind} [{top - 1}:0] {shift.name}_from = {word};\n"
        lines += f"  wire [{top - 1}:0] {shift.name}_to = {shift.name}_from << {shift.name};\n"
        bits = top - shift.lowest
        lines += f"  {kind} [{bits - 1}:0] {shift.name}_done = {shift.name}_to[{top - 1}:{shift.lowest}];\n"
        word = f"{shift.name}_done"
    inverted = f"{word} ^ {{{bits}{{{to}negative}}}}"
    if a.twos_complement:
        lines += f"  wire signed [{bits - 1}:0] {to}word = {inverted};\n"
        return Addend(lines, f"{to}word", bits, f"{to}negative")
    lines += f"  wire signed [{bits}:0] {to}word = {{{to}negative, {inverted}}};\n"
    return Addend(lines, f"{to}word", bits + 1, f"{to}negative")


def integer_product(w: IntegerFactor, a: IntegerFactor, to: str = "") -> Addend:
    """The product of the signed wires `{to}w` and, signed or not, `{to}a`."""
    bits = w.bits + a.bits
    left, right = Wire(f"{to}w", w.bits, True), Wire(f"{to}a", a.bits, a.signed)
    return Addend(multiplied(left, right, f"{to}word", bits), f"{to}word", bits, NO_CARRY)


def added_shifts(shifts: tuple[Shift, ...], total: str) -> str:
    """Lines that declare the sum of shifts."""
    highest = sum(shift.highest for shift in shifts)
    return f"  wire [{highest.bit_length() - 1}:0] {total} = {' + '.join(shift.name for shift in shifts)};\n"


def product_bits(w: Factor, a: Factor) -> int:
    """Signed bits of a product."""
    span = w.shifts[-1] - w.shifts[0] + a.shifts[-1] - a.shifts[0]
    return 1 + (w.largest * a.largest << span).bit_length()


def products(w: Factor, a: Factor, w_codes: Vectors, a_codes: Vectors) -> Vectors:
    """Exact products of codes, as Python integers where 62 bits do not hold them."""
    left, right = w.multiples(w_codes), a.multiples(a_codes)
    if product_bits(w, a) > WIDEST_INT64:
        left = left.astype(object)
    return np.asarray(left * right)


def _magnitude_bits(factor: Factor) -> int:
    return factor.bits - int(isinstance(factor, MinifloatFactor) and factor.signed)
