"""The cost of one operator: a multiplier, a multiply-accumulate, a dot product, a quantizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, get_args

from hwsim.core.cost import Interval
from hwsim.core.devices import Part
from hwsim.core.errors import InputError, UnsupportedError, nearest
from hwsim.core.scaled import Scaled
from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.network import UNCALIBRATED
from hwsim.cost_models.operators.dot import dot_product, multipliers, sum_bits
from hwsim.cost_models.operators.floating import float_product
from hwsim.cost_models.operators.multiplier import DspPolicy
from hwsim.cost_models.operators.operand import Operand, is_exact, operand
from hwsim.cost_models.operators.product import to_fixed_point_lut
from hwsim.cost_models.operators.requantize import encode, requantize
from hwsim.cost_models.residuals import coverage_of, lut_interval, scaled_interval
from hwsim.cost_models.trust import beyond_notes, joined_factor

UnitKind = Literal["mac", "mul", "dot", "requantize", "encode"]


@dataclass(frozen=True, slots=True)
class UnitCost:
    """Resources of one operator on one part; `terms` splits the middle of `lut` by cause."""

    kind: str
    weights: str
    acts: str
    k: int
    part: str
    lut: Interval
    ff: Interval
    dsp: Interval
    accumulator_bits: int
    terms: Mapping[str, float]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("kind", "weights", "acts", "k", "part", "accumulator_bits")}
        intervals = {name: getattr(self, name).as_dict() for name in ("lut", "ff", "dsp")}
        return plain | intervals | {"terms": dict(self.terms), "notes": list(self.notes)}

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{name}</td><td>{escape(str(getattr(self, name)))}</td></tr>" for name in ("lut", "ff", "dsp")
        )
        head = f"{self.kind} {self.weights} x {self.acts}, K = {self.k}, {self.part}"
        return f"<table><caption>{escape(head)}</caption>{rows}</table>"


def unit_cost(kind: UnitKind, weights: Scaled, acts: Scaled, k: int, part: Part, dsp: DspPolicy = "auto") -> UnitCost:
    """Cost of one operator for a dot product of length `k`, without pipeline registers.

    Parameters
    ----------
    kind : `mul` one product; `mac` a product and an accumulator for `k` of them; `dot` all `k` products in one cycle
        with their tree and accumulator; `requantize` from that accumulator to `acts`, scale included; `encode` the
        same without the scale.

    Raises
    ------
    InputError
        For an unknown kind or k < 1.
    UnsupportedError
        For formats without a formula.
    """
    if kind not in get_args(UnitKind):
        raise InputError(f"unit {kind!r}", where="unit", hint=nearest(str(kind), get_args(UnitKind)))
    if k < 1:
        raise InputError(f"K = {k}", where="unit", hint="a dot product of length 1 and up")
    w, a = operand(weights), operand(acts)
    bits = sum_bits(k, w, a)
    bill = _bill(kind, weights, acts, w, a, bits, k, part, dsp)
    formulas = [term.family for term in bill.terms if term.low is None]  # all others are fits, with their own ends
    coverage = coverage_of(formulas) if formulas else None
    joined = joined_factor() if kind == "dot" or not is_exact(w, a) else 1.0
    notes: tuple[str, ...] = (UNCALIBRATED,)
    notes += beyond_notes({kind: bill})
    if formulas and coverage is None:
        notes += ("part of this operator was never compared with synthesis",)
    return UnitCost(
        kind,
        str(weights),
        str(acts),
        k,
        part.name,
        lut_interval([bill], coverage, joined),
        Interval.exact(bill.ff, "FF"),
        scaled_interval(bill.dsp, "dsp", "DSP", low=bill.dsp_packed),
        bits,
        bill.by_label(),
        notes,
    )


def _bill(
    kind: str, weights: Scaled, acts: Scaled, w: Operand, a: Operand, bits: int, k: int, part: Part, dsp: DspPolicy
) -> Bill:
    if kind in ("requantize", "encode"):
        float_scale = any(spec.scale == "f32" and not spec.is_native for spec in (weights, acts))
        if kind == "requantize":
            return requantize(bits, acts, float_scale, dsp, part.dsp_type)
        return encode(bits, acts)
    lanes = k if kind == "dot" else 1
    decode = lanes * (to_decode(w) + to_decode(a))
    decoders = Bill((Term("decoders", "none", float(decode)),)) if decode else Bill()
    if kind != "mul":
        return dot_product(w, a, lanes, bits, dsp, part.dsp_type) + decoders
    if is_exact(w, a):
        return multipliers(w, a, 1, dsp, part.dsp_type)[0] + decoders
    if w.kind == "float" or a.kind == "float":
        return float_product(w, a, dsp, part.dsp_type)
    raise UnsupportedError(
        f"a single product of {weights.label} x {acts.label} has no scale", hint="use mac or dot: blocks share scales"
    )


def to_decode(side: Operand) -> int:
    """LUTs a lane before the multiplier; a minifloat's decoding is part of the product itself."""
    return to_fixed_point_lut(side) if side.kind == "int" else 0
