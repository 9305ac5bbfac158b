"""Families around products: adder trees, conversions between formats, comparisons, and the units of single papers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.rtl.multiply import TABLE_BITS
from hwsim.cost_models.rtl.power import SIGNED_TABLE_BITS
from hwsim.cost_models.surface.arithmetic import GUARD, SIGNED, WIDTHS
from hwsim.cost_models.surface.family import Axis, Columns, Family
from hwsim.cost_models.surface.multiplied import multiplied_luts
from hwsim.cost_models.surface.products import bit_length, integer_product, shifter_luts, tree

Floats = NDArray[np.float64]
_SUMS = (4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 24.0, 28.0, 32.0, 40.0, 48.0)
_OUT = Axis("out_bits", tuple(float(v) for v in range(1, 9)))
_IN = Axis("in_bits", _SUMS, scale="log2")
_SHIFT = Axis("shift", (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 20.0, 28.0), rising=False)
_BITS = Axis(
    "bits", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 14.0, 16.0, 20.0, 24.0, 32.0, 40.0), scale="log2"
)
_E = Axis("e", (1.0, 2.0, 3.0, 4.0, 5.0))
_M = Axis("m", tuple(float(v) for v in range(8)))
_SIGNED_OUT = Axis("signed", (0.0, 1.0), rising=False)


def _ones(values: Floats) -> Floats:
    return np.ones_like(values)


def _adder_tree(c: Columns) -> Columns:
    single = c["bits"] == 1
    own = {"signed": c["signed"], "one bit": single, "one bit lanes": single * c["lanes"]}
    return {"1": _ones(c["bits"]), **tree(c["lanes"], c["bits"]), **own}


def _decode(c: Columns) -> Columns:
    """Codes that fit a LUT take one an output bit; of others the significand is negated, then shifted."""
    e, m, signed = c["e"], c["m"], c["signed"]
    width = m + 1 + np.where(e > 1, 2.0**e - 2, 0) + signed
    fixed, whole = e == 1, (e > 1) & (e + m + signed <= TABLE_BITS)
    rest = ~fixed & ~whole
    highest = np.where(e > 1, 2.0**e - 1, 0)
    return {
        "fixed": fixed * signed * (m + 1),
        "whole": whole * width,
        "1": rest,
        "shifter": rest * shifter_luts(m + 1, np.minimum(highest, 1.0), highest),
        "signed m": rest * signed * (m + 1),
        "width": rest * width,
    }


def _encode(c: Columns) -> Columns:
    bits = c["in_bits"]
    span = c["m"] + 2.0 ** c["e"] - 1
    used = np.minimum(span, bits)
    return {
        "1": _ones(bits),
        "in": bits,
        "used e": used * c["e"],
        "used": used,
        "m e": c["m"] * c["e"],
        "drop": np.clip(c["drop"], 0, bits),
        "e": c["e"],
        "m": c["m"],
        "signed": c["signed"],
    }


def _shift_requantize(c: Columns) -> Columns:
    """A choice for each bit of the result, and trees over the bits above it and the bits dropped."""
    kept = np.maximum(c["in_bits"] - c["shift"], 1)
    dropped = np.clip(c["shift"], 0, None)
    above = np.clip(kept - c["out_bits"], 0, None)
    return {
        "1": _ones(kept),
        "out": c["out_bits"],
        "above": above,
        "above trees": np.ceil(above / 5),
        "dropped": dropped,
        "dropped trees": np.ceil(dropped / 5),
        "rounds": dropped > 0,
        "signed": c["signed"],
        "signed above": c["signed"] * above,
        "narrow": c["narrow"],
        "narrow out": c["narrow"] * c["out_bits"],
    }


def _multiply_requantize(c: Columns) -> Columns:
    one = np.ones_like(c["in_bits"])
    product = integer_product({"w_bits": c["in_bits"], "a_bits": c["scale_bits"], "a_signed": 0 * one})
    return {
        "1": one,
        **product,
        "in": c["in_bits"],
        "scale": c["scale_bits"],
        "out": c["out_bits"],
        "signed": c["signed"],
    }


def _thresholds(c: Columns) -> Columns:
    count = 2.0 ** c["out_bits"] - 1
    bits = c["in_bits"]
    return {
        "1": _ones(bits),
        "count": count,
        "count bits": count * bits,
        "out": c["out_bits"],
        "count out": count * c["out_bits"],
    }


def _bits_law(c: Columns) -> Columns:
    return {"1": _ones(c["bits"]), "bits": c["bits"]}


def _pool(c: Columns) -> Columns:
    others = c["taps"] - 1
    return {"1": _ones(others), "others": others, "others bits": others * c["bits"]}


def _residual_add(c: Columns) -> Columns:
    a, b = c["bits_a"] + np.clip(-c["shift"], 0, None), c["bits_b"] + np.clip(c["shift"], 0, None)
    return {"1": _ones(a), "wide": np.maximum(a, b), "narrow": np.minimum(a, b), "apart": np.abs(c["shift"])}


def _power_columns(p: Columns) -> Columns:
    found = {name: np.asarray(v, dtype=np.float64) for name, v in p.items() if name != "activation"}
    if "guard_bits" not in found:
        kind = str(np.ravel(np.asarray(p["activation"]))[0])
        w, a = found["bits"], found["a_bits"]
        largest = {"power": (2.0 ** (a - 1) - 1) ** 2, "unsigned": 2.0**a - 1, "signed": 2.0 ** (a - 1)}[kind]
        found["guard_bits"] = found["acc_bits"] - 1 - bit_length((2.0 ** (w - 1) - 1) ** 2 * largest)
    return found


def _power(kind: str) -> Callable[[Columns], Columns]:
    """Of a table of squares and a product with it, or of two magnitudes, their product and its square."""

    def features(c: Columns) -> Columns:
        low, a, none = c["bits"] - 1, c["a_bits"], np.zeros_like(c["bits"])
        one = none + 1
        if kind == "power":
            both = low + a - 1
            whole = both <= TABLE_BITS
            product = multiplied_luts(low, none, a - 1, none)
            square = np.where(whole, 0, product + multiplied_luts(both, none, both, none))
            found = {"product": square, "table": whole * both, "narrow": whole, "magnitude": (low > 1) * low + a - 1}
            return {"1": one, **found, "acc": 2 * both + c["guard_bits"]}
        wide = c["bits"] > SIGNED_TABLE_BITS
        inputs = np.where(wide, low, c["bits"])
        ternary = low == 1  # the square is -1, 0 or 1: a choice that the accumulator takes in
        squared, signed = 2 * low + np.where(wide, 0, 1), one * (kind == "signed")
        found = {
            "ternary": ternary,
            "ternary bits": ternary * a,
            "product": ~ternary * multiplied_luts(squared, one * ~wide, a, signed),
            "squares": ~ternary * 2 * low * 2.0 ** np.maximum(inputs - TABLE_BITS, 0),
            "wide": wide,
            "magnitude": wide * low,
        }
        return {"1": one, **found, "acc": 2 * low + a + 1 + c["guard_bits"]}

    return features


def _partial_binary_columns(p: Columns) -> Columns:
    found = {name: np.asarray(v, dtype=np.float64) for name, v in p.items()}
    if "guard_bits" not in found:
        found["guard_bits"] = found["salient_acc_bits"] - found["w_bits"] - found["a_bits"]
    return found


def _partial_binary(c: Columns) -> Columns:
    return {**integer_product(c), "w": c["w_bits"], "a": c["a_bits"], "guard": c["guard_bits"]}


_COUNTS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 24, 25, 27, 28, 32, 36, 40, 48, 49, 56, 64)
_SUMMANDS = Axis("lanes", tuple(float(n) for n in _COUNTS), scale="log2")
_KINDS = ("int", "uint", "minifloat")
_TAPS = Axis("taps", (2.0, 3.0, 4.0, 6.0, 9.0, 16.0), scale="log2")
_NARROW = Axis("narrow", (0.0, 1.0), rising=False)
_SCALE = Axis("scale_bits", (4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0), scale="log2")
_SIDES = (4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 24.0, 32.0)
_APART = (-8.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 8.0)
_CODES = Axis("bits", tuple(float(v) for v in range(2, 11)), scale="log2")
_DROP = Axis("drop", (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0), rising=False)
_W = Axis("w_bits", WIDTHS, scale="log2")
_A = Axis("a_bits", WIDTHS, scale="log2")

CONVERSIONS: tuple[Family, ...] = (
    Family("adder_tree", (_SUMMANDS, _BITS, _SIGNED_OUT), _adder_tree, words="lanes, bits, signed"),
    Family("minifloat_decode", (_E, _M, _SIGNED_OUT), _decode, words="e, m, signed"),
    Family("minifloat_encode", (_IN, _DROP, _E, _M, _SIGNED_OUT), _encode, words="in_bits, drop, e, m, signed"),
    Family(
        "shift_requantize",
        (_IN, _SHIFT, _OUT, _SIGNED_OUT, _NARROW),
        _shift_requantize,
        words="in_bits, shift, out_bits, signed, narrow",
    ),
    Family(
        "multiply_requantize",
        (_IN, _SCALE, _OUT, _SIGNED_OUT),
        _multiply_requantize,
        words="in_bits, scale_bits, out_bits, signed",
    ),
    *(
        Family(f"thresholds[{name}]", (_IN, _OUT), _thresholds, only={"constant": constant}, words="in_bits, out_bits")
        for name, constant in (("constant", True), ("input", False))
    ),
    Family("relu", (_BITS,), _bits_law, words="bits"),
    Family(
        "residual_add",
        (
            Axis("bits_a", _SIDES, scale="log2"),
            Axis("bits_b", _SIDES, scale="log2"),
            Axis("shift", _APART, rising=False),
        ),
        _residual_add,
        words="bits_a, bits_b, shift",
    ),
    *(Family(f"max_of_two[{kind}]", (_BITS,), _bits_law, only={"kind": kind}, words="bits") for kind in _KINDS),
    *(Family(f"max_pool[{kind}]", (_TAPS, _BITS), _pool, only={"kind": kind}, words="taps, bits") for kind in _KINDS),
    *(
        Family(
            f"power_mac[{kind}]",
            (_CODES, _A, GUARD),
            _power(kind),
            _power_columns,
            only={"activation": kind},
            words="bits, a_bits, activation, guard_bits or acc_bits",
        )
        for kind in ("unsigned", "signed", "power")
    ),
    Family(
        "partial_binary_mac",
        (_W, _A, SIGNED, GUARD),
        _partial_binary,
        _partial_binary_columns,
        words="w_bits, a_bits, a_signed, guard_bits or salient_acc_bits",
    ),
)
