"""Dot products with constant weights: multipliers become adders of shifted inputs.

A constant in canonical signed digits needs one adder less than it has nonzero digits; zero and powers of two need
none (Avizienis 1961). Every odd constant is built once an input and shared by all outputs that use it, up to shifts
and sign; the products are summed in a balanced tree, one LUT an output bit of each adder. There is no sharing between
inputs, which tools like da4ml find: against four of its synthesised designs this count is about twice too high
(see `evaluate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.core.accumulator import unit
from hwsim.core.codes import WeightCodes, decode
from hwsim.core.formats import Format, Minifloat, Power
from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.operators.operand import Operand
from hwsim.cost_models.operators.product import to_fixed_point_lut


@dataclass(frozen=True, slots=True)
class ConstantCounts:
    """What a constant matrix asks for.

    Attributes
    ----------
    block_adders : adders that build the odd constants, over all inputs.
    products : nonzero weights.
    outputs : rows.
    exact : counted in the actual codes; otherwise the mean over weights whose codes are all equally likely.
    """

    block_adders: float
    products: float
    outputs: int
    exact: bool


def signed_digits(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nonzero digits of the canonical signed-digit form of non-negative integers below 2^61."""
    v = np.asarray(values, dtype=np.int64)
    digits: NDArray[np.int64] = np.bitwise_count(v ^ (3 * v)).astype(np.int64)
    return digits


def expected_counts(weights: Format, inputs: int, outputs: int, fan_out: int) -> ConstantCounts:
    """Counts when codes are not known: `inputs` inputs, each feeding `fan_out` of `outputs` outputs.

    `inputs * fan_out` weights are spread over the outputs.
    """
    odd, share, nonzero = _fundamentals(weights)
    used = 1.0 - (1.0 - share) ** fan_out
    adders = float((used * (signed_digits(odd) - 1)).sum()) if odd.size else 0.0
    return ConstantCounts(inputs * adders, inputs * fan_out * nonzero, outputs, False)


def counts_of_codes(codes: WeightCodes, groups: int, transposed: bool) -> ConstantCounts:
    """Exact counts of a weight tensor; a zero point is subtracted first."""
    fmt = codes.spec.format
    values = decode(codes.codes, fmt)
    if codes.spec.zero_point:
        values = values - codes.zero_point
    multiples = np.rint(values / unit(fmt)).astype(np.int64)
    if transposed:  # (in, out / groups, kernel): one row an input
        columns = multiples.reshape(groups, multiples.shape[0] // groups, -1)
    else:  # (out, in / groups x kernel): one row an output
        columns = multiples.reshape(groups, multiples.shape[0] // groups, -1).transpose(0, 2, 1)
    flat = np.ascontiguousarray(columns).reshape(-1, columns.shape[-1])
    odd = _odd_part(np.abs(flat))
    ordered = np.sort(odd, axis=1)
    first = np.ones(ordered.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    adders = np.where(first & (ordered > 1), signed_digits(ordered) - 1, 0).sum()
    outputs = columns.shape[-1] * groups
    return ConstantCounts(float(adders), float(np.count_nonzero(flat)), outputs, True)


def constant_dot(weights: Operand, acts: Operand, inputs: int, counts: ConstantCounts) -> Bill:
    """LUTs of all outputs of a constant matrix, one result a cycle; `inputs` counts the input lanes."""
    a = acts.fixed_width
    odd_bits = weights.significand - (1 if weights.kind == "int" and weights.signed else 0)
    wide = a + weights.magnitude
    terms = [
        Term("constant multipliers", "constant", counts.block_adders * (a + odd_bits)),
        Term("tree", "constant", counts.outputs * balanced_tree_bits(counts.products / counts.outputs, wide)),
    ]
    if decode_lut := to_fixed_point_lut(acts):
        terms.append(Term("decoders", "mf_dec", float(inputs * decode_lut)))
    return Bill(tuple(terms))


def balanced_tree_bits(operands: float, width: int) -> float:
    """Output bits of all adders of a balanced tree over `operands` numbers of `width` bits; a mean number of
    operands is interpolated."""
    low = int(operands)
    share = operands - low
    return (1 - share) * _tree_bits(low, width) + (share * _tree_bits(low + 1, width) if share else 0.0)


@lru_cache(maxsize=65536)
def _tree_bits(operands: int, width: int) -> int:
    left, bits = operands, 0
    while left > 1:
        width += 1
        bits += (left // 2) * width
        left -= left // 2
    return bits


@lru_cache(maxsize=1024)
def _fundamentals(weights: Format) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Odd parts of all magnitudes, the share of codes with each, and the share of nonzero codes."""
    if isinstance(weights, Minifloat):  # significands: an exponent only shifts
        fields = (weights.max_magnitude_code >> weights.mantissa) + 1
        low = np.arange(1 << weights.mantissa)
        magnitudes = np.concatenate([low, *[low + (1 << weights.mantissa)] * (fields - 1)])
        magnitudes = magnitudes[: weights.max_magnitude_code + 1]
    elif isinstance(weights, Power):
        magnitudes = np.abs(np.arange(-weights.max_code, weights.max_code + 1)) ** 2
    else:
        magnitudes = np.abs(np.rint(weights.values() / unit(weights)))
    magnitudes = magnitudes.astype(np.int64)
    odd, count = np.unique(_odd_part(magnitudes[magnitudes > 0]), return_counts=True)
    return odd, count / magnitudes.size, float(np.count_nonzero(magnitudes)) / magnitudes.size


def _odd_part(values: NDArray[np.int64]) -> NDArray[np.int64]:
    v = np.asarray(values, dtype=np.int64)
    return np.where(v == 0, 0, v // np.maximum(v & -v, 1))
