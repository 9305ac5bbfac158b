"""Families of products, sums of products and float additions.

`guard_bits` are those of an accumulator beyond an exact product: log2 of the summands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.rtl.multiply import TABLE_BITS
from hwsim.cost_models.surface.family import Axis, Columns, Family
from hwsim.cost_models.surface.products import (
    as_minifloats,
    beside_integers,
    integer_product,
    minifloat_product,
    product_bits,
    shifted_product,
    shifted_product_positions,
    tree,
)

Floats = NDArray[np.float64]
WIDTHS = tuple(float(v) for v in range(1, 17))
_GUARDS = (0.0, 3.0, 6.0, 8.0, 10.0, 12.0, 16.0)
_LANES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 9.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)
SIGNED = Axis("a_signed", (0.0, 1.0), rising=False)
_W, _A = Axis("w_bits", WIDTHS, scale="log2"), Axis("a_bits", WIDTHS, scale="log2")
GUARD = Axis("guard_bits", _GUARDS)
LANE = Axis("lanes", _LANES, scale="log2")
_EXPONENTS, _MANTISSAS = (1.0, 2.0, 3.0, 4.0, 5.0), (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
_EW, _MW = Axis("ew", _EXPONENTS), Axis("mw", _MANTISSAS)
_EA, _MA = Axis("ea", _EXPONENTS), Axis("ma", _MANTISSAS)
_SIDES = (("ew", "mw"), ("ea", "ma"))
_FEW_GUARDS = Axis("guard_bits", (0.0, 6.0, 12.0))


def _with_guard(p: Columns) -> Columns:
    """Columns with `guard_bits` in place of `acc_bits`: without the product and, where there are lanes, their tree."""
    found = {name: np.asarray(v, dtype=np.float64) for name, v in p.items()}
    if "guard_bits" not in found:
        lanes = found.get("lanes", np.ones(1))
        found["guard_bits"] = found["acc_bits"] - _product_bits(found) - np.ceil(np.log2(lanes))
    return found


def _product_bits(c: Columns) -> Floats:
    """Signed bits of an exact product."""
    return np.asarray(c["w_bits"] + c["a_bits"]) if "w_bits" in c else product_bits(c)


def _int_mac(c: Columns) -> Columns:
    """A product and a LUT a bit of the accumulator; products by table of 5 or 6 inputs take more."""
    w, a, signed = c["w_bits"], c["a_bits"], c["a_signed"]
    bits = w + a
    table = (bits > 4) & (bits <= TABLE_BITS) & ((a > 1) | (signed == 1))
    found = {"acc": bits + c["guard_bits"], "table": table, "table bits": table * bits, "table signed": table * signed}
    return integer_product(c) | found


def _int_dot(c: Columns) -> Columns:
    return _dot(c, integer_product(c), c["w_bits"] + c["a_bits"])


def _dot(c: Columns, product: Columns, product_bits: Floats) -> Columns:
    """Every term of a product once a lane, the tree of adders and the accumulator."""
    lanes = c["lanes"]
    acc = product_bits + np.ceil(np.log2(lanes)) + c["guard_bits"]
    lane = {f"lanes {name}": lanes * values for name, values in product.items()}
    return {"1": np.ones_like(lanes), **lane, **tree(lanes, product_bits), "acc": acc}


def _shifted_mac(c: Columns) -> Columns:
    found = shifted_product(c)
    acc = _product_bits(c) + c["guard_bits"]
    return found | {"acc": acc}


def _shifted_dot(c: Columns) -> Columns:
    return _dot(c, shifted_product(c), _product_bits(c))


def _one_lane(words: Callable[[Columns], Columns]) -> Callable[[Columns], Columns]:
    """Columns of multiply-accumulate units in the words of dot products."""
    return lambda c: {**words(c), "lanes": np.ones_like(c["guard_bits"])}


def _shifted_places(c: Columns) -> list[Floats]:
    found = shifted_product_positions(c)
    found += [np.log2(c["lanes"])] if "lanes" in c else []
    found += [c["guard_bits"]] if "guard_bits" in c else []
    return found + ([c["eacc"], np.log2(c["macc"])] if "macc" in c else [])


def _block_places(c: Columns) -> list[Floats]:
    return _shifted_places({**c, "a_signed": np.ones_like(c["lanes"])})


def _float_accumulate(c: Columns) -> Columns:
    p = minifloat_product(c["ew"], c["mw"], c["ea"], c["ma"])
    digits = np.log2(c["macc"] + 4)
    return {
        "1": np.ones_like(p["product"]),
        "product": p["product"],
        "significand": p["significand"],
        "exponents": c["ew"] + c["ea"],
        "eacc": c["eacc"],
        "macc": c["macc"],
        "macc log": c["macc"] * digits,
    }


def _float_add(c: Columns) -> Columns:
    return {"1": np.ones_like(c["m"]), "e": c["e"], "m": c["m"], "m log": c["m"] * np.log2(c["m"] + 4)}


def _block_columns(p: Columns) -> Columns:
    """Elements by name as fields; int8 is E1M6, the same numbers."""
    found = {name: np.asarray(v) for name, v in p.items()}
    for side in ("w", "a"):
        if f"e{side}" not in found:
            fields = [_ELEMENTS[str(name)] for name in np.atleast_1d(found[side])]
            found[f"e{side}"], found[f"m{side}"] = np.array(fields, dtype=np.float64).T
    return {name: found[name] for name in ("lanes", "ew", "mw", "ea", "ma")}


def _block_dot(c: Columns) -> Columns:
    """Lanes and their tree; behind them a scaler and an adder in float32, the same for all but for the sum's width."""
    one = np.ones_like(c["lanes"])
    c = {**c, "a_signed": one}
    lane = {f"lanes {n}": c["lanes"] * v for n, v in shifted_product(c).items() if "signed" not in n}
    bits = _product_bits(c) + np.ceil(np.log2(c["lanes"]))
    sums = tree(c["lanes"], _product_bits(c))
    return {"1": one, **lane, **sums, "sum": bits, "sum log": bits * np.log2(bits)}


def _block_scale(c: Columns) -> Columns:
    bits = c["sum_bits"]
    return {"1": np.ones_like(bits), "sum": bits, "sum log": bits * np.log2(bits), "log": np.log2(bits)}


_ELEMENTS = {"e2m1": (2, 1), "e2m3": (2, 3), "e3m2": (3, 2), "e4m3": (4, 3), "e5m2": (5, 2), "int8": (1, 6)}
_FLOAT_AXES = (
    Axis("e", tuple(float(v) for v in range(2, 9))),
    Axis("m", tuple(float(v) for v in range(1, 24)), scale="log2"),
)
_MAC_WORDS = "w_bits, a_bits (1 to 16), a_signed, guard_bits or acc_bits"
_MINIFLOAT_WORDS = "ew, mw, ea, ma (exponent 1 to 5, mantissa 0 to 7), a_signed"
_MIXED_WORDS = "ew, mw, a_bits, a_signed"

ARITHMETIC: tuple[Family, ...] = (
    Family("int_mul", (_W, _A, SIGNED), integer_product, words="w_bits, a_bits (1 to 16), a_signed"),
    Family("int_mac", (_W, _A, SIGNED, GUARD), _int_mac, _with_guard, words=_MAC_WORDS),
    Family("int_dot", (LANE, _W, _A, SIGNED, GUARD), _int_dot, _with_guard, words=f"lanes, {_MAC_WORDS}"),
    Family(
        "minifloat_mul",
        (_EW, _MW, _EA, _MA, SIGNED),
        shifted_product,
        places=_shifted_places,
        kin={"minifloat_int_mul": as_minifloats},
        sides=_SIDES,
        words=_MINIFLOAT_WORDS,
    ),
    Family(
        "minifloat_mac",
        (_EW, _MW, _EA, _MA, SIGNED, GUARD),
        _shifted_mac,
        _with_guard,
        _shifted_places,
        kin={"minifloat_int_mac": as_minifloats},
        sides=_SIDES,
        words=f"{_MINIFLOAT_WORDS}, guard_bits or acc_bits",
    ),
    Family(
        "minifloat_int_mul",
        (_EW, _MW, _A, SIGNED),
        shifted_product,
        places=_shifted_places,
        kin={"minifloat_mul": beside_integers},
        words=_MIXED_WORDS,
    ),
    Family(
        "minifloat_int_mac",
        (_EW, _MW, _A, SIGNED, GUARD),
        _shifted_mac,
        _with_guard,
        _shifted_places,
        kin={"minifloat_mac": beside_integers},
        words=f"{_MIXED_WORDS}, guard_bits or acc_bits",
    ),
    Family(
        "float_accumulate_mac",
        (
            _EW,
            _MW,
            _EA,
            _MA,
            SIGNED,
            Axis("eacc", (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)),
            Axis("macc", (1.0, 2.0, 4.0, 6.0, 7.0, 10.0, 15.0, 19.0, 23.0), scale="log2"),
        ),
        _float_accumulate,
        places=_shifted_places,
        sides=_SIDES,
        words=f"{_MINIFLOAT_WORDS}, eacc, macc",
    ),
    Family(
        "minifloat_dot",
        (LANE, _EW, _MW, _EA, _MA, SIGNED, _FEW_GUARDS),
        _shifted_dot,
        _with_guard,
        _shifted_places,
        kin={
            "minifloat_int_dot": as_minifloats,
            "minifloat_mac": _one_lane(as_minifloats),
            "minifloat_int_mac": _one_lane(as_minifloats),
        },
        sides=_SIDES,
        words=f"lanes, {_MINIFLOAT_WORDS}, guard_bits or acc_bits",
    ),
    Family(
        "minifloat_int_dot",
        (LANE, _EW, _MW, _A, SIGNED, _FEW_GUARDS),
        _shifted_dot,
        _with_guard,
        _shifted_places,
        kin={
            "minifloat_dot": beside_integers,
            "minifloat_int_mac": _one_lane(as_minifloats),
            "minifloat_mac": _one_lane(beside_integers),
        },
        words=f"lanes, {_MIXED_WORDS}, guard_bits or acc_bits",
    ),
    *(
        Family(
            f"block_scale_dot[{scale}]",
            (LANE, _EW, _MW, _EA, _MA),
            _block_dot,
            _block_columns,
            _block_places,
            only={"scale": scale},
            words="lanes, w, a (names of elements)",
        )
        for scale in ("e8m0", "e4m3")
    ),
    *(
        Family(
            f"block_scale[{scale}]",
            (
                Axis(
                    "sum_bits",
                    (6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0, 28.0, 32.0, 40.0, 48.0),
                    scale="log2",
                ),
            ),
            _block_scale,
            only={"scale": scale},
            words="sum_bits",
        )
        for scale in ("e8m0", "e4m3")
    ),
    Family("float_add", _FLOAT_AXES, _float_add, words="e, m"),
    Family("float_accumulate", _FLOAT_AXES, _float_add, words="e, m"),
)
