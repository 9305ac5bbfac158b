"""The exact product of two operands as an addend: significand product, shift, sign.

Negation is left to the adder behind it: -x is ~x + 1, so a product is a word, inverted where it is negative, and a carry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.cost_models.rtl.factor import Factor, IntegerFactor, MinifloatFactor
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
class SignificandProduct:
    """Wires `significand`, `negative` and, where `lowest` and `highest` differ, `shift` of a product.

    Attributes
    ----------
    bits : of `significand`, in two's complement where the activation is.
    lowest, highest : values of `shift` where the product is not zero.
    """

    lines: str
    bits: int
    lowest: int
    highest: int


def significand_product(w: MinifloatFactor, a: Factor, to: str = "") -> SignificandProduct:
    """The product of wires `{to}w` and `{to}a` before its shift; all wires carry the prefix `to`."""
    largest = w.largest * a.largest
    bits = (largest - 1).bit_length() + 1 if a.twos_complement else largest.bit_length()
    kind = "wire signed" if a.twos_complement else "wire"
    shifting = [(side, factor) for side, factor in (("w", w), ("a", a)) if len(factor.shifts) > 1]
    lowest = sum(factor.shifts[0] for _, factor in shifting)
    highest = sum(factor.shifts[-1] for _, factor in shifting)
    lines = w.fields(f"{to}w", f"{to}w") + a.fields(f"{to}a", f"{to}a")
    lines += f"  {kind} [{bits - 1}:0] {to}significand = {_significands(w, a, to, bits)};\n"
    if shifting:
        amount = " + ".join(f"{to}{side}_shift" for side, _ in shifting)
        lines += f"  wire [{highest.bit_length() - 1}:0] {to}shift = {amount};\n"
    both = isinstance(a, MinifloatFactor) and a.signed
    lines += f"  wire {to}negative = {to}w_sign{f' ^ {to}a_sign' if both else ''};\n"
    return SignificandProduct(lines, bits, lowest, highest)


def exact_product(w: MinifloatFactor, a: Factor, to: str = "") -> Addend:
    """The product of wires `{to}w` and `{to}a`, in units of the product of the smallest steps of `w` and `a`."""
    product = significand_product(w, a, to)
    top, low = product.bits + product.highest, product.lowest
    width = top - low
    lines, shifted = product.lines, f"{to}significand"
    if product.highest > low:
        kind = "wire signed" if a.twos_complement else "wire"
        lines += f"  {kind} [{top - 1}:0] {to}wide = {to}significand;\n"
        lines += f"  wire [{top - 1}:0] {to}shifted = {to}wide << {to}shift;\n"
        shifted = f"{to}shifted[{top - 1}:{low}]"
    inverted = f"{shifted} ^ {{{width}{{{to}negative}}}}"
    if a.twos_complement:
        lines += f"  wire signed [{width - 1}:0] {to}word = {inverted};\n"
        return Addend(lines, f"{to}word", width, f"{to}negative")
    lines += f"  wire signed [{width}:0] {to}word = {{{to}negative, {inverted}}};\n"
    return Addend(lines, f"{to}word", width + 1, f"{to}negative")


def integer_product(w: IntegerFactor, a: IntegerFactor, to: str = "") -> Addend:
    """The product of the signed wires `{to}w` and, signed or not, `{to}a`."""
    bits = w.bits + a.bits
    right = f"{to}a" if a.signed else f"$signed({{1'b0, {to}a}})"
    return Addend(f"  wire signed [{bits - 1}:0] {to}word = {to}w * {right};\n", f"{to}word", bits, NO_CARRY)


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


def _significands(w: MinifloatFactor, a: Factor, to: str, bits: int) -> str:
    if w.largest == 1:
        return f"{to}w_sig ? {to}a_sig : {bits}'d0"
    if a.largest == 1:
        return f"{to}a_sig ? {to}w_sig : {bits}'d0"
    return f"$signed({{1'b0, {to}w_sig}}) * {to}a_sig" if a.twos_complement else f"{to}w_sig * {to}a_sig"
